"""When an incident is told again, and when a refused message is tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from include.operations.alerts.problem import Problem, severity_of
from include.operations.alerts.schedule import next_reminder, next_try
from include.operations.alerts.settings import Settings
from include.operations.errors import InputRejected

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "following"),
    [
        ("0:00", "0:15"),
        ("0:14", "0:15"),
        ("0:15", "1:00"),
        ("1:00", "6:00"),
        ("5:59", "6:00"),
        ("6:00", "12:00"),
        ("17:30", "18:00"),
        ("100:00", "102:00"),
    ],
)
def test_reminders(age, following):
    def length(text):
        hours, minutes = text.split(":")
        return timedelta(hours=int(hours), minutes=int(minutes))

    assert next_reminder(START, START + length(age)) == START + length(following)


def test_a_failure_every_five_minutes_is_told_four_times_in_six_hours():
    told, due = 0, START
    for number in range(72):
        now = START + timedelta(minutes=5) * number
        if now >= due:
            told, due = told + 1, next_reminder(START, now)
    assert told == 3
    assert due == START + timedelta(hours=6)


def test_refused_messages_wait_longer_and_longer():
    waits = [(next_try(number, START) - START).total_seconds() / 60 for number in range(1, 8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert next_try(1, START, timedelta(minutes=50)) == START + timedelta(minutes=50)
    assert next_try(1, START, timedelta(seconds=1)) == START + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("kind", "error_class", "code", "severity"),
    [
        ("task_failed", "AUTH", "HTTP_401", "P1"),
        ("task_failed", "DATABASE", "53100", "P1"),
        ("task_failed", "DATABASE", "ENOSPC", "P1"),
        ("data_lost", "VALIDATION", "", "P1"),
        ("task_failed", "NETWORK", "ECONNREFUSED", "P2"),
        ("run_failed", "UNKNOWN", "", "P2"),
        ("import_error", "UNKNOWN", "", "P2"),
        ("warning", "", "", "P3"),
    ],
)
def test_severity(kind, error_class, code, severity):
    assert severity_of(kind, error_class, code) == severity
    assert Problem(kind, "", error_class=error_class, code=code).clean().severity == severity


def test_a_severity_that_is_given_wins():
    assert Problem("warning", "", severity="P1").clean().severity == "P1"


def test_settings():
    assert Settings.from_env({}) == Settings()
    given = Settings.from_env({"ALERT_BURST_S": "0", "ALERT_CAP_PER_HOUR": "5", "ALERT_DOCS_URL": "https://d/"})
    assert (given.burst, given.cap_per_hour, given.docs_url) == (timedelta(0), 5, "https://d")


@pytest.mark.parametrize("value", ["many", "-1", "nan", "1e12"])
def test_settings_that_cannot_be_read_are_named(value):
    with pytest.raises(InputRejected, match="ALERT_CAP_PER_HOUR"):
        Settings.from_env({"ALERT_CAP_PER_HOUR": value})


def test_incident_key_is_of_the_place_and_the_error_not_of_the_run():
    first = Problem("task_failed", "", dag_id="d", run_id="1", task_id="t", error_class="AUTH", fingerprint="f")
    again = Problem("task_failed", "", dag_id="d", run_id="2", task_id="t", error_class="AUTH", fingerprint="f")
    other = Problem("task_failed", "", dag_id="d", run_id="2", task_id="u", error_class="AUTH", fingerprint="f")
    assert first.incident_key("e") == again.incident_key("e") != other.incident_key("e")
    assert first.incident_key("e") != first.incident_key("another environment")
    assert first.event_key != again.event_key

"""Channels that fail, hang or are missing, and a warehouse that is away (A1): nothing is lost, nobody waits."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from include.operations import alerts, callbacks
from include.operations.alerts import report
from tests.integration.operations.alerts.conftest import TABLES
from tests.integration.operations.patience import REAL_LIMITS, set_limits

pytestmark = pytest.mark.servers


def waiting(world):
    return world.rows("select channel, kind, last_error, tries from ops.alert_outbox where sent_at is null order by id")


@pytest.mark.parametrize(
    ("mode", "options", "code"),
    [
        ("rate_limit", {"retry_after": 1800}, "ratelimited"),
        ("server_error", {"status": 503}, "HTTP_503"),
        ("reset", {}, "ECONNRESET"),
        ("invalid_auth", {}, "invalid_auth"),
    ],
)
def test_slack_does_not_take_it_so_it_goes_by_email_and_waits(world, mode, options, code):
    world.sink.behave("slack", mode, **options)
    world.fail()
    assert world.slack() == []
    (mail,) = world.sink.emails()
    assert "because Slack did not take it" in mail["text"]
    (row,) = waiting(world)
    assert (row["channel"], row["tries"]) == ("slack", 1)
    assert code in row["last_error"] or mode != "invalid_auth"
    world.sink.behave("slack")
    world.later(minutes=2)
    world.flush()
    # A Retry-After is waited out.
    assert len(world.slack()) == (0 if mode == "rate_limit" else 1)
    world.later(minutes=30)
    done = world.flush()
    assert (len(world.slack()), done.waiting) == (1, 0)
    assert "Sent late: this is of 08:55 UTC" in str(world.slack()[0]["blocks"]) or mode != "rate_limit"
    assert len(world.sink.emails()) == 1


def test_the_real_limits_keep_the_promise_of_five_seconds():
    budget_s, read_s, flush_s = REAL_LIMITS
    assert max(read_s, flush_s) < budget_s < 5


def test_a_hanging_slack_takes_no_more_than_the_budget(world):
    set_limits(world.patch, *REAL_LIMITS)
    world.sink.behave("slack", "hang", seconds=60)
    begun = time.monotonic()
    world.fail()
    # Five seconds on a machine that is not busy; a minute, had the answer been waited for.
    assert time.monotonic() - begun < 30
    assert [row["channel"] for row in waiting(world)][:1] == ["slack"]
    world.sink.behave("slack")
    world.later(minutes=10)
    assert world.flush().waiting == 0
    assert len(world.slack()) == 1


def test_everything_hangs_and_still_nobody_waits(world):
    set_limits(world.patch, *REAL_LIMITS)
    for service in ("slack", "smtp", "sentry"):
        world.sink.behave(service, "hang", seconds=60)
    begun = time.monotonic()
    world.fail(error_class="AUTH", code="HTTP_401")
    assert time.monotonic() - begun < 30
    for service in ("slack", "smtp", "sentry"):
        world.sink.behave(service)
    world.later(minutes=10)
    world.flush()
    assert len(world.slack()) == len(world.sink.emails()) == 1
    assert {event["event_id"] for event in world.sink.sentry_events()} != set()


def test_a_name_server_that_hangs(world, monkeypatch):
    monkeypatch.setattr(report, "BUDGET_S", 5.0)
    monkeypatch.setenv(
        "AIRFLOW_CONN_SLACK_ALERTS", "slack://:xoxb-1-1-x@/?base_url=http%3A%2F%2Fslack.example%2Fapi%2F"
    )
    real = socket.getaddrinfo
    seen = threading.Event()

    def look_up(host, *rest, **named):
        if "slack" in host:
            seen.wait(120)
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    begun = time.monotonic()
    world.fail()
    assert time.monotonic() - begun < 30
    seen.set()
    assert [row["channel"] for row in waiting(world)][:1] == ["slack"]


def test_a_process_killed_before_it_sent_leaves_the_message_to_the_next_flush(world):
    child = os.fork()
    if not child:
        world.sink.behave("slack", "hang", seconds=30)
        world.fail()
        os._exit(0)
    while not waiting(world):
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    world.sink.behave("slack")
    world.flush()
    assert world.slack() == [], "it is still in the hands of the process that wrote it down"
    world.later(minutes=2)
    world.flush()
    assert len(world.slack()) == 1


def test_the_outbox_is_sent_oldest_first_and_a_dead_channel_is_asked_once(world):
    world.sink.behave("slack", "server_error")
    for number in range(4):
        world.fail(number, dag_id=f"dag_{number}", title=f"dag_{number} failed")
        world.later(minutes=2)
    before = len(world.sink.requests("slack"))
    world.later(hours=1)
    assert world.flush().refused == 1
    assert len(world.sink.requests("slack")) == before + 1
    world.sink.behave("slack")
    world.later(hours=1)
    world.flush()
    assert [message["text"].split(": ")[1][:5] for message in world.slack()] == ["dag_0", "dag_1", "dag_2", "dag_3"]


def test_an_alert_and_its_recovery_that_both_waited_come_in_order(world):
    world.sink.behave("slack", "server_error")
    world.fail(1)
    world.succeed(2)
    world.succeed(3)
    world.sink.behave("slack")
    world.later(hours=1)
    world.flush()
    first, second = world.slack()
    assert second["thread_ts"] == first["ts"]


def test_a_recovery_does_not_overtake_its_alert(world):
    world.sink.behave("slack", "server_error", times=1)
    world.fail(1)
    world.succeed(2)
    world.succeed(3)
    assert world.slack() == []
    world.later(minutes=2)
    world.flush()
    assert [title.split(":")[0] for title in world.titles()] == ["🟠 P2 failed", "🟢 Recovered"]


def test_reminders_of_what_could_not_be_said_are_one_message(world):
    world.sink.behave("slack", "server_error")
    for number in range(20):
        world.fail(number)
        world.later(minutes=5)
    world.sink.behave("slack")
    world.flush()
    (message,) = world.slack()
    assert "13th in 24 h" in str(message["blocks"]), "it says how things were at the last reminder"
    assert len(world.sink.emails()) == 1


def test_a_storm_while_slack_is_down_goes_by_email(world):
    world.sink.behave("slack", "server_error")
    for number in range(10):
        world.fail(number, dag_id=f"dag_{number}", title=f"dag_{number} failed")
        world.later(seconds=1)
    world.later(minutes=10)
    world.flush()
    assert ["9 incidents" in mail["subject"] for mail in world.sink.emails()] == [False, True]
    world.sink.behave("slack")
    world.later(hours=1)
    world.flush()
    assert len(world.slack()) == 2


def test_missing_channels_are_named_once_a_day(world, monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_SENTRY")
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_ALERTS")
    for number in range(3):
        world.fail(number)
    named = [record.getMessage() for record in caplog.records if "alert_channel_missing" in record.getMessage()]
    assert [line.split()[1] for line in named] == ["channel=email", "channel=sentry"]
    world.later(days=1)
    world.fail(9)
    assert sum("alert_channel_missing" in record.getMessage() for record in caplog.records) == 4
    assert len(world.slack()) == 2


def test_without_any_channel_nothing_breaks_and_later_everything_is_told(world, monkeypatch):
    with monkeypatch.context() as patch:
        for name in world.sink.connections:
            patch.delenv(name)
        world.fail(1)
        assert world.rows("select messages from ops.incident") == [{"messages": 0}]
    world.fail(2)
    assert len(world.slack()) == 1


def test_without_slack_everything_goes_by_email(world, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_SLACK_ALERTS")
    world.fail()
    world.succeed(2)
    world.succeed(3)
    alert, recovery = world.sink.emails()
    assert recovery["headers"]["In-Reply-To"] == alert["headers"]["Message-ID"]


def test_a_broken_warehouse_is_told_once_and_counted_when_it_is_back(world, monkeypatch):
    good = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://nobody@127.0.0.1:9/nothing")
        for _ in range(3):
            world.fail(1)
        world.fail(1, task_id="another")
        world.later(minutes=5)
        world.fail(2)
        assert len(world.slack()) == 1
        assert "De-duplication degraded" in str(world.slack()[0]["blocks"])
    assert os.environ["AIRFLOW_CONN_WAREHOUSE"] == good
    assert world.flush().taken_in == 5
    assert len(world.slack()) == 1
    (incident,) = world.rows("select occurrences, messages from ops.incident")
    assert incident == {"occurrences": 2, "messages": 1}
    world.succeed(3)
    world.succeed(4)
    assert world.rows("select recovered_at from ops.incident")[0]["recovered_at"] is not None


def test_what_could_not_even_be_sent_without_the_warehouse_is_sent_when_it_is_back(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://nobody@127.0.0.1:9/nothing")
        world.sink.behave("slack", "server_error")
        world.sink.behave("sentry", "server_error")
        world.fail(1)
    world.sink.behave("slack")
    world.flush()
    assert len(world.slack()) == 1


def test_a_warehouse_that_accepts_and_says_nothing(world, monkeypatch):
    monkeypatch.setattr(report, "BUDGET_S", 20.0)
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing")
        world.fail(1)
    assert len(world.slack()) == 1


def test_a_problem_that_cannot_be_handled_is_logged_and_no_error_of_the_task(world, caplog):
    alerts.raise_problem(world.problem(try_number=10**30), now=world.now)
    alerts.raise_problem(world.problem(links=7), now=world.now)
    assert any("alert_failed" in record.getMessage() for record in caplog.records)


def test_digest_by_mail_and_slack_with_a_picture_once(world):
    png = bytes.fromhex("89504e470d0a1a0a") + b"\0" * 40
    for _ in range(2):
        alerts.digest("weekly 2026-W02", title="Week 2", text="All <b>well</b>", html="<b>ok</b>", picture=png)
    (mail,) = world.sink.emails()
    assert "<b>ok</b>" in mail["html"]
    assert any(each["type"] == "image/png" for each in mail["attachments"])
    (message,) = [each for each in world.slack() if not each.get("files")] or world.slack()[:1]
    assert "Week 2" in message["text"]
    assert any(each.get("files") for each in world.slack())


def test_secrets_and_addresses_reach_nobody(world):
    """A3: an exception full of them, through the callback, and a traceback of megabytes."""
    secrets = ("hunter2", "jane.doe@example.org", "T0000AAAA/B0000AAAA/XYZXYZXYZ", "+1 555 123 4567", "Anna Smith")
    words = f"postgresql://u:{secrets[0]}@db {secrets[1]} https://hooks.slack.com/services/{secrets[2]} {secrets[3]}"
    error = ValueError(f"{words} invalid literal '{secrets[4]}' <!channel>" + "\nline of a traceback" * 300_000)
    instance = SimpleNamespace(task_id="merge", map_index=-1, try_number=1, max_tries=0)
    callbacks.report_failure({
        "dag": SimpleNamespace(dag_id="d", doc_md=""), "run_id": "r", "ti": instance, "exception": error,
    })  # fmt: skip
    world.fail(9, dag_id="other", error_class="AUTH", title=words, excerpt=words * 9, impact=words, owner=words)
    stored = [world.rows(f"select * from {table}") for table in TABLES.split(", ")]
    everything = json.dumps([world.slack(), world.sink.emails(), world.sink.sentry_items(), stored], default=str)
    assert len(world.slack()) == 2
    for secret in secrets:
        assert secret not in everything
    assert "<!channel>" not in json.dumps(world.slack())
    assert len(json.dumps(world.slack())) < 20_000


def test_a_forked_process_reaches_sentry_too(world):
    """Tasks are forks: a client whose thread stayed in the parent would send nothing."""
    world.fail(1)
    world.later(minutes=5)
    child = os.fork()
    if not child:
        world.fail(2, dag_id="other")
        os._exit(0)
    os.waitpid(child, 0)
    assert len(world.sink.sentry_events()) == 2

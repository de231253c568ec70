"""The weekly digest from the warehouse's rows to the simulated mail server and Slack, and that it goes out once."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from benchmarks.history import History, fill
from include.operations.statistics import digest, tasks
from include.operations.statistics.rollup import roll_up
from tests.integration.operations.patience import patient_alerts

pytestmark = pytest.mark.servers

# The digest is of the week that has ended when the task runs, by its clock.
NOW = datetime.now(UTC)
MONDAY = digest.monday_of(NOW) - digest.WEEK
ERROR = """
insert into ops.run_error (dag_id, run_id, task_id, try_number, fingerprint, occurred_at, error_class, code, exception,
  message, transient, next_step, what_to_do)
select 'dag_000', 'r' || n, 'fetch', 1, 'f', %(at)s, 'NETWORK', 'HTTP_503', '', 'of anna@example.org', true, 'retry', ''
from generate_series(1, %(count)s) as n
"""
UPDATE = """
insert into ops.graph_update (run_id, epoch, watermark, read, written, duplicates, skipped, dead, lost, batches,
  people_touched, people_created, edges_touched, edges_created, claimed, drained, acknowledged, pending, healed,
  seconds, created_at)
values (%s, 1, '0-0', 9, 9, 0, '{}', %s, 1, 1, 1, 1, 1, 1, 0, true, 9, 0, '{}', '{}', %s)
"""


@pytest.fixture
def warehouse(metadata_database, warehouse_database, alert_sink, monkeypatch):
    class Clock(datetime):
        """A session may begin in one week and end in the next."""

        @classmethod
        def now(cls, tz=None):
            return NOW.astimezone(tz)

    monkeypatch.setattr(tasks, "datetime", Clock)
    patient_alerts(monkeypatch)
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    fill(metadata_database.admin_url, History(end=NOW, runs=400, tasks=2, days=30, dags=3))
    roll_up(now=NOW)
    with psycopg.connect(warehouse_database.url, autocommit=True) as connection:
        at = datetime(MONDAY.year, MONDAY.month, MONDAY.day, 12, tzinfo=UTC)
        connection.execute(ERROR, {"at": at, "count": 7})
        for run, dead, created in (("a", 5, at), ("b", 2, at), ("before", 9, at - digest.WEEK)):
            connection.execute(UPDATE, [run, dead, created])
        connection.execute("insert into organism.roster_rejection values ('r', 2, 'id', 'c', 'why', %s)", [at])
        yield connection


def test_what_it_holds(warehouse):
    found = digest.collect(warehouse, MONDAY)
    assert found.now.total == sum(each.total for each in found.dags) > 0
    assert found.before.total == sum(each.total for each in found.dags_before.values()) > 0
    assert [day.day for day in found.days] == [MONDAY + timedelta(days=n) for n in range(-7, 7)]
    assert sum(day.ok for day in found.days[7:]) == found.now.ok
    assert sum(day.failed for day in found.days[:7]) == found.before.failed
    assert [each.p95_s for each in found.dags] == sorted((each.p95_s for each in found.dags), reverse=True)
    (top,) = found.top_errors
    assert (top.error_class, top.code, top.dag_id, top.task_id, top.tries) == (
        "NETWORK",
        "HTTP_503",
        "dag_000",
        "fetch",
        7,
    )
    assert list(found.rejected.values()) == [7, 2, 1]
    assert list(found.rejected_before.values()) == [9, 1, 0]


def test_it_arrives_once_with_its_picture(warehouse, alert_sink):
    done = tasks.weekly_digest({})
    assert done["week"] == str(MONDAY)
    with pytest.raises(AirflowSkipException):
        tasks.weekly_digest({})
    (mail,) = alert_sink.emails()
    assert f"{done['runs']:,} runs successful" in mail["subject"]
    for part in (mail["text"], mail["html"]):
        assert "HTTP_503" in part
        assert "dag_000" in part
        assert "interactions that became dead letters" in part
        assert "example.org" not in part
    assert any(each["type"] == "image/png" for each in mail["attachments"])
    messages = alert_sink.slack_messages()
    assert "HTTP_503" in str(messages)
    assert any(message["files"] for message in messages)


def test_after_a_crash_between_sending_and_remembering_it_is_not_sent_again(warehouse, alert_sink):
    tasks.weekly_digest({})
    warehouse.execute("delete from ops.weekly_digest")
    tasks.weekly_digest({})
    assert len(alert_sink.emails()) == 1


def test_one_of_the_week_so_far_does_not_take_the_weekly_ones_place(warehouse, alert_sink):
    assert tasks.weekly_digest({"digest_now": True})["week"] == str(digest.monday_of(NOW))
    assert tasks.weekly_digest({})["week"] == str(MONDAY)
    assert len(alert_sink.emails()) == 2


def test_without_a_channel_it_is_not_tried_again_every_hour(warehouse, alert_sink, monkeypatch):
    for name in alert_sink.connections:
        monkeypatch.delenv(name)
    assert tasks.weekly_digest({})["week"] == str(MONDAY)
    with pytest.raises(AirflowSkipException):
        tasks.weekly_digest({})
    assert alert_sink.emails() == []


class TestWhenItIsDue:
    def due(self, connection, text):
        return digest.due(connection, datetime.fromisoformat(text))

    def test_from_monday_on_until_it_was_sent(self, warehouse_database):
        with psycopg.connect(warehouse_database.url) as connection:
            connection.execute(
                "insert into ops.workflow_stats (grain, bucket, dag_id, total) values ('week', '2026-11-09Z', '*', 1)"
            )
            assert self.due(connection, "2026-11-15T23:59:59+00:00") is None
            assert self.due(connection, "2026-11-16T00:07:00+00:00") == date(2026, 11, 9)
            # Nothing ran on Monday.
            assert self.due(connection, "2026-11-19T08:07:00+00:00") == date(2026, 11, 9)
            digest.mark_sent(connection, date(2026, 11, 9))
            assert self.due(connection, "2026-11-19T08:07:00+00:00") is None

    def test_not_of_a_week_without_runs(self, warehouse_database):
        with psycopg.connect(warehouse_database.url) as connection:
            assert self.due(connection, "2026-11-16T00:07:00+00:00") is None

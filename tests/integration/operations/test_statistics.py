"""`ops.workflow_stats` against a second count in plain Python, and what must not change it."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from benchmarks.history import History, airflow_environment, fill
from benchmarks.recount import recount, stored
from include.operations.metadata import RightsTooWide
from include.operations.statistics.rollup import roll_up, rolled_up_until
from tests.cli_runner import cli

__all__ = ["cli"]
pytestmark = pytest.mark.servers

# A Thursday; the history of two months ends here.
NOW = datetime(2026, 10, 1, 12, 30, tzinfo=UTC)
HISTORY = History(end=NOW, runs=600, tasks=9, days=62, dags=3)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Airflow:
    """Writes rows as Airflow 3.3.2 does."""

    def __init__(self, connection):
        self.connection = connection

    def run(self, run_id, start, end=None, state="success", dag_id="d"):
        """A run begins, or goes on to another state."""
        self.connection.execute(
            "insert into dag_run (dag_id, run_id, run_type, state, run_after, start_date, end_date) "
            "values (%(dag)s, %(run)s, 'scheduled', %(state)s, now(), %(start)s, %(end)s) "
            "on conflict (dag_id, run_id) do update set state = %(state)s, start_date = %(start)s, end_date = %(end)s",
            {"dag": dag_id, "run": run_id, "state": state if end else "running", "start": start, "end": end},
        )

    def reopen(self, run_id, dag_id="d"):
        """A person clears a task: the run is queued, without a start, with its old end."""
        self.connection.execute(
            "update dag_run set state = 'queued', start_date = null, clear_number = clear_number + 1 "
            "where dag_id = %s and run_id = %s",
            [dag_id, run_id],
        )

    def newest_try(self, number, start, state="success", run_id="r", max_tries=3):
        self._try("task_instance", "id", number, start, state, run_id, max_tries)

    def earlier_try(self, number, start, state="failed", run_id="r", max_tries=3, events=("running", "up_for_retry")):
        self._try("task_instance_history", "task_instance_id", number, start, state, run_id, max_tries)
        for event in events:
            self.connection.execute(
                "insert into log (dttm, dag_id, task_id, run_id, map_index, try_number, event) "
                "values (now(), 'd', 't', %s, -1, %s, %s)",
                [run_id, number, event],
            )

    def _try(self, table, key, number, start, state, run_id, max_tries):
        self.connection.execute(
            f"insert into {table} ({key}, dag_id, run_id, task_id, map_index, try_number, max_tries, state, "
            "start_date, pool, pool_slots) values (%s, 'd', %s, 't', -1, %s, %s, %s, %s, 'default_pool', 1)",
            [uuid.uuid4(), run_id, number, max_tries, state, start],
        )


@pytest.fixture
def airflow(metadata_database) -> Iterator[Airflow]:
    # The history's foreign key to the newest try is Airflow's care, not this test's.
    with psycopg.connect(metadata_database.admin_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield Airflow(connection)


@pytest.fixture
def stats(warehouse_database):
    def stats(grain="hour", dag_id="d"):
        found = stored(warehouse_database.url)
        return {bucket: row for (each, bucket, dag), row in sorted(found.items()) if (each, dag) == (grain, dag_id)}

    return stats


def labels(row):
    """Tries, retries, restarts, clears."""
    return row[3:7]


class TestAgainstASecondCount:
    @pytest.fixture(autouse=True)
    def history(self, metadata_database, warehouse_database):
        fill(metadata_database.admin_url, HISTORY)
        with psycopg.connect(warehouse_database.url) as connection:
            connection.execute(_ERRORS, {"end": NOW})

    def test_equal_to_the_last_digit(self, metadata_database, warehouse_database):
        done = roll_up(now=NOW)
        mine, other = stored(warehouse_database.url), recount(metadata_database.url, warehouse_database.url)
        assert mine == other
        assert {grain for grain, _, _ in mine} == {"hour", "day", "week", "month"}
        total = mine["month", datetime(2026, 9, 1, tzinfo=UTC), "*"]
        # Nothing that is hard to count is missing from the history.
        with psycopg.connect(metadata_database.url) as connection:
            query = "select count(*) from dag_run where end_date is not null and start_date is null"
            assert connection.execute(query).fetchone()[0] > 0
        assert min(total[:7]) > 0
        assert set(total[-1]) == {"NETWORK", "TIMEOUT"}
        assert done.runs == sum(row[0] for (grain, _, dag), row in mine.items() if (grain, dag) == ("hour", "*"))

    def test_again_changes_nothing(self, warehouse_database):
        roll_up(now=NOW)
        with psycopg.connect(warehouse_database.url) as connection:
            query = "select max(updated_at), count(*) from ops.workflow_stats"
            before = connection.execute(query).fetchone()
            assert (roll_up(now=NOW).rows, roll_up(now=NOW, backfill=True).rows) == (0, 0)
            assert connection.execute(query).fetchone() == before

    @pytest.mark.parametrize("days", [30, 1])
    def test_what_airflow_db_clean_removed_is_kept(self, metadata_database, warehouse_database, tmp_path, days):
        roll_up(now=NOW)
        before = stored(warehouse_database.url)
        # A cutoff in the middle of an hour; with one day, of an hour that is read again.
        cutoff = NOW - timedelta(days=days)
        command = [sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--verbose"]
        command += ["--clean-before-timestamp", cutoff.isoformat()]
        done = subprocess.run(
            command,
            env=airflow_environment(metadata_database.url, tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with psycopg.connect(metadata_database.url) as connection:
            assert connection.execute("select count(*) from dag_run").fetchone()[0] < HISTORY.runs * 0.6
        assert recount(metadata_database.url, warehouse_database.url) != before
        roll_up(now=NOW)
        assert stored(warehouse_database.url) == before
        roll_up(now=NOW, backfill=True)
        assert stored(warehouse_database.url) == before
        # The week and the month that lost some of their runs go on counting.
        with psycopg.connect(metadata_database.admin_url) as connection:
            connection.execute("set session_replication_role = replica")
            Airflow(connection).run("new", NOW, NOW + MINUTE, dag_id="dag_000")
        roll_up(now=NOW + HOUR)
        for grain, bucket in (
            ("week", datetime(2026, 9, 28, tzinfo=UTC)),
            ("month", datetime(2026, 10, 1, tzinfo=UTC)),
        ):
            key = (grain, bucket, "dag_000")
            assert stored(warehouse_database.url)[key][0] == before[key][0] + 1

    def test_roll_ups_at_the_same_time(self, metadata_database, warehouse_database):
        start = threading.Barrier(3)

        def run(_):
            start.wait()
            return roll_up(now=NOW).rows

        with ThreadPoolExecutor(3) as pool:
            written = sorted(pool.map(run, range(3)))
        assert written[:2] == [0, 0]
        assert stored(warehouse_database.url) == recount(metadata_database.url, warehouse_database.url)


def test_a_superuser_is_refused_and_nothing_is_written(metadata_database, stats, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_AIRFLOW_METADATA", metadata_database.admin_url.replace("postgresql://", "postgres://")
    )
    with pytest.raises(RightsTooWide):
        roll_up(now=NOW)
    assert stats() == {}


class TestRuns:
    def test_a_run_counts_when_it_ends_however_late(self, airflow, stats):
        start = NOW - timedelta(days=40)
        airflow.run("long", start)
        airflow.run("short", NOW - HOUR, NOW - HOUR + MINUTE)
        roll_up(now=NOW)
        assert [row[0] for row in stats("month").values()] == [1]
        airflow.run("long", start, NOW + HOUR)
        roll_up(now=NOW + HOUR)
        hours = stats()
        assert hours[datetime(2026, 10, 1, 13, tzinfo=UTC)][:3] == (1, 1, 0)
        assert hours[datetime(2026, 10, 1, 13, tzinfo=UTC)][9] == timedelta(days=40, hours=1).total_seconds()
        assert list(stats("month")) == [datetime(2026, 10, 1, tzinfo=UTC)]

    def test_a_run_that_is_cleared_counts_once_by_its_newest_end(self, airflow, stats):
        failed, mended = datetime(2026, 9, 30, 23, tzinfo=UTC), datetime(2026, 10, 1, 12, tzinfo=UTC)
        airflow.run("r", failed, failed + MINUTE, state="failed")
        roll_up(now=NOW)
        assert stats()[failed][:3] == (1, 0, 1)
        airflow.reopen("r")
        roll_up(now=NOW)
        assert stats()[failed][:3] == (0, 0, 0)
        assert stats()[failed][7:12] == (None,) * 5
        airflow.run("r", mended, mended + 2 * MINUTE)
        roll_up(now=NOW)
        assert [row[:3] for row in stats().values()] == [(0, 0, 0), (1, 1, 0)]
        assert [row[:3] for row in stats("day", "*").values()] == [(0, 0, 0), (1, 1, 0)]
        assert stats()[mended][7] == 120.0

    def test_a_run_that_was_cleared_and_ended_again_between_two_roll_ups_leaves_its_old_hour(self, airflow, stats):
        airflow.run("r", NOW - 3 * HOUR, NOW - 2 * HOUR, state="failed")
        roll_up(now=NOW)
        airflow.run("r", NOW - HOUR, NOW)
        roll_up(now=NOW)
        assert [row[:3] for row in stats().values()] == [(0, 0, 0), (1, 1, 0)]

    def test_days_weeks_and_months_begin_in_utc_and_weeks_on_monday(self, airflow, stats, metadata_database):
        # Where an hour begins at a quarter past.
        roles = ("airflow_reader", "warehouse")
        with psycopg.connect(metadata_database.admin_url, autocommit=True) as admin:
            for role in roles:
                admin.execute(f"alter role {role} set timezone = 'Asia/Kathmandu'")
            try:
                last = datetime(2026, 8, 30, 23, 59, 59, 999999, tzinfo=UTC)
                ends = (last, last + timedelta(microseconds=1), datetime(2026, 9, 1, tzinfo=UTC))
                for number, end in enumerate(ends):
                    airflow.run(f"r{number}", end - MINUTE, end)
                    airflow.newest_try(1, end, run_id=f"r{number}")
                roll_up(now=NOW)
            finally:
                for role in roles:
                    admin.execute(f"alter role {role} reset timezone")
        assert [(bucket.day, bucket.hour, row[0], row[3]) for bucket, row in stats().items()] == [
            (30, 23, 1, 1),
            (31, 0, 1, 1),
            (1, 0, 1, 1),
        ]
        days = {grain: [(bucket.month, bucket.day, row[0]) for bucket, row in stats(grain).items()] for grain in _LONG}
        assert days == {
            "day": [(8, 30, 1), (8, 31, 1), (9, 1, 1)],
            "week": [(8, 24, 1), (8, 31, 2)],
            "month": [(8, 1, 2), (9, 1, 1)],
        }

    def test_a_run_that_never_began_has_no_duration(self, airflow, stats):
        airflow.run("r", None, NOW, state="failed")
        roll_up(now=NOW)
        assert next(iter(stats().values()))[:3] == (1, 0, 1)
        assert next(iter(stats().values()))[7:12] == (None,) * 5

    def test_a_clock_that_was_wrong_does_not_hide_the_present(self, airflow, stats):
        airflow.run("future", NOW, datetime(2999, 1, 1, tzinfo=UTC))
        roll_up(now=NOW)
        airflow.run("now", NOW, NOW + MINUTE)
        roll_up(now=NOW + HOUR)
        assert [row[0] for row in stats().values()] == [1, 1]

    def test_an_outage_of_months_is_caught_up(self, airflow, stats):
        airflow.run("before", NOW, NOW + MINUTE)
        roll_up(now=NOW + MINUTE)
        for days in (1, 50, 100):
            airflow.run(f"r{days}", NOW, NOW + timedelta(days=days))
        roll_up(now=NOW + timedelta(days=100))
        assert sum(row[0] for row in stats("month").values()) == 4

    def test_what_is_too_old_is_neither_read_nor_kept(self, airflow, stats, warehouse_database):
        # The week of the oldest month that is kept begins in the month before.
        old = datetime(2024, 8, 31, 23, tzinfo=UTC)
        airflow.run("old", old, old + MINUTE)
        airflow.run("new", NOW, NOW + MINUTE)
        roll_up(now=old + HOUR)
        month, week = stats("month"), stats("week")
        airflow.run("late", old, old + 2 * HOUR)
        roll_up(now=NOW, backfill=True)
        assert month.items() <= stats("month").items()
        # Half of this week can still be counted, so what was counted before stays.
        assert week.items() <= stats("week").items()
        assert list(stats()) == [datetime(2024, 9, 1, 1, tzinfo=UTC), NOW.replace(minute=0)]
        with psycopg.connect(warehouse_database.url) as connection:
            assert connection.execute("select run_id from ops.workflow_run order by 1").fetchall() == [
                ("late",),
                ("new",),
            ]

    def test_up_to_when_the_metadata_may_be_cleaned(self, airflow, warehouse_database):
        with psycopg.connect(warehouse_database.url) as connection:
            assert rolled_up_until(connection) is None
            airflow.run("r", NOW, NOW + MINUTE)
            roll_up(now=NOW + HOUR)
            connection.rollback()
            assert rolled_up_until(connection) == NOW.replace(minute=0)


class TestTries:
    """The row of the hour in which the second try began: tries, retries, restarts, clears."""

    FIRST, SECOND = NOW - 2 * HOUR, NOW - HOUR

    @pytest.fixture
    def second(self, airflow, stats):
        """Count what the second try is taken for, after a first try as told."""

        def second(newest=None, **earlier):
            airflow.run("r", self.FIRST, self.SECOND + MINUTE)
            airflow.earlier_try(1, self.FIRST, **earlier)
            airflow.newest_try(2, self.SECOND, **(newest or {}))
            roll_up(now=NOW)
            first, row = stats().values()
            # Whatever the second was, the first began in its own hour.
            assert labels(first) == (1, 0, 0, 0)
            return labels(row)

        return second

    def test_after_a_failure(self, second):
        assert second() == (1, 1, 0, 0)

    @pytest.mark.parametrize("event", ["failed", "heartbeat timeout"])
    def test_after_a_killed_process(self, second, event):
        assert second(events=("running", event)) == (1, 1, 0, 0)

    def test_after_a_scheduler_was_killed(self, second):
        assert second(events=("running",)) == (1, 0, 1, 0)

    def test_after_a_clear_of_a_success(self, second):
        assert second({"max_tries": 4}, state="success", events=("running", "success")) == (1, 0, 0, 1)

    def test_after_a_clear_of_a_failure(self, second):
        assert second({"max_tries": 4}, events=("running", "failed")) == (1, 0, 0, 1)

    def test_after_the_audit_log_was_cleaned(self, second):
        assert second(events=()) == (1, 1, 0, 0)

    def test_a_try_that_waits_has_not_begun(self, airflow, stats):
        airflow.run("r", self.FIRST)
        airflow.earlier_try(1, self.FIRST)
        airflow.newest_try(2, self.FIRST, state="queued")
        roll_up(now=NOW)
        assert [labels(row) for row in stats().values()] == [(1, 0, 0, 0)]

    def test_a_try_that_stands_in_both_tables_counts_once(self, airflow, stats):
        airflow.run("r", self.FIRST)
        airflow.earlier_try(1, self.FIRST)
        airflow.newest_try(1, self.FIRST, state="up_for_retry")
        roll_up(now=NOW)
        assert [labels(row) for row in stats().values()] == [(1, 0, 0, 0)]

    def test_a_try_that_was_lost_in_the_queue_is_a_restart(self, airflow, stats):
        airflow.run("r", self.FIRST, self.SECOND + MINUTE)
        airflow.earlier_try(1, self.FIRST)
        airflow.earlier_try(2, self.FIRST, events=())
        airflow.newest_try(3, self.SECOND)
        roll_up(now=NOW)
        assert [labels(row) for row in stats().values()] == [(1, 0, 0, 0), (1, 0, 1, 0)]

    def test_what_never_ran_is_no_try(self, airflow, stats):
        airflow.run("r", self.FIRST, NOW, state="failed")
        airflow.newest_try(0, self.SECOND, state="upstream_failed")
        roll_up(now=NOW)
        assert [labels(row) for row in stats().values()] == [(0, 0, 0, 0)]


def test_labels_of_what_airflows_own_code_writes(metadata_database, stats, tmp_path):
    """One try that was lost with its scheduler, one after a killed process, three that a person cleared."""
    script = Path(__file__).with_name("airflow_writes.py")
    env = airflow_environment(metadata_database.url, tmp_path) | {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    roll_up(now=datetime.now(UTC))
    assert [labels(row) for row in stats().values()] == [(5, 0, 0, 0), (5, 1, 1, 3)]


@pytest.mark.usefixtures("metadata_database")
class TestErrors:
    def test_failed_tries_by_class_outlive_their_rows(self, stats, warehouse_database):
        at = NOW - HOUR
        with psycopg.connect(warehouse_database.url, autocommit=True) as connection:
            for number, kind in ((1, "NETWORK"), (2, "NETWORK"), (3, "AUTH")):
                connection.execute(
                    "insert into ops.run_error (dag_id, run_id, task_id, try_number, fingerprint, occurred_at, "
                    "error_class, code, exception, message, transient, next_step, what_to_do) "
                    "values ('d', 'r', 't', %s, 'f', %s, %s, '', '', '', true, 'retry', '')",
                    [number, at, kind],
                )
            roll_up(now=NOW)
            expected = {"NETWORK": 2, "AUTH": 1}
            assert [row[-1] for row in stats("week", "*").values()] == [expected]
            connection.execute("delete from ops.run_error where try_number = 1")
            roll_up(now=NOW, backfill=True)
            assert [row[-1] for row in stats().values()] == [expected]


def test_the_command_line_backfills_and_shows(airflow, warehouse_database, cli):
    for number in range(3):
        end = NOW + number * MINUTE
        airflow.run(f"r{number}", end - MINUTE, end, state="failed" if number == 2 else "success")
    assert "3 runs since" in cli("stats", "backfill").out
    header, row = (line.split() for line in cli("stats", "show", "--dag", "d").out.splitlines())
    assert dict(zip(header, row[:1] + row[2:], strict=True)) == {
        **dict.fromkeys(("tries", "retries", "restarts", "clears"), "0"),
        "from": "2026-10-01",
        "runs": "3",
        "ok": "2",
        "failed": "1",
        "median": "1.0m",
        "p95": "1.0m",
        "errors": "-",
    }
    (week,) = json.loads(cli("stats", "show", "--grain", "week", "--json").out)
    assert (week["bucket"], week["total"], week["avg_s"]) == ("2026-09-28T00:00:00+00:00", 3, 60.0)
    assert cli("stats", "show", "--grain", "year").code == 2


_LONG = ("day", "week", "month")
_ERRORS = """
insert into ops.run_error (dag_id, run_id, task_id, try_number, fingerprint, occurred_at, error_class, code, exception,
  message, transient, next_step, what_to_do)
select 'dag_00' || n %% 3, 'r' || n / 7, 't', n, 'f', %(end)s::timestamptz - n * interval '5 hours',
  case when n %% 3 = 0 then 'TIMEOUT' else 'NETWORK' end, '', '', '', true, 'retry', ''
from generate_series(1, 250) as n
"""

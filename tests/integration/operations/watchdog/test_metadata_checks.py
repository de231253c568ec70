"""Each check on Airflow's metadata, on the real schema, through the read-only role."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import sql

from benchmarks.history import History, fill
from include.operations.statistics import source
from include.operations.watchdog.metadata_checks import CHECKS
from include.operations.watchdog.thresholds import THRESHOLDS

pytestmark = pytest.mark.servers

DAG = "organism_incremental_update"


class TestRetryRate:
    def tries(self, airflow, good, retried, start):
        for number in range(good + retried):
            run = f"r{number}"
            airflow.run(DAG, run, start, start + timedelta(seconds=9))
            again = number < retried
            if again:
                airflow.task(DAG, run, "t", start, start + timedelta(seconds=1), "failed", history=True)
                for event in ("running", "up_for_retry"):
                    airflow.event(DAG, run, "t", event)
            begin = start + timedelta(seconds=5)
            airflow.task(DAG, run, "t", begin, begin + timedelta(seconds=2), try_number=1 + again)

    def test_share_of_tries_that_repeat_one(self, airflow):
        self.tries(airflow, good=24, retried=8, start=airflow.ago(minutes=50))
        found = airflow.read("retry_rate")
        assert set(found) == {("retry_rate_1h", "")}
        reading = found["retry_rate_1h", ""]
        assert reading.value == pytest.approx(100 * 8 / 40)
        assert reading.detail == (f"8 of 40 tries in 1 h are retries: {DAG} 8 of 40",)

    def test_only_tries_that_began_in_the_window_count(self, airflow):
        self.tries(airflow, good=50, retried=10, start=airflow.ago(hours=2))
        assert set(airflow.read("retry_rate")) == {("retry_rate_24h", "")}

    def test_with_few_tries_there_is_no_rate(self, airflow):
        self.tries(airflow, good=5, retried=5, start=airflow.ago(minutes=50))
        assert airflow.read("retry_rate") == {}

    def test_a_try_that_waits_for_the_next_one_counts_once(self, airflow):
        self.tries(airflow, good=20, retried=0, start=airflow.ago(minutes=50))
        start, end = airflow.ago(minutes=3), airflow.ago(minutes=2)
        airflow.run(DAG, "waits", start, None, "running")
        airflow.task(DAG, "waits", "t", start, end, "failed", history=True)
        airflow.task(DAG, "waits", "t", start, end, "up_for_retry", try_number=1)
        assert airflow.read("retry_rate")["retry_rate_1h", ""].detail == ("0 of 21 tries in 1 h are retries",)
        # Queued: the next number, and still the start of the one before.
        airflow.connection.execute("update task_instance set state = 'queued', try_number = 2 where run_id = 'waits'")
        assert airflow.read("retry_rate")["retry_rate_1h", ""].detail == ("0 of 21 tries in 1 h are retries",)

    def test_a_cleared_task_and_one_lost_with_its_scheduler_are_no_retries(self, airflow):
        self.tries(airflow, good=20, retried=0, start=airflow.ago(minutes=50))
        start = airflow.ago(minutes=9)
        for run in ("cleared", "lost"):
            airflow.run(DAG, run, start, None, "running")
            airflow.event(DAG, run, "t", "running")
            airflow.task(DAG, run, "t", start, start, "success" if run == "cleared" else "failed", history=True)
            airflow.task(DAG, run, "t", airflow.ago(minutes=2), None, "running", try_number=2)
        assert airflow.read("retry_rate")["retry_rate_1h", ""].detail == ("0 of 24 tries in 1 h are retries",)


class TestDurations:
    def past(self, airflow, seconds, task_seconds=None):
        for number, length in enumerate(seconds):
            start = airflow.ago(hours=1 + number)
            airflow.run(DAG, f"r{number}", start, start + timedelta(seconds=length))
            if task_seconds:
                airflow.task(DAG, f"r{number}", "t", start, start + timedelta(seconds=task_seconds[number]))

    def test_a_run_is_slow_while_it_is_still_running(self, airflow):
        self.past(airflow, [30, 40, 50, 40, 40])
        airflow.run(DAG, "now", airflow.ago(seconds=100), None, "running")
        reading = airflow.read("durations")["run_duration", DAG]
        assert reading.value == pytest.approx(2.5)
        assert reading.normal == "1 x = 40.0 s (median of 5 successes)"
        assert reading.since == airflow.ago(seconds=100)
        assert reading.dag_id == DAG

    def test_the_usual_is_the_median_of_the_last_20_successes(self, airflow):
        self.past(airflow, [40] * 20 + [4000] * 30)
        airflow.run(DAG, "failed", airflow.ago(minutes=30), airflow.ago(minutes=29), "failed")
        airflow.run(DAG, "now", airflow.ago(seconds=80), None, "running")
        assert airflow.read("durations")["run_duration", DAG].value == pytest.approx(2)

    def test_short_runs_and_new_dags_are_never_slow(self, airflow):
        self.past(airflow, [1] * 5)
        airflow.run(DAG, "now", airflow.ago(seconds=59), None, "running")
        airflow.run("new", "now", airflow.ago(hours=9), None, "running")
        assert airflow.read("durations") == {}

    def test_a_run_that_waits_for_a_person_is_not_slow(self, airflow):
        self.past(airflow, [40] * 5)
        airflow.run(DAG, "review", airflow.ago(hours=9), None, "running")
        airflow.task(DAG, "review", "approve", airflow.ago(hours=9), None, "awaiting_input")
        assert airflow.read("durations") == {}

    def test_a_task_is_slow_while_it_is_still_running(self, airflow):
        self.past(airflow, [500] * 6, task_seconds=[20, 30, 40, 20, 30, 40])
        airflow.run(DAG, "now", airflow.ago(seconds=150), None, "running")
        airflow.task(DAG, "now", "t", airflow.ago(seconds=120), None, "running")
        found = airflow.read("durations")
        assert found["task_duration", f"{DAG}.t"].value == pytest.approx(4)
        assert found["task_duration", f"{DAG}.t"].task_id == "t"
        assert found["run_duration", DAG].value == pytest.approx(0.3)

    def test_of_mapped_tasks_the_slowest_is_told(self, airflow):
        self.past(airflow, [500] * 6, task_seconds=[30] * 6)
        airflow.run(DAG, "now", airflow.ago(seconds=150), None, "running")
        for index, seconds in enumerate((70, 120, 90)):
            airflow.task(DAG, "now", "t", airflow.ago(seconds=seconds), None, "running", map_index=index)
        reading = airflow.read("durations")["task_duration", f"{DAG}.t"]
        assert (reading.value, reading.detail) == (pytest.approx(4), ("now [1] has been running for 120 s",))


def test_queue_counts_what_could_run_and_does_not(airflow):
    airflow.run(DAG, "r", airflow.ago(minutes=9), None, "running")
    for index in range(7):
        state, pool = ("queued", "a") if index < 3 else ("scheduled", "b")
        airflow.task(DAG, "r", "t", state=state, map_index=index, pool=pool, scheduled_dttm=airflow.ago(minutes=index))
    airflow.task(DAG, "r", "u", airflow.ago(minutes=9), state="running")
    reading = airflow.read("task_queue")["task_queue", ""]
    assert (reading.value, reading.since) == (7, airflow.ago(minutes=6))
    assert reading.detail == ("pool b: 4 wait, 0 of them with a slot", "pool a: 3 wait, 3 of them with a slot")


def test_late_are_runs_not_made_and_runs_not_started(airflow):
    airflow.dag("on_time")
    airflow.dag("late", next_dagrun_create_after=airflow.ago(minutes=12))
    airflow.dag("paused", next_dagrun_create_after=airflow.ago(minutes=12), is_paused=True)
    airflow.dag("deleted", next_dagrun_create_after=airflow.ago(minutes=12), is_stale=True)
    airflow.run("queued", "r", None, None, "queued", run_after=airflow.ago(minutes=30))
    airflow.run("cleared", "r", None, None, "queued", run_after=airflow.ago(days=3), queued_at=airflow.ago(minutes=1))
    found = {subject: reading.value for (_, subject), reading in airflow.read("late_runs").items()}
    assert found == {"late": pytest.approx(12), "queued": pytest.approx(30), "cleared": pytest.approx(1)}


def test_success_rate_by_dag_of_runs_that_ended_within_24_hours(airflow):
    for number in range(30):
        start = airflow.ago(hours=20, minutes=-number)
        airflow.run(DAG, f"r{number}", start, start + timedelta(minutes=1), "failed" if number < 3 else "success")
        airflow.run(DAG, f"old{number}", airflow.ago(hours=25 + number), airflow.ago(hours=25 + number), "failed")
    airflow.run("nightly", "r", airflow.ago(hours=3), airflow.ago(hours=2), "failed")
    # It began yesterday and ended today.
    airflow.run(DAG, "long", airflow.ago(hours=40), airflow.ago(hours=1), "success")
    found = airflow.read("success_rate")
    assert {key: reading.value for key, reading in found.items()} == {
        ("success_rate", DAG): pytest.approx(100 * 28 / 31)
    }
    assert found["success_rate", DAG].detail == ("28 of 31 runs succeeded in 24 h",)


def test_paused_are_dags_with_a_schedule_that_may_not_be(airflow, monkeypatch):
    monkeypatch.setenv("WATCHDOG_MAY_BE_PAUSED", "holiday, other")
    for name in ("should_run", "holiday"):
        airflow.dag(name, is_paused=True)
    airflow.dag("on_demand", is_paused=True, timetable_type="airflow.timetables.simple.NullTimetable")
    airflow.dag("gone", is_paused=True, is_stale=True)
    airflow.dag("runs")
    found = airflow.read("paused_dags")
    assert list(found) == [("paused_dag", "should_run")]
    assert found["paused_dag", "should_run"].value is None


def test_import_errors(airflow):
    since = airflow.ago(minutes=4)
    airflow.insert("import_error", timestamp=since, filename="vms/broken.py", bundle_name="dags-folder", stacktrace="x")
    (reading,) = airflow.read("import_errors").values()
    assert (reading.subject, reading.value, reading.since) == ("vms/broken.py", 1, since)


def test_components_by_their_newest_heartbeat(airflow):
    airflow.job("SchedulerJob", airflow.ago(hours=5), "failed")
    airflow.job("SchedulerJob", airflow.ago(seconds=3))
    airflow.job("DagProcessorJob", airflow.ago(minutes=7))
    found = {subject: reading for (_, subject), reading in airflow.read("components").items()}
    assert found["scheduler"].value == 3
    assert found["dag-processor"].value == 420
    assert found["triggerer"].value is None


def test_components_a_deployment_does_not_have_are_not_missed(airflow, monkeypatch):
    monkeypatch.setenv("WATCHDOG_COMPONENTS", "scheduler, dag-processor")
    assert {subject for _, subject in airflow.read("components")} == {"scheduler", "dag-processor"}


def test_size_of_the_database(airflow):
    (reading,) = airflow.read("metadata_size").values()
    assert 0.005 < reading.value < 1
    assert reading.detail[0].startswith("largest tables: ")


def test_the_checks_cover_the_table():
    covered = {check for _, covers in CHECKS.values() for check in covers}
    assert covered <= set(THRESHOLDS)


def test_nothing_is_said_of_an_airflow_that_was_just_made(airflow):
    found = [reading for name in CHECKS for reading in airflow.read(name).values()]
    bad = {each.check for each in found if each.value is not None and THRESHOLDS[each.check].is_bad(each.value)}
    assert bad == set()


def test_retries_are_what_the_statistics_call_retries(airflow, metadata_urls):
    """On a history with clears, lost schedulers, waiting tries and mapped tasks."""
    end = datetime(2026, 2, 28, 12, tzinfo=UTC)
    fill(metadata_urls[0], History(end, runs=1_500, tasks=10, days=3, dags=4))
    # The generator gives running tries no heartbeat; Airflow does when they begin.
    airflow.connection.execute(
        "update task_instance set last_heartbeat_at = start_date where last_heartbeat_at is null"
    )
    airflow.now = end + timedelta(hours=1)
    since = airflow.now - timedelta(hours=24)
    query = source.TRIES.partition("copy (")[2].rpartition(") to stdout")[0]
    rows = airflow.connection.execute(sql.SQL(query).format(since=sql.Literal(since))).fetchall()
    tries, retries = sum(row[2] for row in rows), sum(row[3] for row in rows)
    assert 0 < retries < sum(row[3] + row[4] + row[5] for row in rows)
    reading = airflow.read("retry_rate")["retry_rate_24h", ""]
    assert reading.detail[0].startswith(f"{retries} of {tries} tries in 24 h are retries")

"""Which event is news, and what it becomes: one incident, few messages, one recovery."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from include.operations import alerts
from include.operations.alerts import silences

pytestmark = pytest.mark.servers
DAG = "organism_incremental_update"


def test_a_failure_is_told_at_once(world):
    world.fail()
    (message,) = world.slack()
    assert "🟠 P2 failed: organism_incremental_update.update_graph failed" in message["text"]
    assert world.rows("select sent_at from ops.alert_event")[0]["sent_at"] is not None
    assert [event["tags"]["error_class"] for event in world.sink.sentry_events()] == ["DATABASE"]
    assert world.sink.emails() == []


def test_p1_goes_everywhere_and_calls(world):
    world.fail(error_class="AUTH", code="HTTP_401")
    (message,) = world.slack()
    assert message["text"].startswith("<!here> 🔴 P1 act now")
    (mail,) = world.sink.emails()
    assert "🔴" in mail["subject"]
    assert mail["headers"]["Auto-Submitted"] == "auto-generated"
    assert "alerts.local" in mail["headers"]["List-Id"]
    assert "P1 act now" in mail["text"]
    assert "P1 act now" in mail["html"]
    assert [event["level"] for event in world.sink.sentry_events()] == ["fatal"]


def test_rows_that_were_refused_are_no_business_of_sentry(world):
    world.fail(error_class="VALIDATION", code="INPUT_REJECTED")
    assert len(world.slack()) == 1
    assert world.sink.sentry_events() == []


def test_the_same_event_twice_is_told_once(world):
    """After a lost heartbeat Airflow calls back twice, three seconds apart."""
    world.fail()
    world.later(seconds=3)
    world.fail()
    assert len(world.slack()) == 1
    assert world.rows("select occurrences from ops.incident") == [{"occurrences": 1}]


def test_thirty_tasks_and_the_run_that_fail_at_once_are_one_incident(world):
    start = threading.Barrier(10)

    def fail(number):
        if number < 10:
            start.wait()
        world.fail(task_id=f"task_{number}", fingerprint=f"{number:012}", title=f"{DAG}.task_{number} failed")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(fail, range(30)))
    world.fail(kind="run_failed", task_id="", try_number=0, fingerprint="process-lost", error_class="UNKNOWN")
    assert len(world.slack()) == 1
    (incident,) = world.rows("select occurrences, cardinality(keys) as keys from ops.incident")
    assert incident == {"occurrences": 1, "keys": 31}
    assert world.rows("select count(*) as n from ops.alert_event where incident_id is not null") == [{"n": 31}]


def test_a_run_that_failed_belongs_to_what_its_own_tasks_told_not_to_an_older_incident(world):
    for number, task in ((1, "a"), (2, "b")):
        world.fail(number, task_id=task, fingerprint=f"of-{task}")
        world.fail(number, kind="run_failed", task_id="", try_number=0, fingerprint="lost", error_class="UNKNOWN")
    found = world.rows("select task_id, occurrences from ops.incident where kind <> 'rollup' order by id")
    assert found == [{"task_id": "a", "occurrences": 1}, {"task_id": "b", "occurrences": 1}]


def test_what_passes_on_the_failure_of_another_run_is_told_there(world):
    """The nightly run waits for the objects' runs, which have told; of what nobody told it tells itself."""
    night = {"dag_id": "vms_full_sync", "run_id": "night", "error_class": "DATABASE"}
    for number, name in ((1, "schools"), (2, "classes")):
        world.fail(number, dag_id=f"vms_sync_{name}", task_id="extract", title=f"vms_sync_{name}.extract failed")
        cause = (f"vms_sync_{name}", f"scheduled__{number}")
        world.fail(**night, task_id=name, fingerprint="passed-on", title=f"{name} failed", cause=cause)
    found = world.rows("select dag_id, title, occurrences from ops.incident where kind <> 'rollup' order by id")
    assert found == [
        {"dag_id": f"vms_sync_{name}", "title": f"vms_sync_{name}.extract failed", "occurrences": 1}
        for name in ("schools", "classes")
    ]
    world.fail(**night, kind="run_failed", task_id="", try_number=0, fingerprint="process-lost")
    assert world.rows("select count(*) as n from ops.incident where kind <> 'rollup'") == [{"n": 2}]
    night["run_id"] = "next-night"
    world.fail(**night, task_id="volunteers", fingerprint="own", cause=("vms_sync_volunteers", "unheard-of"))
    assert world.rows("select count(*) as n from ops.incident where kind <> 'rollup'") == [{"n": 3}]


def test_the_next_run_fails_in_another_of_its_tasks_first(world):
    world.fail(1, task_id="a")
    world.fail(1, task_id="b")
    world.later(minutes=5)
    world.fail(2, task_id="b")
    world.fail(2, task_id="a")
    assert len(world.slack()) == 1
    assert world.rows("select occurrences from ops.incident") == [{"occurrences": 2}]


def test_a_five_minute_dag_that_fails_for_six_hours(world):
    for number in range(72):
        world.fail(number)
        world.later(minutes=5)
    told = world.slack()
    assert [m.get("thread_ts") for m in told] == [None, told[0]["ts"], told[0]["ts"]]
    assert "72" not in told[0]["text"]
    # It flaps: a single good run ends nothing.
    world.succeed(100)
    world.fail(101)
    for number in range(102, 106):
        world.later(minutes=5)
        world.succeed(number)
    *_, recovery = world.slack()
    assert len(world.slack()) <= 6 + 1
    assert sum("Recovered" in title for title in world.titles()) == 1
    assert recovery["thread_ts"] == told[0]["ts"]
    assert recovery["text"].startswith("🟢 Recovered: organism_incremental_update.update_graph failed")
    fields = [field["text"] for block in recovery["blocks"] for field in block.get("fields", [])]
    assert fields == ["*Lasted*\n6 h 10 min (08:55 UTC to 15:05 UTC)", "*Failed*\n73 runs"]


def test_the_same_good_run_counts_once(world):
    world.fail()
    for _ in range(5):
        world.succeed(2)
    assert world.rows("select good_runs, recovered_at from ops.incident") == [{"good_runs": 1, "recovered_at": None}]


def test_good_runs_of_another_dag_end_nothing(world):
    world.fail()
    for number in range(5):
        world.succeed(number, "organism_load_roster")
    assert world.rows("select good_runs from ops.incident") == [{"good_runs": 0}]


def test_a_failure_after_the_recovery_is_a_new_incident(world):
    world.fail(1)
    world.succeed(2)
    world.succeed(3)
    world.later(hours=1)
    world.fail(4)
    assert [title.split(":")[0] for title in world.titles()] == ["🟠 P2 failed", "🟢 Recovered", "🟠 P2 failed"]


def test_what_gets_worse_is_told_at_once(world):
    world.fail(1)
    world.later(minutes=5)
    world.fail(2, error_class="AUTH", code="HTTP_401", task_id="update_graph", kind="task_failed")
    world.fail(2, task_id="acknowledge")
    assert [title.split(":")[0] for title in world.titles()] == ["🟠 P2 failed", "🔴 P1 act now"]


def test_lost_data_are_not_forgotten_by_the_run_that_lost_them(world):
    world.fail(1, kind="data_lost", error_class="VALIDATION", code="STREAM_TRIMMED")
    world.succeed(1)
    world.succeed(2)
    assert world.rows("select good_runs from ops.incident") == [{"good_runs": 1}]
    world.succeed(3)
    assert [title.split(":")[0] for title in world.titles()] == ["🔴 P1 act now", "🟢 Recovered"]


def test_a_warning_is_told_once_and_resolved_once(world):
    warning = world.problem(
        kind="warning", run_id="episode 7", task_id="", error_class="", code="", value="31 %", normal="below 20 %"
    )
    for _ in range(100):
        alerts.raise_problem(warning, now=world.now)
        world.later(minutes=5)
    (message,) = world.slack()
    assert "31 % (normal: below 20 %)" in str(message["blocks"])
    assert world.sink.sentry_events() == []
    for _ in range(2):
        alerts.resolve(warning, "Back below 20 %.", now=world.now)
    first, second = world.slack()
    assert second["thread_ts"] == first["ts"]
    assert "Back below 20 %." in str(second["blocks"])


def test_warnings_of_an_hour_share_a_message_that_is_edited(world):
    names = ["retry rate", "queue", "memory"]
    for name in names:
        world.fail(kind="warning", run_id=f"{name} 1", task_id=name, title=f"{name} is high", fingerprint=name)
        world.later(minutes=5)
    (message,) = world.slack()
    assert "3 incidents this hour" in message["text"]
    assert all(f"{name} is high" in str(message["blocks"]) for name in names)
    world.later(hours=1)
    world.fail(kind="warning", run_id="disk 1", task_id="disk", title="disk is full", fingerprint="disk")
    assert len(world.slack()) == 2


def test_silence(world):
    silences.add(
        reason="known", until=world.now.replace(hour=10), created_by="tester", dag_id=DAG, error_class="DATABASE",
        now=world.now,
    )  # fmt: skip
    world.fail(1)
    world.later(minutes=5)
    world.fail(2, error_class="NETWORK", task_id="acknowledge", fingerprint="other")
    assert len(world.slack()) == 1
    world.later(hours=2)
    # What was silenced was counted, and is told when the silence has ended.
    world.fail(3)
    assert len(world.slack()) == 2
    assert [row["occurrences"] for row in world.rows("select occurrences from ops.incident order by id")] == [2, 1]


def test_what_happened_only_in_silence_ends_in_silence(world):
    silences.add(reason="known", until=world.now.replace(hour=10), created_by="tester", dag_id=DAG, now=world.now)
    world.fail(1)
    world.succeed(2)
    world.succeed(3)
    assert world.slack() == []
    assert world.rows("select recovered_at from ops.incident")[0]["recovered_at"] is not None

"""The 5-minute pipeline through Airflow's own scheduler, on real servers; the graph is read back over Bolt."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import neo4j
import psutil
import psycopg
import pytest
import redis

from include.operations.airflow_api import AirflowApi
from include.operations.breaker_state import KEY, State
from local.testing import AirflowSystem
from tests import oracle

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
DAG = "organism_incremental_update"
_calls = itertools.count()
# Not of the fixture, which the second try of the module's last test makes anew: the graph is still the same.
_published: list[oracle.Event] = []
# Hundreds of commits, so that there is a middle also on a fast machine.
SLOWLY = {"batch_size": 500}
TASKS = ["fetch_interactions", "update_graph", "acknowledge", "invalidate_cache"]


class World:
    """The system, its clients, and every event published so far."""

    def __init__(self, system: AirflowSystem) -> None:
        env = system.env
        self.system = system
        self.redis = redis.Redis.from_url(env["AIRFLOW_CONN_ORGANISM_REDIS"])
        address, password = _bolt(env["AIRFLOW_CONN_ORGANISM_NEO4J"])
        self.driver = neo4j.GraphDatabase.driver(address, auth=("neo4j", password))
        self.warehouse = env["AIRFLOW_CONN_WAREHOUSE"]
        self.api = AirflowApi.from_environment(env)
        self.events = _published

    def quiet(self, seconds: float = 45) -> None:
        """Wait until no tick of the schedule drains what a test publishes within so many seconds."""
        # Not right after a tick either: the scheduler makes its run some seconds late.
        _wait(lambda: 20 < time.time() % 300 < 300 - seconds, 120, "the clock stands still")
        _wait(lambda: not self._active(), 240, "a run does not end")

    def _active(self) -> list[dict[str, Any]]:
        return [run for run in _runs(self, "scheduled") if run["state"] in {"queued", "running"}]

    def publish(self, events: list[oracle.Event]) -> None:
        with self.redis.pipeline(transaction=False) as pipe:
            for number, event in enumerate(events):
                pipe.xadd("interactions", dict(event))
                if number % 5_000 == 4_999:
                    pipe.execute()
            pipe.execute()
        self.events += events

    def run(self, timeout: float = 300) -> str:
        """Trigger over REST, wait for success, and return the run's id."""
        run = self.api.wait(self.api.trigger(DAG), timeout=timeout)
        assert run.state == "success", [(t.task_id, t.state, t.tries) for t in self.api.task_instances(run)]
        return run.run_id

    def row(self, run_id: str) -> dict[str, Any]:
        rows = self._rows("select * from ops.graph_update where run_id = %s", run_id)
        assert rows, f"run {run_id} left no row in ops.graph_update"
        return rows[0]

    def tries(self, table: str, run_id: str) -> list[dict[str, Any]]:
        """What the tries of a run have left in `run_error` or `task_usage`."""
        statement = f"select * from ops.{table} where run_id = %s order by task_id, try_number"
        return self._rows(statement, run_id)

    def finished(self) -> list[dict[str, Any]]:
        """Rows of all finished runs. A tick of the schedule may drain what a test has published, so tests add up."""
        return self._rows("select * from ops.graph_update where finished_at is not null order by created_at")

    def _rows(self, statement: str, *values: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.warehouse, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def assert_graph_is_right(self) -> None:
        assert oracle.differences(oracle.read_graph(self.driver), oracle.expected(self.events)) == []
        group = self.redis.xinfo_groups("interactions")[0]
        assert (group["pending"], group["lag"]) == (0, 0)


def _bolt(url: str) -> tuple[str, str]:
    account, _, address = url.removeprefix("neo4j://").partition("@")
    return f"bolt://{address}", account.partition(":")[2]


def _events(prefix: str, count: int, people: int = 300) -> list[oracle.Event]:
    """New events at each call, so that a test can be repeated."""
    dice = random.Random(prefix)
    call = next(_calls)
    return [
        {
            "id": f"{prefix}-{call}-{number}",
            "source": f"p{dice.randrange(people)}",
            "target": f"p{int(dice.paretovariate(0.7)) % people}",
            "type": dice.choice(["slack_message", "jira_action", "calendar_event", "email"]),
            "timestamp": str(1_700_000_000 + dice.randrange(10_000_000)),
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def world(airflow_system: AirflowSystem) -> Iterator[World]:
    world = World(airflow_system)
    # The first scheduled run starts with the scheduler; let it find an empty stream and end.
    _wait(lambda: any(r["state"] == "success" for r in _runs(world, "scheduled")), 240, "no scheduled run succeeded")
    yield world
    world.driver.close()
    world.redis.close()


def _runs(world: World, kind: str) -> list[dict[str, Any]]:
    reply = world.system.api.get(f"/api/v2/dags/{DAG}/dagRuns", params={"run_type": kind, "limit": 100})
    return list(reply.raise_for_status().json()["dag_runs"])


def _wait(condition: Any, seconds: float, complaint: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(complaint)
        time.sleep(0.05)
    return found


def test_a_triggered_run_puts_every_event_into_the_graph_once(world: World) -> None:
    before = len(world.finished())
    letters_before = world.redis.xlen("interactions:dead")
    events = _events("rest", 6_000)
    world.redis.set("metrics:employee:p1", "stale")
    world.redis.set("graph:stats", "stale")
    world.publish(events + events[:100])
    world.redis.xadd("interactions", {"id": "bad", "source": "p1", "type": "email", "timestamp": "1700000000"})
    run_id = world.run()
    world.assert_graph_is_right()
    rows = world.finished()[before:]
    assert run_id in {row["run_id"] for row in rows}
    total = {name: sum(row[name] for row in rows) for name in ("read", "written", "duplicates", "dead", "lost")}
    skipped = sum(sum(row["skipped"].values()) for row in rows)
    assert (total["read"], total["duplicates"], total["dead"], total["lost"]) == (6_101, 100, 1, 0)
    assert total["written"] + skipped == 6_000
    assert sum(row["acknowledged"] for row in rows) == 6_101
    assert (rows[-1]["pending"], rows[-1]["lag"]) == (0, 0)
    # The 6-hour pipeline may fill them anew at any moment.
    assert b"stale" not in world.redis.mget("metrics:employee:p1", "graph:stats")
    letters = [letter for _, letter in world.redis.xrange("interactions:dead")][letters_before:]
    assert [(letter[b"code"], letter[b"reason"]) for letter in letters] == [
        (b"missing_field", b"field 'target' is missing")
    ]
    tasks = world.api.task_instances(world.api.run(DAG, run_id))
    assert [task.task_id for task in tasks] == TASKS


def test_xcom_carries_a_small_manifest_without_people(world: World) -> None:
    run_id = world.run()
    for task in TASKS:
        value = world.api.xcom(world.api.run(DAG, run_id), task)
        text = json.dumps(value)
        assert len(text) < 2_000
        assert not any(f'"p{number}"' in text for number in range(300))


def test_every_try_leaves_what_it_used(world: World) -> None:
    run_id = world.run()
    used = world.tries("task_usage", run_id)
    assert sorted(row["task_id"] for row in used) == sorted(TASKS)
    for row in used:
        assert (row["try_number"], row["map_index"], row["outcome"]) == (1, -1, "success")
        assert 0 < row["cpu_s"] < 600
        # A forked worker of Airflow has 150 MB before it does anything.
        assert 50 < row["peak_rss_mb"] < 1_000
    assert world.tries("run_error", run_id) == []


def test_an_open_breaker_refuses_a_try_and_the_next_closes_it(world: World) -> None:
    """Airflow waits as long as the breaker says, and the error's row says the same."""
    world.quiet()
    seconds, micros = world.redis.time()
    now = seconds + micros / 1e6
    state = State(in_a_row=5, opened_at=now, open_until=now + 30, code="ServiceUnavailable")
    world.redis.set(f"{KEY}neo4j", json.dumps(asdict(state)))
    run = world.api.wait(world.api.trigger(DAG), timeout=300)
    assert run.state == "success"
    (row,) = world.tries("run_error", run.run_id)
    assert (row["task_id"], row["try_number"], row["error_class"], row["code"]) == (
        *("fetch_interactions", 1, "NETWORK", "BREAKER_OPEN"),
    )
    assert row["next_step"] == "retry"
    with psycopg.connect(world.system.env["AIRFLOW_CONN_AIRFLOW_METADATA"]) as connection:
        query = """select retry_delay_override from task_instance_history
            where run_id = %s and task_id = 'fetch_interactions' and try_number = 1"""
        (waited,) = connection.execute(query, [run.run_id]).fetchone() or (None,)
    assert waited == pytest.approx(row["retry_in_s"], abs=0.001)
    assert 0 < waited <= 33
    assert world.redis.get(f"{KEY}neo4j") is not None
    assert '"open_until": 0.0' in world.redis.get(f"{KEY}neo4j").decode()  # type: ignore[union-attr]


def test_what_is_wrong_for_good_is_not_tried_again(world: World) -> None:
    run = world.api.trigger("organism_load_roster", {"path": "/nothing/here.csv"})
    run = world.api.wait(run, timeout=240)
    assert run.state == "failed"
    (row,) = world.tries("run_error", run.run_id)
    assert (row["try_number"], row["error_class"], row["code"], row["object"], row["next_step"]) == (
        *(1, "VALIDATION", "ENOENT", "roster", "fail"),
    )
    assert [row["outcome"] for row in world.tries("task_usage", run.run_id)] == ["failed"]


def test_real_mails_give_the_graph_the_oracle_computes(world: World) -> None:
    world.publish(oracle.mails())
    world.run()
    world.assert_graph_is_right()
    assert len(oracle.read_graph(world.driver).edges) > 11_685


def test_killing_the_scheduler_in_mid_task_loses_and_doubles_nothing(world: World) -> None:
    """The orphaned task goes on while the new scheduler starts it again (W3): the lease decides."""
    world.quiet()
    world.publish(_events("scheduler", 100_000))
    run = world.api.trigger(DAG, SLOWLY)
    _wait(lambda: _task_process(world, run.run_id, "update_graph"), 180, "update_graph did not start")
    _wait(lambda: _watermark_moved(world), 120, "nothing was committed")
    killed = world.system.kill_scheduler(keep_orphans=True)
    world.system.wait_for("scheduler", killed)
    # Airflow's default looks for tasks of dead schedulers only every five minutes.
    ended = world.api.wait(run, timeout=400)
    world.system.end_orphans()
    assert ended.state == "success"
    world.run()
    world.assert_graph_is_right()


def test_killing_the_task_process_is_repeated_and_doubles_nothing(world: World) -> None:
    """No exception exists then, so Airflow retries by itself (W1)."""
    world.quiet()
    before = len(world.finished())
    world.publish(_events("task", 100_000))
    run = world.api.trigger(DAG, SLOWLY)
    child = _wait(lambda: _task_process(world, run.run_id, "update_graph"), 180, "update_graph did not start")
    _wait(lambda: _watermark_moved(world), 120, "nothing was committed")
    os.kill(child.pid, signal.SIGKILL)
    ended = world.api.wait(run, timeout=300)
    assert ended.state == "success"
    assert {t.task_id: t.tries for t in world.api.task_instances(ended)}["update_graph"] == 2
    # On a slow machine a tick of the schedule may read a part of them.
    read = sum(row["read"] for row in world.finished()[before:])
    assert read == 100_000, "the run's figures cover both tries"
    (lost,) = world.tries("run_error", run.run_id)
    assert (lost["task_id"], lost["try_number"], lost["code"], lost["next_step"]) == (
        *("update_graph", 1, "PROCESS_LOST", "retry"),
    )
    world.assert_graph_is_right()


def test_a_zombie_whose_supervisor_was_killed_writes_nothing_after_its_lease_is_taken(world: World) -> None:
    """The child is stopped, its supervisor killed, another run takes over, the child wakes up (W2)."""
    world.quiet()
    world.publish(_events("zombie", 100_000))
    run = world.api.trigger(DAG, SLOWLY)
    child = _wait(lambda: _task_process(world, run.run_id, "update_graph"), 180, "update_graph did not start")
    _wait(lambda: _watermark_moved(world), 120, "nothing was committed")
    os.kill(child.pid, signal.SIGSTOP)
    supervisor = child.parent()
    assert supervisor is not None
    world.system.keep_orphans()
    supervisor.kill()
    # Airflow notices the missing heartbeat, tries again, and that try takes the lease of its own run.
    ended = world.api.wait(run, timeout=400)
    assert ended.state == "success"
    assert {t.task_id: t.tries for t in world.api.task_instances(ended)}["update_graph"] >= 2
    assert psutil.pid_exists(child.pid), "the zombie was ended before it could show anything"
    before = oracle.read_graph(world.driver)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGCONT)
    psutil.wait_procs([child], timeout=60)
    world.system.end_orphans()
    assert oracle.differences(oracle.read_graph(world.driver), before) == []
    world.run()
    world.assert_graph_is_right()


def test_a_schedule_tick_drains_what_waits(world: World) -> None:
    world.quiet(10)
    world.publish(_events("tick", 2_000))
    before = {run["dag_run_id"] for run in _runs(world, "scheduled")}

    def ticked() -> list[str]:
        return [
            run["dag_run_id"]
            for run in _runs(world, "scheduled")
            if run["dag_run_id"] not in before and run["state"] == "success"
        ]

    run_id = _wait(ticked, 450, "no scheduled run within five minutes")[0]
    assert world.row(run_id)["read"] == 2_000
    world.assert_graph_is_right()


def _watermark_moved(world: World) -> bool:
    """Whether the drain of the newest backlog has committed something and has something left."""
    group = world.redis.xinfo_groups("interactions")[0]
    return bool(group["lag"]) and group["pending"] > 10_000


def _task_process(world: World, run_id: str, task_id: str) -> psutil.Process | None:
    """The process that executes a task now: Airflow puts the task's id in its title."""
    reply = world.system.api.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}").json()
    if reply.get("state") != "running" or not reply.get("pid"):
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(reply["pid"])
    return None

"""A process is killed at every point of every step; the next try goes on, and everything has happened once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.organism.interventions import audit
from tests.interventions import World, assess

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
KILLED = -signal.SIGKILL

COMMON = [
    "interventions.claim.before_commit",
    "interventions.claimed",
    "interventions.steps.before_commit",
    "interventions.steps.committed",
    "interventions.executed.before_commit",
    "interventions.executed",
]
GRAPH = ["interventions.graph.in_transaction", "interventions.graph.committed"]
CALENDAR = ["interventions.webhook.answered", "interventions.webhook.answered:kill:7"]
BACK = [
    "interventions.rollback.begun",
    "interventions.undo.begun",
    "interventions.undo.before_commit",
    "interventions.undone.before_commit",
]
BACK_GRAPH = ["interventions.graph.in_undo", "interventions.graph.undone"]
BACK_CALENDAR = ["interventions.webhook.cancelled", "interventions.webhook.cancelled:kill:7"]
ACTIONS: dict[str, dict[str, Any]] = {"role_change": {"role": "Specialist"}, "reduce_meetings": {"percent": 40}}


@pytest.fixture(scope="session")
def process() -> Iterator[Callable[[dict[str, Any]], int]]:
    """Runs jobs in processes of their own; returns how each ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.interventions.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None

        def run(job: dict[str, Any]) -> int:
            print(json.dumps(job), file=worker.stdin, flush=True)
            return int(worker.stdout.readline())

        yield run
        worker.stdin.close()


@pytest.fixture
def work(process: Callable[[dict[str, Any]], int], world: World) -> Callable[..., int]:
    """Work on an intervention in another process, which may die at a point."""

    def run(what: str, intervention: object = "", *, fault: str = "", run: str = "one run") -> int:
        names = ("WAREHOUSE", "ORGANISM_NEO4J", "INTERVENTIONS")
        environment = {f"AIRFLOW_CONN_{name}": os.environ[f"AIRFLOW_CONN_{name}"] for name in names}
        fault = fault if not fault or ":" in fault else f"{fault}:kill"
        environment |= {"AIRFLOW_VAR_INTERVENTIONS_ENABLED": "true", "FAULT_AT": fault}
        job = {"work": what, "intervention": str(intervention), "run": run, "now": world.now.isoformat()}
        return process({**job, "environment": environment})

    return run


def approved(world: World, action: str) -> Any:
    which = world.propose(action, parameters=ACTIONS[action], change=-0.1).id
    assert world.approve(which) == "approved"
    return which


def once(world: World, which: Any, *events: str) -> None:
    """Each of these events is in the audit once, and the audit is whole."""
    found = world.events(which)
    assert [found.count(event) for event in events] == [1] * len(events)
    with psycopg.connect(world.url) as connection:
        assert audit.verify(connection).faults == []


def effects(alert_sink: Any) -> set[int]:
    return {each["effects"] for each in alert_sink.actions()}


# The next try of the same run goes on at once, another run after the lease; each kind of point meets both.
@pytest.mark.parametrize(
    ("action", "fault", "taken_over"),
    [("role_change", point, number % 2 == 1) for number, point in enumerate((*COMMON, *GRAPH))]
    + [("reduce_meetings", point, number % 2 == 0) for number, point in enumerate((*COMMON[2:4], *CALENDAR))],
)
def test_an_execution_that_was_killed_is_finished_once(world, work, alert_sink, action, fault, taken_over):
    which = approved(world, action)
    before = world.graph()
    assert work("execute", which, fault=fault) == KILLED
    if taken_over:
        world.now += timedelta(seconds=world.settings.lease_s + 1)
    assert work("execute", which, run="another run" if taken_over else "one run") == 0
    assert world.status(which) == ("executed", "")
    once(world, which, "intervention_begun", "intervention_executed", "outcome_monitoring_scheduled")
    if action == "reduce_meetings":
        assert effects(alert_sink) == {1}
        assert sorted(each["asked"]["person"] for each in alert_sink.actions()) == world.members(which)
    assert work("roll_back", which) == 0
    assert world.graph() == before
    assert {each["state"] for each in alert_sink.actions()} <= {"cancelled"}


@pytest.mark.parametrize(
    ("action", "fault"),
    [("role_change", point) for point in (*BACK, *BACK_GRAPH)]
    + [("reduce_meetings", point) for point in (BACK[2], *BACK_CALENDAR)],
)
def test_a_rollback_that_was_killed_is_finished_once(world, work, alert_sink, action, fault):
    which = approved(world, action)
    before = world.graph()
    assert work("execute", which) == 0
    assert work("roll_back", which, fault=fault) == KILLED
    assert work("roll_back", which) == 0
    assert world.status(which) == ("rolled_back", "harmful")
    once(world, which, "rollback_begun", "intervention_rolled_back")
    assert world.graph() == before
    assert effects(alert_sink) <= {2}


@pytest.mark.parametrize("fault", ["interventions.proposal.before_commit", "interventions.proposal.committed"])
def test_a_run_that_was_killed_proposes_the_rest_and_nothing_twice(world, work, fault):
    world.estimate()
    assert work("propose", fault=fault) == KILLED
    assert work("propose") == 0
    assert work("propose") == 0
    assert world.rows("select count(*), count(distinct target_value) from organism.intervention") == [(3, 3)]
    assert world.rows("select count(*) from organism.intervention_audit where event = 'intervention_proposed'") == [
        (3,)
    ]


@pytest.mark.parametrize("fault", ["interventions.outcome.before_commit", "interventions.outcome.committed"])
def test_an_outcome_whose_check_was_killed_is_checked_once(world, work, fault):
    which = approved(world, "reduce_meetings")
    assert work("execute", which) == 0
    assess(world, which, 15)
    world.now += timedelta(days=8)
    assert work("check", fault=fault) == KILLED
    assert work("check") == 0
    once(world, which, "outcome_checked", "negative_outcome_detected")


@pytest.mark.parametrize("mode", ["lose_reply", "drop", "server_error"])
def test_a_calendar_in_trouble_is_asked_again_without_doing_it_twice(world, work, alert_sink, mode):
    which = approved(world, "reduce_meetings")
    alert_sink.behave("actions", mode, times=1)
    assert work("execute", which) == 1
    assert world.status(which)[0] == "executing"
    assert work("execute", which) == 0
    assert world.status(which) == ("executed", "")
    assert effects(alert_sink) == {1}

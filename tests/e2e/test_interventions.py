"""Interventions on the real scheduler: proposal, approval over REST, execution, outcome, rollback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import neo4j
import psycopg
import pytest

from include.operations.airflow_api import AirflowApi
from include.organism.interventions import audit
from include.organism.interventions.settings import Mode
from local.testing import AirflowSystem
from tests.e2e.reviews import REVIEW, Reviews, a_week_later, forget_interventions
from tests.interventions import PEOPLE, World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]
OUTCOMES = "organism_intervention_outcomes"
SETTINGS: dict[str, Any] = {"approvers": ("admin",), "weekly_share": 0.9, "daily_actions": 100, "cooldown_days": 1}


@pytest.fixture
def world(airflow_system: AirflowSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Four teams among whoever else is in the graph."""
    env = airflow_system.env
    for name, value in env.items():
        if name.startswith(("AIRFLOW_CONN_", "INTERVENTION_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED", "true")
    account, _, address = env["AIRFLOW_CONN_ORGANISM_NEO4J"].removeprefix("neo4j://").partition("@")
    with neo4j.GraphDatabase.driver(f"bolt://{address}", auth=("neo4j", account.partition(":")[2])) as driver:
        prefix = f"iv{time.time_ns()}-"
        world = World(env["AIRFLOW_CONN_WAREHOUSE"], driver, prefix, datetime.now(UTC))
        world.fill()
        # Whatever other tests have measured is older, and of fewer people.
        world.measure(world.now)
        yield world
        world.empty()
        forget_interventions(world.url)


def test_from_a_proposal_to_its_rollback(airflow_system: AirflowSystem, world: World) -> None:
    reviews, sink = Reviews(airflow_system), airflow_system.alerts
    sink.clear()
    before = _places(world)
    asked = {
        team: world.propose(action, team, parameters, change=-0.1, **SETTINGS).id
        for team, action, parameters in (
            ("Engineering", "reduce_meetings", {"percent": 40}),
            ("Sales", "role_change", {"role": "Specialist"}),
            ("Design", "schedule_focus_time", {}),
        )
    }
    _expires_in(world, asked["Design"], 20)
    # Asked before by a run that is no more.
    before_it = "update organism.intervention set review_key = %s where id = %s"
    with psycopg.connect(world.url) as connection:
        connection.execute(before_it, [f"{REVIEW}/gone", asked["Engineering"]])
    for intervention in asked.values():
        assert world.status(intervention) == ("pending_approval", "")
        reviews.start(intervention)
    reviews.wait_for_question(asked["Sales"])
    question = reviews.wait_for_question(asked["Engineering"])
    assert question["assigned_users"] == [{"id": "admin", "name": "admin"}]
    assert "reduce_meetings" in question["subject"]
    assert not [n for n in range(PEOPLE) if world.id(n) in question["body"]]
    assert sink.actions() == []
    # While one run asks, another has nothing to do.
    _run(airflow_system, REVIEW, {"intervention": str(asked["Engineering"])})
    assert world.status(asked["Engineering"]) == ("pending_approval", "")

    # Approved, by a double click; approved HIGH; the third gets no answer.
    assert reviews.answer(asked["Engineering"], "Approve", "agreed with the team") == 200
    assert reviews.answer(asked["Engineering"], "Approve", "again") == 409
    assert reviews.answer(asked["Sales"], "Reject", "n" * 501) == 200
    for intervention in asked.values():
        reviews.wait_for_end(intervention)
    assert world.status(asked["Engineering"]) == ("executed", "")
    assert world.status(asked["Sales"]) == ("rejected", "")
    assert world.status(asked["Design"]) == ("expired", "expired")
    assert reviews.state(asked["Sales"], "execute_intervention") == "skipped"
    query = "select decided_by, decision_note from organism.intervention where id = %s"
    assert world.rows(query, asked["Engineering"]) == [("admin", "agreed with the team")]
    done = sink.actions()
    assert sorted(each["asked"]["person"] for each in done) == world.members(asked["Engineering"])
    assert {(each["state"], each["effects"]) for each in done} == {("active", 1)}
    assert _places(world) == before
    told = [message["text"] for message in sink.slack_messages()]
    assert any("reduce_meetings for team Engineering" in text for text in told)
    assert not [text for text in told if world.prefix in text]

    # A week later people are worse off than those who were held out.
    treated = world.members(asked["Engineering"])
    a_week_later(world.url, asked["Engineering"], treated, sorted({*map(world.id, range(PEOPLE))} - {*treated}))
    _run(airflow_system, OUTCOMES)
    assert world.status(asked["Engineering"]) == ("rolled_back", "harmful")
    assert {(each["state"], each["effects"]) for each in sink.actions()} == {("cancelled", 2)}
    _run(airflow_system, OUTCOMES)
    assert {(each["state"], each["effects"]) for each in sink.actions()} == {("cancelled", 2)}
    assert world.events(asked["Engineering"]) == [
        "intervention_proposed",
        "intervention_approved",
        "intervention_begun",
        "intervention_executed",
        "outcome_monitoring_scheduled",
        "outcome_checked",
        "negative_outcome_detected",
        "rollback_begun",
        "intervention_rolled_back",
    ]
    with psycopg.connect(world.url) as connection:
        assert audit.verify(connection).faults == []


def test_low_runs_by_itself_and_high_needs_new_eyes_each_time(airflow_system: AirflowSystem, world: World) -> None:
    """In `live`, where only LOW actions need nobody; a change of the graph is undone to the letter."""
    reviews, before = Reviews(airflow_system), _places(world)
    role = {"parameters": {"role": "Specialist"}, "change": -0.1}
    low = world.propose("suggest_focus_time", "Design", change=-0.1, mode=Mode.LIVE, **SETTINGS).id
    high, next_high = (world.propose("role_change", team, **role, **SETTINGS).id for team in ("Sales", "Support"))
    assert [world.status(each)[0] for each in (low, high, next_high)] == ["approved", *["pending_approval"] * 2]
    reviews.start(low)
    reviews.start(high)
    reviews.wait_for_question(high)
    assert reviews.answer(high, "Approve", "they asked for it") == 200
    for intervention in (low, high):
        reviews.wait_for_end(intervention)
        assert world.status(intervention) == ("executed", "")
    assert world.rows("select decided_by from organism.intervention where id = %s", low) == [("policy",)]
    treated, now = world.members(high), _places(world)
    assert treated
    assert {person for person in now if now[person] != before[person]} == set(treated)
    assert {now[person][0][1] for person in treated} == {"Specialist"}

    # The only approver has approved the last one.
    reviews.start(next_high)
    reviews.wait_for_end(next_high)
    assert world.status(next_high) == ("refused", "no_approver")
    assert reviews.state(next_high, "execute_intervention") == "skipped"

    a_week_later(world.url, high, treated, sorted({*map(world.id, range(PEOPLE))} - {*treated}))
    _run(airflow_system, OUTCOMES)
    assert world.status(high) == ("rolled_back", "harmful")
    assert _places(world) == before


def test_a_proposal_of_the_command_line_reads_the_switch_where_airflow_keeps_it(
    airflow_system: AirflowSystem, world: World
) -> None:
    words = ["interventions", "propose", "reduce_meetings", "--team", "Design", "--estimate", world.estimate()]
    environment = {**os.environ, **airflow_system.env, "INTERVENTION_MODE": "shadow"}
    del environment["AIRFLOW_VAR_INTERVENTIONS_ENABLED"]
    done = subprocess.run(
        [sys.executable, "-m", "include.cli", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Whatever a later check says about this group.
    assert len(done.stdout.split()) > 1
    assert "kill_switch" not in done.stdout


def _run(system: AirflowSystem, dag_id: str, conf: dict[str, str] | None = None) -> None:
    api = AirflowApi.from_environment(system.env)
    assert api.wait(api.trigger(dag_id, conf), timeout=300, poll=0.2).state == "success"


def _places(world: World) -> dict[str, Any]:
    """What actions on the graph change of people; a scheduled run may measure them meanwhile."""
    return {
        person: ([values.get(name) for name in ("team", "role", "is_manager")], managers)
        for person, (values, managers) in world.graph().items()
        if person.startswith(world.prefix)
    }


def _expires_in(world: World, intervention: UUID, seconds: float) -> None:
    with psycopg.connect(world.url) as connection:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        connection.execute("update organism.intervention set expires_at = %s where id = %s", [moment, intervention])

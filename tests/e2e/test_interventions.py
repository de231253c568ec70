"""Interventions on the real scheduler: proposal, approval over REST, execution, outcome, rollback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import neo4j
import psycopg
import pytest

from include.organism.interventions import audit
from local.testing import AirflowSystem
from tests.interventions import PEOPLE, World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]
REVIEW, OUTCOMES = "organism_intervention_review", "organism_intervention_outcomes"
ASK = "ask_for_approval"


class Reviews:
    """Review runs over the REST API, as a person's browser uses it."""

    def __init__(self, system: AirflowSystem) -> None:
        self._api = system.api

    def start(self, intervention: UUID) -> None:
        body = {
            "dag_run_id": f"review__{intervention}",
            "logical_date": None,
            "conf": {"intervention": str(intervention)},
        }
        self._api.post(f"/api/v2/dags/{REVIEW}/dagRuns", json=body).raise_for_status()

    def state(self, intervention: UUID, task: str = "") -> str | None:
        path = f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}"
        path += f"/taskInstances/{task}" if task else ""
        return self._api.get(path).raise_for_status().json()["state"]  # type: ignore[no-any-return]

    def question(self, intervention: UUID) -> dict[str, Any]:
        path = f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}/taskInstances/{ASK}/-1/hitlDetails"
        return self._api.get(path).raise_for_status().json()  # type: ignore[no-any-return]

    def answer(self, intervention: UUID, option: str, why: str) -> int:
        path = f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}/taskInstances/{ASK}/-1/hitlDetails"
        return self._api.patch(path, json={"chosen_options": [option], "params_input": {"why": why}}).status_code

    def run(self, dag_id: str) -> None:
        """Trigger a DAG and wait for its success."""
        reply = self._api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": {}})
        path = f"/api/v2/dags/{dag_id}/dagRuns/{reply.raise_for_status().json()['dag_run_id']}"
        _wait(lambda: self._api.get(path).json()["state"] in ("success", "failed"), f"{dag_id} does not end")
        assert self._api.get(path).json()["state"] == "success"


def _wait(condition: Callable[[], Any], complaint: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.2)


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
        yield world
        world.empty()


def test_from_a_proposal_to_its_rollback(airflow_system: AirflowSystem, world: World) -> None:
    reviews, sink = Reviews(airflow_system), airflow_system.alerts
    sink.clear()
    before = _places(world)
    settings: dict[str, Any] = {"approvers": ("admin",), "weekly_share": 0.9, "cooldown_days": 1}
    asked = {
        team: world.propose(action, team, parameters, change=-0.1, **settings).id
        for team, action, parameters in (
            ("Engineering", "reduce_meetings", {"percent": 40}),
            ("Sales", "role_change", {"role": "Specialist"}),
            ("Design", "schedule_focus_time", {}),
        )
    }
    _expires_in(world, asked["Design"], 45)
    for intervention in asked.values():
        assert world.status(intervention) == ("pending_approval", "")
        reviews.start(intervention)
    for intervention in (asked["Engineering"], asked["Sales"]):
        _wait(lambda: reviews.state(intervention, ASK) == "awaiting_input", "nobody is asked")  # noqa: B023
    question = reviews.question(asked["Engineering"])
    assert question["assigned_users"] == [{"id": "admin", "name": "admin"}]
    assert "reduce_meetings" in question["subject"]
    assert not [n for n in range(PEOPLE) if world.id(n) in question["body"]]
    assert sink.actions() == []

    # Approved, by a double click; approved HIGH; the third gets no answer.
    assert reviews.answer(asked["Engineering"], "Approve", "agreed with the team") == 200
    assert reviews.answer(asked["Engineering"], "Approve", "again") == 409
    assert reviews.answer(asked["Sales"], "Reject", "not now") == 200
    for intervention in asked.values():
        _wait(lambda: reviews.state(intervention) in ("success", "failed"), "a review does not end")  # noqa: B023
        assert reviews.state(intervention) == "success"
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
    _a_week_later(world, asked["Engineering"])
    reviews.run(OUTCOMES)
    assert world.status(asked["Engineering"]) == ("rolled_back", "harmful")
    assert {(each["state"], each["effects"]) for each in sink.actions()} == {("cancelled", 2)}
    reviews.run(OUTCOMES)
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


def _a_week_later(world: World, intervention: UUID) -> None:
    """Move the execution eight days back, and give everybody assessments before and after it."""
    with psycopg.connect(world.url) as connection:
        row = connection.execute(
            "update organism.intervention set executed_at = executed_at - interval '8 days' where id = %s"
            " returning executed_at::date",
            [intervention],
        ).fetchone()
        assert row
        treated = set(world.members(intervention))
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
                " values (%s, 'test', %s, %s, true, 'test')",
                [
                    (world.id(n), row[0] + timedelta(days=days), 40 + n % 5 + (20 if days > 0 and worse else 0))
                    for n in range(PEOPLE)
                    for days in (-5, 5)
                    for worse in (world.id(n) in treated,)
                ],
            )

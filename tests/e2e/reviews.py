"""Review runs over the REST API, as a person's browser uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from local.testing import AirflowSystem

REVIEW, ASK = "organism_intervention_review", "ask_for_approval"
Identity = UUID | str


class Reviews:
    """What can be done about a proposal."""

    def __init__(self, system: AirflowSystem) -> None:
        self._api = system.api
        self._scheduler_log = system.state_dir / "logs" / "scheduler.log"

    def start(self, intervention: Identity) -> None:
        body = {
            "dag_run_id": f"review__{intervention}",
            "logical_date": None,
            "conf": {"intervention": str(intervention)},
        }
        self._api.post(f"/api/v2/dags/{REVIEW}/dagRuns", json=body).raise_for_status()

    def count(self) -> int:
        """How many there have been."""
        found = self._api.get(f"/api/v2/dags/{REVIEW}/dagRuns", params={"limit": 1}).raise_for_status()
        return int(found.json()["total_entries"])

    def state(self, intervention: Identity, task: str = "") -> str | None:
        path = f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}"
        path += f"/taskInstances/{task}" if task else ""
        return self._api.get(path).raise_for_status().json()["state"]  # type: ignore[no-any-return]

    def wait_for_question(self, intervention: Identity) -> dict[str, Any]:
        """What is asked, once it is and the scheduler knows that the process which asked has ended.

        Airflow 3.3 takes a task that goes on before that for one that was killed, and asks again (decision 0032).
        """
        wait(lambda: self.state(intervention, ASK) == "awaiting_input", "nobody is asked")
        ended = f"TaskInstance Finished: dag_id={REVIEW}, task_id={ASK}, run_id=review__{intervention},"
        wait(lambda: ended in self._scheduler_log.read_text(), "the scheduler does not hear of the question")
        return self._api.get(self._question(intervention)).raise_for_status().json()  # type: ignore[no-any-return]

    def answer(self, intervention: Identity, option: str, why: str) -> int:
        body = {"chosen_options": [option], "params_input": {"why": why}}
        return self._api.patch(self._question(intervention), json=body).status_code

    def reject_all(self) -> None:
        """End every review that still waits."""
        path = "/api/v2/dags/~/dagRuns/~/hitlDetails"
        asked = self._api.get(path, params={"response_received": False}).raise_for_status().json()["hitl_details"]
        for each in asked:
            self.answer(each["task_instance"]["dag_run_id"].removeprefix("review__"), "Reject", "the test is over")

    def wait_for_end(self, intervention: Identity) -> None:
        wait(lambda: self.state(intervention) in ("success", "failed"), lambda: self._trouble(intervention))
        assert self.state(intervention) == "success", self._trouble(intervention)

    def _trouble(self, intervention: Identity) -> str:
        path = f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}/taskInstances"
        tasks = self._api.get(path).raise_for_status().json()["task_instances"]
        states = {task["task_id"]: (task["state"], task["try_number"], task["start_date"]) for task in tasks}
        return f"the review of {intervention} does not end well: {states}"

    def _question(self, intervention: Identity) -> str:
        return f"/api/v2/dags/{REVIEW}/dagRuns/review__{intervention}/taskInstances/{ASK}/-1/hitlDetails"


def wait(condition: Callable[[], Any], complaint: str | Callable[[], str], seconds: float = 300) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint if isinstance(complaint, str) else complaint()
        time.sleep(0.2)


def a_week_later(warehouse: str, intervention: Identity, treated: list[str], others: list[str]) -> None:
    """Move an execution eight days back, and give everybody answers before and after it: the treated are worse off."""
    with psycopg.connect(warehouse) as connection:
        row = connection.execute(
            "update organism.intervention set executed_at = executed_at - interval '8 days' where id = %s"
            " returning (executed_at at time zone 'UTC')::date",
            [intervention],
        ).fetchone()
        assert row
        rows = [
            (person, row[0] + timedelta(days=days), 40 + number % 5 + (20 if days > 0 and hit else 0))
            for hit, group in ((True, treated), (False, others))
            for number, person in enumerate(group)
            for days in (-5, 5)
        ]
        assert row[0] + timedelta(days=5) < datetime.now(UTC).date()
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
                " values (%s, 'test', %s, %s, true, 'test')",
                rows,
            )


def forget_interventions(warehouse: str) -> None:
    """Use up neither the budgets nor the approvers of another test, or of a second try."""
    with psycopg.connect(warehouse) as connection:
        connection.execute("update organism.intervention set status = 'expired' where status <> 'refused'")
        connection.execute("delete from organism.intervention_member")

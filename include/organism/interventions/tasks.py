"""The bodies of the interventions' tasks. Drivers are imported inside: every parse of a DAG file imports this."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk.exceptions import AirflowSkipException

from include.connections import action_systems, neo4j_driver, redis_client, warehouse
from include.operations.log import log_event

if TYPE_CHECKING:
    from datetime import datetime

    from include.organism.interventions.catalogue import System
    from include.organism.interventions.execution import Desk
    from include.organism.interventions.executor import Executor

log = logging.getLogger(__name__)

REVIEW = "organism_intervention_review"


@contextmanager
def executors(system: System) -> Iterator[Executor]:
    """What carries a system's actions out, over its connection."""
    if system == "graph":
        from include.organism.interventions.graph_executor import GraphExecutor

        with neo4j_driver() as (driver, database):
            yield GraphExecutor(driver, database)
    else:
        from include.organism.interventions.action_systems import ActionSystems

        with action_systems() as client:
            yield ActionSystems(client)


@contextmanager
def desk(run: str) -> Iterator[Desk]:
    """A desk with the connections and settings of a task; `run` is one name for all tries of it."""
    from include.organism.interventions import population
    from include.organism.interventions.execution import Desk
    from include.organism.interventions.settings import Settings

    settings = Settings.from_env()
    with warehouse() as connection, neo4j_driver() as (driver, database):
        yield Desk(
            connection,
            lambda unwilling: population.read(driver, database, settings, unwilling),
            executors,
            settings,
            run,
        )


def propose(measured_at: datetime, run_id: str) -> list[dict[str, Any]]:
    """Place what the run's supported estimates suggest.

    Returns:
        the reviews to ask for, as `TriggerDagRunOperator.expand_kwargs` takes them, also for proposals of an earlier
        try, so that none is forgotten.
    """
    from include.organism.interventions import evidence, proposals

    with desk(run_id) as table:
        with table.connection.transaction():
            unwilling = evidence.unwilling(table.connection)
        people = table.population(unwilling)
        made = proposals.from_estimates(table, measured_at, people)
        placed = proposals.place(table, made, people, "organism_full_analysis")
    waiting = [str(each.id) for each in placed if each.status in ("pending_approval", "approved")]
    log_event(log, "interventions_evaluated", proposed=len(placed), waiting=len(waiting))
    return [{"trigger_run_id": f"review__{each}", "conf": {"intervention": each}} for each in waiting]


def execute(params: dict[str, Any], run_id: str) -> dict[str, str]:
    """Execute the run's intervention if it is approved.

    Raises:
        AirflowSkipException: it is not to be executed: not approved, or refused at the last moment.
        ActionRefused: it cannot be done.
    """
    from include.organism.interventions import execution

    which = UUID(params["intervention"])
    with desk(f"{REVIEW}/{run_id}") as table:
        status = execution.execute(table, which)
    _forget_cached(which)
    if status != "executed":
        raise AirflowSkipException(f"the intervention is {status}: nothing was done")
    return {"intervention": str(which), "status": status}


def report(params: dict[str, Any]) -> dict[str, str]:
    """Tell what became of the run's intervention, once, by the alert channels."""
    from include.operations import alerts
    from include.organism.interventions import store

    which = UUID(params["intervention"])
    with warehouse() as connection:
        row = store.find(connection, which)
    why = f" ({row.reason_code}: {row.reason})" if row.reason_code else ""
    alerts.digest(
        f"intervention {which} {row.status}",
        title=f"Intervention {row.status}: {row.action} for {row.target}",
        text=f"{row.impact} {row.action} for {row.target} is {row.status}{why}. "
        f"History: python -m include.cli audit show {which}",
    )
    return {"intervention": str(which), "status": row.status, "reason_code": row.reason_code}


def settle(run_id: str) -> dict[str, int]:
    """Write down as expired what nobody decided, and end what no run goes on with."""
    from include.organism.interventions import outcomes, review

    with desk(f"organism_intervention_outcomes/{run_id}") as table:
        expired = review.expire(table.connection, table.clock(), table.run)
        return {"expired": expired, **outcomes.settle(table)}


def check_outcomes(run_id: str) -> dict[str, int]:
    """Compare treated and held-out people; returns verdicts."""
    from include.organism.interventions import outcomes

    with desk(f"organism_intervention_outcomes/{run_id}") as table:
        return outcomes.check(table)


def roll_back_harmful(run_id: str) -> dict[str, int]:
    """Undo what harmed; switch off types of actions that harmed repeatedly."""
    from include.organism.interventions import outcomes

    with desk(f"organism_intervention_outcomes/{run_id}") as table:
        return outcomes.roll_back_harmful(table)


def verify_audit() -> dict[str, int]:
    """Work out every hash of the audit again, and leave its head in this log.

    Raises:
        AuditBroken: an entry was edited, removed or moved.
    """
    from include.organism.interventions import outcomes
    from include.organism.interventions.errors import AuditBroken

    with warehouse() as connection:
        faults = list(outcomes.audited(connection))
    if faults:
        raise AuditBroken(
            f"the audit of interventions has {len(faults)} faults, first: {faults[0]}",
            what_to_do="stop interventions, keep the database as it is, and read docs/runbooks/interventions.md",
        )
    return {"faults": 0}


def _forget_cached(which: UUID) -> None:
    """Delete the cached figures of the people an intervention touched; repeating it is harmless."""
    from include.organism import cache
    from include.organism.interventions import store

    with warehouse() as connection:
        people = [step.employee_id for step in store.steps(connection, which) if step.system == "graph"]
    if people:
        with redis_client() as client:
            cache.invalidate(client, people)

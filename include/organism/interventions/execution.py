"""Executing an approved action once, and undoing it: claim, last look at the kill switch, effect, record.

Every step is a transaction of its own, and each can be the last one before a kill: the next try, of this run or of
another one after the lease, goes on from what is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from include.operations.errors import LeaseLost, classify
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.interventions import audit, checks, evidence, store, switch
from include.organism.interventions.audit import Event
from include.organism.interventions.catalogue import CATALOGUE, System
from include.organism.interventions.checks import Budget, Case, Refusal
from include.organism.interventions.errors import ActionRefused

if TYPE_CHECKING:
    import psycopg

    from include.organism.interventions.executor import Executor
    from include.organism.interventions.population import Population
    from include.organism.interventions.settings import Settings
    from include.organism.interventions.store import Intervention, Step

T = TypeVar("T")
log = logging.getLogger(__name__)

# So many people's steps are written down at once.
_CHUNK: Final = 50
Clock = Callable[[], datetime]
# From a system to what carries its actions out.
Executors = Callable[[System], AbstractContextManager["Executor"]]


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Desk:
    """What executing needs.

    Attributes:
        connection: the warehouse; no transaction is open between two steps.
        population: reads everyone from the graph, given who does not take part.
        executors: opens what carries a system's actions out.
        settings: budgets and limits.
        run: who works: one name for all tries of a task.
        clock: the time.
    """

    connection: psycopg.Connection
    population: Callable[[set[str]], Population]
    executors: Executors
    settings: Settings
    run: str
    clock: Clock = utc_now


def execute(desk: Desk, intervention: UUID) -> str:
    """Carry an approved action out, exactly once; returns the status it has then.

    A refusal at the last moment is a status, too: `refused`, with its reason code; nothing was done.

    Raises:
        LeaseHeld: another run is at it.
        LeaseLost: another run took it over.
        ActionRefused: it can never be done; what had been done is undone, and it has failed.
    """
    fence = _claim(desk, intervention)
    fault_point("interventions.claimed")
    with desk.connection.transaction():
        row = store.find(desk.connection, intervention)
    if fence is None:
        return row.status
    if row.reason_code:
        # A try before this one had begun to undo it.
        return _undo(desk, intervention, fence, "failed", row.reason_code, row.reason)
    if (stopped := _last_look(desk, row, fence)) is not None:
        return stopped
    try:
        _apply(desk, row, fence)
    except ActionRefused as error:
        _undo(desk, intervention, fence, "failed", "action_refused", str(error.args[0]))
        raise
    return _finish(desk, intervention, fence)


def roll_back(desk: Desk, intervention: UUID, code: str, reason: str) -> str:
    """Restore what was there before an executed action; returns the status it has then.

    Rolling back is not held up by the kill switch: it takes away, it does not add.

    Raises:
        LeaseHeld, LeaseLost: as in `execute`.
    """
    with desk.connection.transaction():
        row = store.find(desk.connection, intervention, lock=True)
        if row.status not in ("executed", "rolling_back"):
            return row.status
        fence = store.take(desk.connection, row, desk.run, desk.clock(), desk.settings.lease_s)
        if row.status == "executed":
            changes = {"status": "rolling_back", "reason_code": code, "reason": reason}
            store.move(desk.connection, row.id, changes, Event.ROLLBACK_BEGUN, desk.run, {"code": code})
        else:
            code, reason = row.reason_code, row.reason
    fault_point("interventions.rollback.begun")
    return _undo(desk, intervention, fence, "rolled_back", code, reason)


def give_up(desk: Desk, intervention: UUID) -> str:
    """Undo an execution that no run goes on with, and call it failed; returns the status it has then."""
    with desk.connection.transaction():
        row = store.find(desk.connection, intervention, lock=True)
        if row.status != "executing":
            return row.status
        fence = store.take(desk.connection, row, desk.run, desk.clock(), desk.settings.lease_s)
    return _undo(desk, intervention, fence, "failed", "abandoned", "its run ended without finishing it")


def gather(desk: Desk, row: Intervention, population: Population, now: datetime) -> Case:
    """Collect all that the checks look at, as it is now; in the caller's transaction."""
    connection, settings = desk.connection, desk.settings
    group = population.group(row.target)
    rested = store.treated_since(connection, now - timedelta(days=settings.cooldown_days), row.id)
    week = store.treated_since(connection, now - timedelta(days=7), row.id)
    last = store.last_high_approver(connection, row.id)
    return Case(
        action=row.action,
        outcome=row.outcome,
        now=now,
        expires_at=row.expires_at,
        settings=settings,
        switches=switch.read(connection, row.action),
        freshness=evidence.freshness(connection),
        estimates=evidence.by_id(connection, row.evidence),
        evidence=len(row.evidence),
        expected=row.expected,
        group=group,
        people=len(population),
        measurable=len(population) - len(population.absent),
        holdout=len(population.holdout),
        budget=Budget(
            rested=not group.treated & rested,
            week=len(group.treated | week),
            today=store.begun_since(connection, now - timedelta(days=1), row.id),
            open=store.is_open(connection, row.target, row.id),
        ),
        approvers=checks.eligible(settings.approvers, row.impact, row.proposed_by, last),
    )


def _claim(desk: Desk, intervention: UUID) -> int | None:
    """Take it, and fix whom it is for; None: there is nothing to execute."""
    with desk.connection.transaction():
        store.hold_budget(desk.connection)
        row = store.find(desk.connection, intervention, lock=True)
        if row.status not in ("approved", "executing"):
            return None
        now = desk.clock()
        if row.status == "executing":
            fence = store.take(desk.connection, row, desk.run, now, desk.settings.lease_s)
            store.move(desk.connection, row.id, {}, Event.TAKEN_OVER, desk.run, {"fence": fence})
            return fence
        population = desk.population(evidence.unwilling(desk.connection))
        case = gather(desk, row, population, now)
        refusal = checks.first_refusal(case, checks.BEFORE_EXECUTION)
        if refusal is not None:
            _refuse(desk, row.id, refusal)
            return None
        system = CATALOGUE[row.action].system
        with desk.executors(system):
            # A connection that is not there is found out before anything has begun.
            pass
        fence = store.take(desk.connection, row, desk.run, now, desk.settings.lease_s)
        people = store.fix_members(desk.connection, row.id, system, case.group.treated)
        changes = {"status": "executing", "group_size": case.group.size, "treated": people}
        store.move(desk.connection, row.id, changes, Event.BEGUN, desk.run, {"fence": fence, "people": people})
        fault_point("interventions.claim.before_commit")
    return fence


def _refuse(desk: Desk, intervention: UUID, refusal: Refusal) -> None:
    changes = {"status": "refused", "reason_code": refusal.code, "reason": refusal.reason}
    store.move(desk.connection, intervention, changes, Event.REFUSED, desk.run, {"code": refusal.code})


def _last_look(desk: Desk, row: Intervention, fence: int) -> str | None:
    """Read the kill switch once more, right before the effect; a status: it stops, and what was begun is undone."""
    with desk.connection.transaction():
        state = switch.read(desk.connection, row.action)
    if state.variable is True and state.database is True and state.disabled is None:
        return None
    unreadable = state.variable is None or state.database is None
    code = "kill_switch_unreadable" if unreadable else "kill_switch"
    return _undo(desk, row.id, fence, "failed", code, "actions were stopped after it had begun")


def _apply(desk: Desk, row: Intervention, fence: int) -> None:
    with desk.connection.transaction():
        steps = store.steps(desk.connection, row.id)
    waiting = [step for step in steps if step.state == "planned"]
    with desk.executors(CATALOGUE[row.action].system) as executor:
        done = executor.apply(row, waiting, fence)
        for chunk in _chunks(done):
            with desk.connection.transaction():
                _keep_lease(desk, row.id, fence)
                captured = {each.employee_id: each.captured for each in chunk}
                store.mark_steps(desk.connection, row.id, "done", captured)
                fault_point("interventions.steps.before_commit")
            fault_point("interventions.steps.committed")


def _finish(desk: Desk, intervention: UUID, fence: int) -> str:
    with desk.connection.transaction():
        store.check_fence(desk.connection, intervention, fence)
        done = sum(step.state == "done" for step in store.steps(desk.connection, intervention))
        changes = {"status": "executed", "executed_at": desk.clock(), "executor": "", "lease_until": None}
        store.move(desk.connection, intervention, changes, Event.EXECUTED, desk.run, {"fence": fence, "people": done})
        due = desk.clock() + timedelta(days=desk.settings.outcome_days)
        audit.append(desk.connection, Event.MONITORING, desk.run, intervention, {"not_before": due.isoformat()})
        fault_point("interventions.executed.before_commit")
    fault_point("interventions.executed")
    log_event(log, "intervention_executed", intervention=intervention, people=done)
    return "executed"


def _undo(desk: Desk, intervention: UUID, fence: int, status: str, code: str, reason: str) -> str:
    """Undo all steps, also those of which nobody knows whether they were done, and end in `status`."""
    with desk.connection.transaction():
        row = store.check_fence(desk.connection, intervention, fence)
        steps = store.steps(desk.connection, intervention)
        # From here on there is no way back to doing it.
        store.update(desk.connection, intervention, {"reason_code": code, "reason": reason})
    fault_point("interventions.undo.begun")
    try:
        kept = _take_back(desk, row, steps, fence)
    except LeaseLost:
        raise
    except Exception as error:
        with desk.connection.transaction():
            store.check_fence(desk.connection, intervention, fence)
            detail = {"code": classify(error).code}
            store.move(desk.connection, intervention, {}, Event.ROLLBACK_FAILED, desk.run, detail)
        raise
    with desk.connection.transaction():
        store.check_fence(desk.connection, intervention, fence)
        event = Event.FAILED if status == "failed" else Event.ROLLED_BACK
        changes: Mapping[str, Any] = {
            "status": status,
            "reason_code": code,
            "reason": reason,
            "rolled_back_at": desk.clock(),
            "executor": "",
            "lease_until": None,
        }
        figures = {"code": code, "people": len(steps), "changed_since": kept}
        store.move(desk.connection, intervention, changes, event, desk.run, figures)
        fault_point("interventions.undone.before_commit")
    log_event(log, "intervention_undone", intervention=intervention, status=status, code=code, changed_since=kept)
    return status


def _take_back(desk: Desk, row: Intervention, steps: list[Step], fence: int) -> int:
    """Returns how many people keep what somebody has changed since."""
    waiting = [step for step in steps if step.state != "undone"]
    kept = 0
    with desk.executors(CATALOGUE[row.action].system) as executor:
        for chunk in _chunks(executor.undo(row, waiting, fence)):
            kept += sum(not each.restored for each in chunk)
            with desk.connection.transaction():
                _keep_lease(desk, row.id, fence)
                store.mark_steps(desk.connection, row.id, "undone", {each.employee_id: None for each in chunk})
                fault_point("interventions.undo.before_commit")
    return kept


def _keep_lease(desk: Desk, intervention: UUID, fence: int) -> None:
    store.check_fence(desk.connection, intervention, fence)
    lease = desk.clock() + timedelta(seconds=desk.settings.lease_s)
    store.update(desk.connection, intervention, {"lease_until": lease})


def _chunks(items: Iterator[T]) -> Iterator[list[T]]:
    while chunk := list(islice(items, _CHUNK)):
        yield chunk

"""A person's decision about a proposal: asked for once, kept with who, when and why, and checked again here.

Airflow asks (`review_operator.py`); whether whoever answered may decide is not left to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.interventions import checks, store
from include.organism.interventions.audit import Event

if TYPE_CHECKING:
    import psycopg

    from include.organism.interventions.settings import Settings
    from include.organism.interventions.store import Intervention

log = logging.getLogger(__name__)
_LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and of whom.

    Attributes:
        subject: one line.
        body: Markdown; groups and figures, never a person.
        approvers: accounts that may answer.
        expires_at: until when.
    """

    subject: str
    body: str
    approvers: list[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What was answered.

    Attributes:
        approved: whether it may be done.
        account: who answered; empty: nobody did, in time.
        at: when.
        note: why.
    """

    approved: bool
    account: str
    at: datetime
    note: str = ""


def begin(
    connection: psycopg.Connection,
    intervention: UUID,
    key: str,
    settings: Settings,
    now: datetime,
    goes_on: Callable[[str], bool],
) -> Request | None:
    """Begin to ask; None: there is nothing to ask, because it is decided, over, or another run asks.

    An expired proposal is written down as expired. `goes_on` says of a run's key whether that run has not ended: one
    that asked, and failed before the answer was written down, asks no more.
    """
    with connection.transaction():
        row = store.find(connection, intervention, lock=True)
        if row.status != "pending_approval":
            return None
        # Under the row's lock: of two runs that come after one that failed, one finds the other's key.
        if row.review_key not in (None, key) and goes_on(row.review_key):
            return None
        if row.expires_at <= now:
            _expire(connection, row, key)
            return None
        store.update(connection, intervention, {"review_key": key})
        approvers = _approvers(connection, row, settings)
        if not approvers:
            changes = {
                "status": "refused",
                "reason_code": "no_approver",
                "reason": "nobody is named who may approve it",
            }
            store.move(connection, row.id, changes, Event.REFUSED, key, {"code": "no_approver"})
            return None
    fault_point("interventions.review.begun")
    return Request(_subject(row), _body(row), approvers, row.expires_at)


def decide(connection: psycopg.Connection, intervention: UUID, decision: Decision, key: str, settings: Settings) -> str:
    """Write a decision down, once; returns the status the proposal has then.

    A later or second decision changes nothing. An approval by somebody who may not approve is no approval: the proposal
    is refused, and the audit says who tried.
    """
    with connection.transaction():
        row = store.find(connection, intervention, lock=True)
        if row.status != "pending_approval":
            return row.status
        if not decision.account or decision.at >= row.expires_at:
            _expire(connection, row, key)
            return "expired"
        note = "".join(c if c.isprintable() else " " for c in decision.note)[:_LONGEST_NOTE]
        made = {"decided_by": decision.account, "decided_at": decision.at, "decision_note": note}
        status, event, code = "rejected", Event.REJECTED, ""
        if decision.approved:
            allowed = decision.account in _approvers(connection, row, settings)
            status, event, code = ("approved", Event.APPROVED, "") if allowed else _NOT_ALLOWED
        changes = {**made, "status": status, "reason_code": code}
        detail = {"note": note, "at": decision.at.isoformat(), "code": code, "run": key}
        store.move(connection, row.id, changes, event, decision.account, detail)
        fault_point("interventions.decision.before_commit")
    log_event(log, "intervention_decided", intervention=intervention, status=status, code=code)
    return status


_NOT_ALLOWED = ("refused", Event.REFUSED, "approver_not_allowed")


def expire(connection: psycopg.Connection, now: datetime, actor: str) -> int:
    """Write down as expired what nobody decided, or nobody executed, in time; returns how many."""
    with connection.transaction():
        found = connection.execute(
            "select id from organism.intervention where status in ('pending_approval', 'approved') and expires_at <= %s"
            " order by id for update skip locked",
            [now],
        ).fetchall()
        for (intervention,) in found:
            _expire(connection, store.find(connection, intervention), actor)
    return len(found)


def _expire(connection: psycopg.Connection, row: Intervention, actor: str) -> None:
    changes: dict[str, Any] = {
        "status": "expired",
        "reason_code": "expired",
        "reason": "nobody decided in time" if row.status == "pending_approval" else "it was not executed in time",
    }
    store.move(connection, row.id, changes, Event.EXPIRED, actor, {"was": row.status})


def _approvers(connection: psycopg.Connection, row: Intervention, settings: Settings) -> list[str]:
    last = store.last_high_approver(connection, row.id)
    return checks.eligible(settings.approvers, row.impact, row.proposed_by, last)


def _subject(row: Intervention) -> str:
    return f"{row.impact}: {row.action} for {row.target}"


def _body(row: Intervention) -> str:
    """Markdown; names are put into code spans, so that none of them is read as markup."""
    people = "not told" if row.treated is None else f"{row.treated} of {row.group_size} people"
    effect = "not known"
    if row.expected is not None:
        effect = "{:+.2f} (95 % interval {:+.2f} to {:+.2f})".format(*row.expected)
    facts = {
        "Action": _code(row.action),
        "For": f"{_code(str(row.target))}: {people}; the others are held out or do not take part",
        "With": ", ".join(f"{name} {_code(str(value))}" for name, value in sorted(row.parameters.items())) or "-",
        f"Expected change of {_code(row.outcome)}": f"{effect}, mean of the group",
        "Evidence": ", ".join(f"causal_estimate {_code(each)}" for each in row.evidence),
        "Undone by": row.reversible_by,
        "Proposed by": _code(row.proposed_by),
        "Until": f"{row.expires_at:%Y-%m-%d %H:%M} UTC; without an answer nothing is done",
    }
    lines = [f"| **{name}** | {value} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _code(text: str) -> str:
    clean = "".join(c if c.isprintable() and c not in "`|" else " " for c in text)
    return f"`{clean}`"

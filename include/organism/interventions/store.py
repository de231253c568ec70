"""Interventions in Postgres: one row each, a state machine whose every step is one transaction with its audit entry.

    shadow, refused                          ends
    pending_approval -> rejected, expired, refused, approved
    approved -> executing -> executed -> rolling_back -> rolled_back
                executing -> failed (undone)

`fence` grows with each writer that takes a row; a writer whose number is older writes nothing, here or elsewhere. The
caller opens the transaction (`with connection.transaction()`), so that what belongs together is committed together.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from include.operations.errors import InputRejected, LeaseHeld, LeaseLost
from include.organism.interventions import audit
from include.organism.interventions.audit import Event
from include.organism.interventions.population import Kind, Target

if TYPE_CHECKING:
    import psycopg

# Any number that no other program on this database uses for the same purpose.
_BUDGET_LOCK: Final = 4_017_723_998
_NAMES: Final = UUID("9d5f0d0e-3a52-5e53-9a86-5f2b4b0a7c11")
# Waiting or under way: they hold their group.
OPEN: Final = ("pending_approval", "approved", "executing", "rolling_back")


@dataclass(frozen=True, slots=True)
class Intervention:
    """A row of `organism.intervention`, as far as it decides."""

    id: UUID
    proposed_by: str
    action: str
    impact: str
    target_kind: str
    target_value: str
    parameters: Mapping[str, Any]
    outcome: str
    expected_effect: float | None
    expected_low: float | None
    expected_high: float | None
    evidence: Collection[str]
    reversible_by: str
    expires_at: datetime
    mode: str
    status: str
    reason_code: str
    reason: str
    group_size: int | None
    treated: int | None
    review_key: str | None
    decided_by: str
    decided_at: datetime | None
    fence: int
    executor: str
    lease_until: datetime | None
    executed_at: datetime | None
    rolled_back_at: datetime | None

    @property
    def target(self) -> Target:
        """Whom it is for."""
        return Target(Kind(self.target_kind), self.target_value)

    @property
    def expected(self) -> tuple[float, float, float] | None:
        """Expected effect and its interval; None: it has none."""
        if self.expected_effect is None or self.expected_low is None or self.expected_high is None:
            return None
        return self.expected_effect, self.expected_low, self.expected_high


@dataclass(frozen=True, slots=True)
class Step:
    """What an intervention does for one person."""

    employee_id: str
    key: UUID
    system: str
    captured: Mapping[str, Any] | None
    state: str


def new_id(*parts: object) -> UUID:
    """The id of the proposal that these parts make; the same parts give the same one."""
    return uuid.uuid5(_NAMES, "\x1f".join(map(str, parts)))


def step_key(intervention: UUID, employee_id: str) -> UUID:
    """The idempotency key by which another system knows what an intervention does for a person."""
    return uuid.uuid5(intervention, employee_id)


_READ: Final = f"select {', '.join(field.name for field in fields(Intervention))} from organism.intervention"  # noqa: S608


def find(connection: psycopg.Connection, intervention: UUID, *, lock: bool = False) -> Intervention:
    """Read one; `lock` keeps others off until the transaction ends.

    Raises:
        InputRejected: there is none of this id.
    """
    query = f"{_READ} where id = %s{' for update' if lock else ''}"
    row = connection.execute(query, [intervention]).fetchone()
    if row is None:
        raise InputRejected(f"there is no intervention {intervention}", what_to_do="take an id of `interventions list`")
    return Intervention(*row)


def listed(connection: psycopg.Connection, statuses: Collection[str], limit: int) -> list[Intervention]:
    """Newest first; no statuses: all of them."""
    query = f"{_READ} where cardinality(%s::text[]) = 0 or status = any(%s) order by proposed_at desc, id limit %s"
    given = list(statuses)
    return [Intervention(*row) for row in connection.execute(query, [given, given, limit])]


def insert(connection: psycopg.Connection, values: Mapping[str, Any], event: Event, actor: str) -> bool:
    """Add a proposal with its audit entry; False: it is there already, and nothing was changed.

    `values` are columns of `organism.intervention`.
    """
    from psycopg import sql
    from psycopg.types.json import Jsonb

    given = {**values, "parameters": Jsonb(values["parameters"])}
    statement = sql.SQL("insert into organism.intervention ({}) values ({}) on conflict (id) do nothing").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
    )
    if not connection.execute(statement, given).rowcount:
        return False
    shown = ("action", "impact", "target_kind", "target_value", "parameters", "outcome", "mode", "status", "evidence")
    figures = ("expected_effect", "expected_low", "expected_high", "reason_code", "group_size", "treated")
    audit.append(connection, event, actor, values["id"], {name: values.get(name) for name in (*shown, *figures)})
    return True


def move(
    connection: psycopg.Connection,
    intervention: UUID,
    changes: Mapping[str, Any],
    event: Event,
    actor: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Change columns, if any, and add the audit entry; the caller has locked the row and judged where it stands."""
    update(connection, intervention, changes)
    audit.append(connection, event, actor, intervention, detail)


def update(connection: psycopg.Connection, intervention: UUID, changes: Mapping[str, Any]) -> None:
    """Change columns that say nothing about where it stands."""
    from psycopg import sql

    if not changes:
        return
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes
    )
    connection.execute(
        sql.SQL("update organism.intervention set {} where id = %(only)s").format(assignments),
        {**changes, "only": intervention},
    )


def hold_budget(connection: psycopg.Connection) -> None:
    """One at a time until the transaction ends: two actions must not both find room for one."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_BUDGET_LOCK])


def take(connection: psycopg.Connection, row: Intervention, run: str, now: datetime, lease_s: float) -> int:
    """Take an intervention that is under way; returns the new fence. The caller has locked its row.

    Raises:
        LeaseHeld: another run holds it and its lease goes on.
    """
    if row.executor != run and row.lease_until is not None and row.lease_until > now:
        raise LeaseHeld(
            f"intervention {row.id} is being worked on by another run",
            what_to_do="nothing: it is tried again when that run's lease has ended",
            retry_after=row.lease_until - now,
        )
    lease = now + timedelta(seconds=lease_s)
    statement = (
        "update organism.intervention set fence = fence + 1, executor = %s, lease_until = %s where id = %s"
        " returning fence"
    )
    found = connection.execute(statement, [run, lease, row.id]).fetchone()
    return int(found[0]) if found else row.fence


def check_fence(connection: psycopg.Connection, intervention: UUID, fence: int) -> Intervention:
    """Lock the row and make sure that it is still ours.

    Raises:
        LeaseLost: another run has taken it; nothing may be written.
    """
    row = find(connection, intervention, lock=True)
    if row.fence != fence:
        raise LeaseLost(
            f"intervention {intervention}: writer {fence} was fenced off by {row.fence}; nothing was written",
            what_to_do="nothing: the run that took it goes on",
        )
    return row


def fix_members(connection: psycopg.Connection, intervention: UUID, system: str, people: Iterable[str]) -> int:
    """Write down whom it is for, and a step for each; once, a repetition changes nothing. Returns how many."""
    rows = [(intervention, person, step_key(intervention, person), system) for person in sorted(people)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into organism.intervention_member (intervention_id, employee_id) values (%s, %s)"
            " on conflict do nothing",
            [row[:2] for row in rows],
        )
        cursor.executemany(
            "insert into organism.intervention_step (intervention_id, employee_id, key, system)"
            " values (%s, %s, %s, %s) on conflict do nothing",
            rows,
        )
    return len(rows)


def steps(connection: psycopg.Connection, intervention: UUID) -> list[Step]:
    """The steps, in the order in which they are done."""
    query = (
        "select employee_id, key, system, captured, state from organism.intervention_step"
        " where intervention_id = %s order by employee_id"
    )
    return [Step(*row) for row in connection.execute(query, [intervention])]


def mark_steps(
    connection: psycopg.Connection, intervention: UUID, state: str, captured: Mapping[str, Mapping[str, Any] | None]
) -> None:
    """Set the state of these people's steps; what was captured stays as it was first written down."""
    from psycopg.types.json import Jsonb

    with connection.cursor() as cursor:
        cursor.executemany(
            "update organism.intervention_step set state = %s, captured = coalesce(captured, %s), changed_at = now()"
            " where intervention_id = %s and employee_id = %s",
            [
                (state, None if before is None else Jsonb(dict(before)), intervention, person)
                for person, before in captured.items()
            ],
        )


def treated_since(connection: psycopg.Connection, since: datetime, apart_from: UUID) -> set[str]:
    """People for whom something was done, or begun, since a moment; failed ones were undone and do not count."""
    query = """
    select distinct employee_id from organism.intervention_member m
    join organism.intervention i on i.id = m.intervention_id
    where m.created_at >= %s and i.id <> %s and i.status <> 'failed'
    """
    return {row[0] for row in connection.execute(query, [since, apart_from])}


def begun_since(connection: psycopg.Connection, since: datetime, apart_from: UUID) -> int:
    """Interventions begun since a moment, the undone ones too."""
    query = "select count(*) from organism.intervention_audit where event = %s and at >= %s and intervention_id <> %s"
    found = connection.execute(query, [Event.BEGUN, since, apart_from]).fetchone()
    return int(found[0]) if found else 0


def is_open(connection: psycopg.Connection, target: Target, apart_from: UUID) -> bool:
    """Whether another intervention for this very group waits or is under way."""
    query = """
    select exists (select from organism.intervention
      where target_kind = %s and target_value = %s and id <> %s and status = any(%s))
    """
    found = connection.execute(query, [target.kind, target.value, apart_from, list(OPEN)]).fetchone()
    return bool(found and found[0])


def last_high_approver(connection: psycopg.Connection, apart_from: UUID) -> str:
    """Who approved the last HIGH action; empty: nobody yet."""
    query = """
    select decided_by from organism.intervention
    where impact = 'HIGH' and decided_at is not null and id <> %s
      and status in ('approved', 'executing', 'executed', 'failed', 'rolling_back', 'rolled_back')
    order by decided_at desc limit 1
    """
    found = connection.execute(query, [apart_from]).fetchone()
    return found[0] if found else ""

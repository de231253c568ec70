"""Silences: what nobody wants to be told until a date, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from include.connections import warehouse
from include.operations.error_rules import ErrorClass
from include.operations.errors import InputRejected
from include.operations.scrub import scrub

# A silence that outlives the memory of why it was made hides failures.
LONGEST: Final = timedelta(days=30)


def add(
    *,
    reason: str,
    until: datetime,
    created_by: str,
    dag_id: str | None = None,
    task_id: str | None = None,
    error_class: str | None = None,
    now: datetime | None = None,
) -> int:
    """Make a silence; returns its number.

    Raises:
        InputRejected: it would silence everything, has no reason, has ended already or lasts more than 30 days.
        psycopg.Error: the warehouse cannot be reached.
    """
    moment = now or datetime.now(UTC)
    if not (dag_id or task_id or error_class):
        raise InputRejected("a silence of everything is refused", what_to_do="name a DAG, a task or an error class")
    if error_class is not None and error_class not in set(ErrorClass):
        raise InputRejected(f"no error class {error_class}", what_to_do=f"give one of {', '.join(ErrorClass)}")
    if not reason.strip():
        raise InputRejected("a silence needs a reason", what_to_do="say why")
    if not moment < until <= moment + LONGEST:
        raise InputRejected("it must end within 30 days from now", what_to_do="give another end, e.g. 2d")
    with warehouse() as connection:
        row = connection.execute(
            "insert into ops.silence (dag_id, task_id, error_class, reason, created_by, created_at, until)"
            " values (%s, %s, %s, %s, %s, %s, %s) returning id",
            (dag_id, task_id, error_class, scrub(reason), created_by, moment, until),
        ).fetchone()
    assert row is not None  # noqa: S101 - INSERT .. RETURNING returns its row
    return int(row[0])


def end(number: int, *, now: datetime | None = None) -> None:
    """End a silence.

    Raises:
        InputRejected: there is none of this number, or it has ended.
        psycopg.Error: the warehouse cannot be reached.
    """
    moment = now or datetime.now(UTC)
    with warehouse() as connection:
        done = connection.execute(
            "update ops.silence set until = %s where id = %s and until > %s", (moment, number, moment)
        )
    if done.rowcount == 0:
        raise InputRejected(f"no silence {number} is in force", what_to_do="see `alerts silence list`")

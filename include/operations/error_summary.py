"""What the rows of `ops.run_error` add up to: for one run, and for the last hours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_SAMPLES: Final = 3

_TOTALS: Final = """
select error_class, count(*) as errors, count(*) filter (where next_step = 'fail') as final
from ops.run_error where dag_id = %s and run_id = %s group by 1 order by 2 desc, 1
"""
_FIRST: Final = """
select task_id, map_index, try_number, error_class, code, service, object, message, next_step, occurred_at
from ops.run_error where dag_id = %s and run_id = %s order by occurred_at, task_id, map_index, try_number limit %s
"""
_RECENT: Final = """
select error_class, code, service, fingerprint, count(*) as errors,
  count(*) filter (where next_step = 'fail') as final, min(occurred_at) as first_at, max(occurred_at) as last_at,
  array_agg(distinct dag_id || '.' || task_id) as tasks, (array_agg(message order by occurred_at desc))[1] as message,
  (array_agg(what_to_do order by occurred_at desc))[1] as what_to_do
from ops.run_error where occurred_at >= now() - %(since)s and (%(dag)s::text is null or dag_id = %(dag)s)
group by error_class, code, service, fingerprint order by errors desc, last_at desc limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The errors of a run."""

    errors: int
    """Failed tries."""
    final: int
    """Failed tries after which the task was not tried again."""
    by_class: dict[str, int] = field(default_factory=dict)
    """Failed tries by error class, the most frequent first."""
    first: list[dict[str, Any]] = field(default_factory=list)
    """The earliest of them: task, map_index, try, class, code, service, object, message, next step, time."""


def summary(connection: psycopg.Connection, dag_id: str, run_id: str, *, samples: int = _SAMPLES) -> RunSummary:
    """What went wrong in a run: totals, by class, and the first failures."""
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        totals = cursor.execute(_TOTALS, (dag_id, run_id)).fetchall()
        first = cursor.execute(_FIRST, (dag_id, run_id, samples)).fetchall()
    return RunSummary(
        errors=sum(each["errors"] for each in totals),
        final=sum(each["final"] for each in totals),
        by_class={each["error_class"]: each["errors"] for each in totals},
        first=first,
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """Failures of one kind at one place."""

    error_class: str
    code: str
    service: str | None
    fingerprint: str
    errors: int
    """Failed tries."""
    final: int
    """Those after which the task was not tried again."""
    first_at: datetime
    last_at: datetime
    tasks: list[str]
    """dag_id.task_id of each task that failed so."""
    message: str
    """Of the newest."""
    what_to_do: str


def recent(connection: psycopg.Connection, since: timedelta, *, dag_id: str | None = None, limit: int) -> list[Kind]:
    """The kinds of failures in the time before now, the most frequent first."""
    from psycopg.rows import class_row

    with connection.cursor(row_factory=class_row(Kind)) as cursor:
        return cursor.execute(_RECENT, {"since": since, "dag": dag_id, "limit": limit}).fetchall()

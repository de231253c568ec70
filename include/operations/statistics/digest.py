"""What the weekly digest says: one week from Monday to Sunday in UTC, beside the week before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

WEEK: Final = timedelta(days=7)
# Lines of a table in the digest.
_SHOWN: Final = 5


@dataclass(frozen=True)
class Figures:
    """One DAG, or all of them (`*`), in one week."""

    dag_id: str
    total: int
    ok: int
    failed: int
    tries: int
    retries: int
    restarts: int
    clears: int
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    errors: dict[str, int]

    @property
    def success_pct(self) -> float | None:
        """Share of successful runs; None without a run."""
        return 100 * self.ok / self.total if self.total else None

    @property
    def retry_pct(self) -> float | None:
        """Share of tries that repeat a failed one; None without a try."""
        return 100 * self.retries / self.tries if self.tries else None


@dataclass(frozen=True)
class TopError:
    """Failures of one kind at one place."""

    error_class: str
    code: str
    dag_id: str
    task_id: str
    tries: int
    last_at: datetime


@dataclass(frozen=True)
class Day:
    """Runs that ended on one day."""

    day: date
    ok: int
    failed: int


@dataclass(frozen=True)
class Digest:
    """Everything the digest shows. Holds counts and names of DAGs, tasks and codes only."""

    monday: date
    now: Figures
    before: Figures
    """The week before; all zero when there was none."""
    dags: tuple[Figures, ...]
    """Slowest first, by the 95th percentile."""
    dags_before: dict[str, Figures]
    days: tuple[Day, ...]
    """Both weeks, oldest first; days without a run are there."""
    top_errors: tuple[TopError, ...]
    rejected: dict[str, int]
    """What could not be used, by kind: dead letters, lost entries, refused rows."""
    rejected_before: dict[str, int]

    @property
    def key(self) -> str:
        """Name of this digest: the ISO week."""
        year, week, _ = self.monday.isocalendar()
        return f"weekly {year}-W{week:02}"

    @property
    def slowest(self) -> tuple[Figures, ...]:
        """The DAGs whose 95th percentile is highest."""
        return tuple(each for each in self.dags if each.p95_s is not None)[:_SHOWN]


def monday_of(moment: datetime) -> date:
    """Return the Monday of the week, in UTC."""
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def due(connection: psycopg.Connection, now: datetime) -> date | None:
    """Return the Monday of the week that ended last when its digest is still to be sent and has something to say."""
    monday = monday_of(now) - WEEK
    row = connection.execute(
        "select exists (select from ops.workflow_stats where grain = 'week' and dag_id = '*' and bucket = %(at)s "
        "and total > 0) and not exists (select from ops.weekly_digest where week = %(week)s)",
        {"at": _start(monday), "week": monday},
    ).fetchone()
    return monday if row and row[0] else None


def mark_sent(connection: psycopg.Connection, monday: date) -> None:
    """Remember that the week's digest is with the channels."""
    connection.execute("insert into ops.weekly_digest (week) values (%s) on conflict do nothing", [monday])


def collect(connection: psycopg.Connection, monday: date) -> Digest:
    """Read what the digest of the week beginning on this Monday shows."""
    current, previous = _figures(connection, monday), _figures(connection, monday - WEEK)
    return Digest(
        monday=monday,
        now=current.pop("*", _nothing("*")),
        before=previous.pop("*", _nothing("*")),
        dags=tuple(sorted(current.values(), key=lambda each: (-(each.p95_s or 0.0), each.dag_id))),
        dags_before=previous,
        days=_days(connection, monday - WEEK, monday + WEEK),
        top_errors=_top_errors(connection, monday),
        rejected=_rejected(connection, monday),
        rejected_before=_rejected(connection, monday - WEEK),
    )


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _span(monday: date) -> dict[str, datetime]:
    return {"start": _start(monday), "end": _start(monday + WEEK)}


def _nothing(dag_id: str) -> Figures:
    return Figures(dag_id, 0, 0, 0, 0, 0, 0, 0, None, None, None, {})


def _figures(connection: psycopg.Connection, monday: date) -> dict[str, Figures]:
    rows = connection.execute(
        "select dag_id, total, ok, failed, tries, retries, restarts, clears, p50_s, p95_s, max_s, errors "
        "from ops.workflow_stats where grain = 'week' and bucket = %s",
        [_start(monday)],
    )
    return {row[0]: Figures(*row) for row in rows}


def _days(connection: psycopg.Connection, first: date, end: date) -> tuple[Day, ...]:
    rows = connection.execute(
        "select (bucket at time zone 'UTC')::date, ok, failed from ops.workflow_stats "
        "where grain = 'day' and dag_id = '*' and bucket >= %s and bucket < %s",
        [_start(first), _start(end)],
    )
    found = {day: (ok, failed) for day, ok, failed in rows}
    days = (first + timedelta(days=n) for n in range((end - first).days))
    return tuple(Day(day, *found.get(day, (0, 0))) for day in days)


def _top_errors(connection: psycopg.Connection, monday: date) -> tuple[TopError, ...]:
    rows = connection.execute(
        "select min(error_class), min(code), dag_id, task_id, "
        "count(distinct (run_id, map_index, try_number)) as tries, max(occurred_at) "
        "from ops.run_error where occurred_at >= %(start)s and occurred_at < %(end)s "
        "group by fingerprint, dag_id, task_id order by tries desc, max(occurred_at) desc limit %(shown)s",
        {**_span(monday), "shown": _SHOWN},
    )
    return tuple(TopError(*row) for row in rows)


def _rejected(connection: psycopg.Connection, monday: date) -> dict[str, int]:
    found: dict[str, Any] = {}
    for query in _REJECTED:
        found.update(connection.execute(query, _span(monday)).fetchall())
    return {name: int(count) for name, count in found.items()}


# Each gives rows of kind and count.
_REJECTED: Final = (
    """
    select kind, count from (
      select coalesce(sum(dead), 0) as dead, coalesce(sum(lost), 0) as lost
      from ops.graph_update where created_at >= %(start)s and created_at < %(end)s
    ) as sums, lateral (values ('interactions that became dead letters', dead),
      ('interactions lost before they were read', lost)) as listed (kind, count)
    """,
    """
    select 'roster rows refused', count(distinct (run_id, row_number)) from organism.roster_rejection
    where created_at >= %(start)s and created_at < %(end)s
    """,
)

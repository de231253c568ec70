"""Writes one run's measurements of people: one transaction, idempotent for the run's logical time, fenced.

`begin` raises the fencing epoch of the logical time; a try with an older epoch (its task was given up, its process
lives on) writes nothing. `write` replaces what is there for that time: rows that say the same are left alone, people
who are no longer measured go. A reader sees the old rows or the new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.conflicts import repeat
from include.operations.errors import InputRejected, LeaseLost
from include.operations.faults import fault_point
from include.organism.metric_store import layout
from include.organism.metric_store.columns import ALWAYS, COLUMNS, METRICS, REQUIRED, SOMETIMES
from include.organism.privacy import choices
from include.organism.privacy.pseudonym import Pseudonyms

if TYPE_CHECKING:
    import polars as pl
    import psycopg
    from psycopg import sql

# By the warehouse's clock. A run stamped later than this is a mistake that would stay "the newest" for as long.
_AHEAD: Final = timedelta(hours=1)
_ROWS_A_SLICE: Final = 50_000

_BEGIN: Final = """
insert into organism.metric_run as run (measured_at, run_id, epoch) values (%s, %s, 1)
on conflict (measured_at) do update set epoch = run.epoch + 1, run_id = excluded.run_id, started_at = now()
returning epoch
"""
_LOCK: Final = "select epoch from organism.metric_run where measured_at = %s for update"
_SHARE: Final = "lock table organism.employee_metrics in row exclusive mode"
_STAGE: Final = "create temporary table staged_metrics (like organism.employee_metrics) on commit drop"
_COPY: Final = "copy staged_metrics ({}) from stdin (format csv)"
_LEAVE_OUT: Final = """
delete from staged_metrics where employee_id in (select employee_id from organism.excluded_person)
"""
_DELETE: Final = """
delete from organism.employee_metrics as stored where measured_at = %s
  and not exists (select from staged_metrics as staged where staged.employee_id = stored.employee_id)
"""
_COMPLETE: Final = """
update organism.metric_run
set people = %s, edges = %s, metrics = %s, seconds = %s, completed_at = now() where measured_at = %s
"""


@dataclass(frozen=True, slots=True)
class MetricRun:
    """What is known about a run as a whole.

    Attributes:
        measured_at: the run's logical time, with a zone.
        epoch: what `begin` gave.
        edges: directed edges read.
        metrics: by metric: method, k, seed, engine, version, definition, error_bound.
        seconds: by phase.
    """

    measured_at: datetime
    epoch: int
    edges: int
    metrics: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """Rows by what became of them.

    Attributes:
        people: rows of the run now.
        changed: rows inserted or updated; a repeated write of the same values changes none.
        removed: rows of people that an earlier try measured and this one did not.
        left_out: people who opted out, are on leave or were erased.
    """

    people: int
    changed: int
    removed: int
    left_out: int


def begin(connection: psycopg.Connection, measured_at: datetime, run_id: str) -> int:
    """Announce a try of the run of this logical time, and fence every earlier try off; returns the epoch. Commits.

    Raises:
        InputRejected: the time lies in the future, or has no zone.
    """
    if measured_at.tzinfo is None:
        raise InputRejected("the run's logical time has no time zone", what_to_do="give one with a zone")
    late = connection.execute("select %s > now() + %s", [measured_at, _AHEAD]).fetchone()
    if late is not None and late[0]:
        raise InputRejected(
            f"the run's logical time {measured_at:%Y-%m-%d %H:%M} lies in the future",
            what_to_do="trigger the run without a logical date, or with one in the past; check the machine's clock",
        )
    row = connection.execute(_BEGIN, [measured_at, run_id]).fetchone()
    connection.commit()
    if row is None:
        raise AssertionError("an upsert gives one row")
    return int(row[0])


def write(connection: psycopg.Connection, run: MetricRun, frame: pl.DataFrame) -> Written:
    """Replace the run's rows by a frame's and mark the run complete, in one transaction.

    Args:
        connection: the warehouse; committed at the end.
        run: what is known about the run; its epoch fences.
        frame: one row a person: `columns.REQUIRED`, and of `columns.SOMETIMES` those that were computed (a NaN there
            means undefined and becomes null). `team` may be null.

    Raises:
        InputRejected: columns are missing or unknown, a person comes twice or has no id, a value is not finite.
        LeaseLost: a later try of this run has begun; nothing was written.
    """
    checked = _checked(frame)
    fault_point("metrics.before_write")
    written = repeat(lambda: _replace(connection, run, checked), undo=connection.rollback)
    fault_point("metrics.after_commit")
    return written


def _replace(connection: psycopg.Connection, run: MetricRun, checked: pl.DataFrame) -> Written:
    """One transaction."""
    from psycopg import sql
    from psycopg.types.json import Jsonb

    given = checked.height
    # An erasure locks the table against this, so that it deletes what is written, or is seen here.
    connection.execute(_SHARE)
    checked = _without_erased(connection, checked)
    connection.execute(_STAGE)
    columns = sql.SQL(", ").join(map(sql.Identifier, ("measured_at", *checked.columns)))
    with connection.cursor().copy(sql.SQL(_COPY).format(columns)) as copy:
        for part in checked.iter_slices(_ROWS_A_SLICE):
            copy.write(_csv(part, run.measured_at))
    left_out = given - checked.height + connection.execute(_LEAVE_OUT).rowcount
    lock_run(connection, run.measured_at, run.epoch)
    layout.make_room(connection, layout.RAW, run.measured_at)
    removed = connection.execute(_DELETE, [run.measured_at]).rowcount
    changed = connection.execute(_upsert(checked.columns)).rowcount
    fault_point("metrics.in_transaction")
    people = given - left_out
    facts = [Jsonb({name: dict(fact) for name, fact in run.metrics.items()}), Jsonb(dict(run.seconds))]
    connection.execute(_COMPLETE, [people, run.edges, *facts, run.measured_at])
    connection.commit()
    return Written(people, changed, removed, left_out)


def lock_run(connection: psycopg.Connection, measured_at: datetime, epoch: int) -> None:
    """Hold the run's row until the transaction ends, if this try is still the newest.

    Raises:
        LeaseLost: it is not.
    """
    row = connection.execute(_LOCK, [measured_at]).fetchone()
    if row is None or row[0] != epoch:
        connection.rollback()
        raise LeaseLost(
            f"try {epoch} of the measurement of {measured_at:%Y-%m-%d %H:%M} was fenced off by try "
            f"{row[0] if row else 'none'}",
            what_to_do="nothing: the later try goes on",
        )


def _upsert(given: list[str]) -> sql.Composed:
    """Rows that say the same stay as they are: a repeated run leaves no dead rows behind."""
    from psycopg import sql

    # What the frame does not bring keeps its value: the burnout score is another step's.
    values = [sql.Identifier(name) for name in given if name != "employee_id"]
    comma = sql.SQL(", ")
    return sql.SQL(
        "insert into organism.employee_metrics as stored ({names}) select {names} from staged_metrics "
        "on conflict (measured_at, employee_id) do update set ({values}) = row ({new}) "
        "where ({old}) is distinct from ({new})"
    ).format(
        names=comma.join(map(sql.Identifier, ("measured_at", *given))),
        values=comma.join(values),
        new=comma.join(sql.SQL("excluded.{}").format(name) for name in values),
        old=comma.join(sql.SQL("stored.{}").format(name) for name in values),
    )


def _without_erased(connection: psycopg.Connection, frame: pl.DataFrame) -> pl.DataFrame:
    """The graph may have been read before somebody was erased."""
    erased = choices.erased(connection)
    if not erased:
        return frame
    pseudonyms = Pseudonyms.from_env()
    return frame.filter([pseudonyms.tombstone(person) not in erased for person in frame["employee_id"]])


def _csv(part: pl.DataFrame, measured_at: datetime) -> bytes:
    import polars as pl

    stamped = part.select(pl.lit(measured_at.isoformat()).alias("measured_at"), pl.all())
    # An empty text would be null without quotes.
    return stamped.write_csv(include_header=False, quote_style="non_numeric").encode()


def _checked(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its columns in order, undefined values null."""
    import polars as pl

    missing = [name for name in REQUIRED if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in COLUMNS]
    if missing or unknown:
        raise InputRejected(
            f"the measurements lack {', '.join(missing) or 'nothing'}; unknown: {', '.join(unknown) or 'nothing'}",
            what_to_do="write the columns of include/organism/metric_store/columns.py",
        )
    numbers = [name for name in METRICS if name in frame.columns]
    ordered = frame.select(name for name in COLUMNS if name in frame.columns).with_columns(
        pl.col("employee_id").cast(pl.String),
        pl.col("team").cast(pl.String),
        pl.col("is_manager").cast(pl.Boolean),
        pl.col("community").cast(pl.Int32),
        *(pl.col(name).cast(pl.Float64) for name in numbers),
    )
    ordered = ordered.with_columns(pl.col(name).fill_nan(None) for name in numbers if name in SOMETIMES)
    ids = ordered["employee_id"]
    if ids.null_count() or ids.n_unique() < ordered.height:
        raise InputRejected(
            f"of {ordered.height} measured people {ids.null_count()} have no id and {ordered.height - ids.n_unique()} "
            "come twice",
            what_to_do="report this: the measurements were joined wrongly",
        )
    for name in numbers:
        column = ordered[name]
        bad = int((~column.is_finite()).sum()) + (column.null_count() if name in ALWAYS else 0)
        if bad:
            raise InputRejected(
                f"{name} is not a finite number for {bad} of {ordered.height} people",
                what_to_do="report this: the computation is wrong; nothing was stored",
            )
    if ordered["is_manager"].null_count():
        ordered = ordered.with_columns(pl.col("is_manager").fill_null(value=False))
    return ordered

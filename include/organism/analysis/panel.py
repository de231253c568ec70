"""The panel of an analysis: one row per person and period, from the metric history and the assessments.

People who have opted out or are on leave are in none of its rows. A person is a number that means nothing outside it.
A metric is the mean of a period's measurements; an outcome is the mean of a period's scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from include.organism.analysis.question import BURNOUT, METRICS, Managers, Question
from include.organism.assessments.usual import USUAL_INSTRUMENT

if TYPE_CHECKING:
    import psycopg

PERSON, PERIOD = "person", "period"
# Days whose roll-up may not hold all measurements yet: it is made after the analysis, and not at all while that fails.
_OPEN_DAYS: Final = timedelta(days=7)

_DAY: Final = "(assessed_on::timestamp at time zone 'UTC')"
_ANSWER: Final = """
with answer as (
    select employee_id, instrument, score from organism.burnout_assessment
    where {day} >= %(start)s and {day} < %(end)s
)
"""
# Sums and counts, so that days of one and of many measurements weigh as they should.
_MEASURED: Final = """
measured as (
    select employee_id, date_trunc({period}, moment, 'UTC') as starts, {means},
        max(is_manager::int) as is_manager
    from (
        select employee_id, bucket as moment, samples, team, is_manager, {names}
        from organism.employee_metrics_daily
        where bucket >= %(start)s and bucket < least(%(open)s, %(end)s)
        union all
        select employee_id, measured_at, 1, team, is_manager, {names}
        from organism.employee_metrics
        where measured_at >= greatest(%(open)s, %(start)s) and measured_at < %(end)s
    ) as history
    where (%(teams)s::text[] is null or team = any(%(teams)s))
        and (%(manager)s::boolean is null or is_manager = %(manager)s)
        and not exists (select from organism.excluded_person as out where out.employee_id = history.employee_id)
    group by 1, 2
)
"""
_SCORED: Final = """
scored as (
    select employee_id, date_trunc({period}, {day}, 'UTC') as starts,
        avg(score) as burnout_score
    from organism.burnout_assessment
    where score is not null and instrument = %(instrument)s
        and {day} >= %(start)s and {day} < %(end)s
    group by 1, 2
)
"""
# Periods count from the first one, without gaps in the calendar: consecutive ones differ by 1.
_NUMBER: Final = {
    "day": "extract(epoch from starts)::bigint / 86400",
    "week": "(extract(epoch from starts)::bigint / 86400 - 4) / 7",
    "month": "(extract(year from starts) * 12 + extract(month from starts))::bigint",
}


@dataclass(frozen=True, slots=True)
class PanelFile:
    """A panel on disk.

    Attributes:
        path: Parquet file with `person`, `period` and the question's columns.
        rows: its rows.
        people: its people.
        hash: SHA-256 of its rows in the order of person and period, and of the question's columns.
        instrument: questionnaire of the outcome; None: the outcome is a metric.
        left_out: people with a score in the span who are in no row: not measured in the period of an answer, opted out,
            on leave, or not among those the question is about. Not counted by reason: few are easily told apart.
    """

    path: Path
    rows: int
    people: int
    hash: str
    instrument: str | None
    left_out: int


@contextmanager
def opened(connection: psycopg.Connection, question: Question, measured_at: datetime) -> Iterator[PanelFile]:
    """Read the panel into a temporary file, which is gone at the end of the block.

    Args:
        connection: the warehouse.
        question: what is asked.
        measured_at: the run's logical time; nothing later is read.

    Raises:
        psycopg.Error: the warehouse refuses.
    """
    import polars as pl

    start, end = question.span(measured_at)
    values: dict[str, Any] = {
        "start": start,
        "end": end,
        "open": (measured_at - _OPEN_DAYS).replace(hour=0, minute=0, second=0, microsecond=0),
        "teams": list(question.teams) or None,
        "manager": {Managers.ALL: None, Managers.ONLY: True, Managers.WITHOUT: False}[question.managers],
        "instrument": None,
    }
    if question.outcome == BURNOUT:
        values["instrument"] = _instrument(connection, question, values)
    with TemporaryDirectory(prefix="panel-") as folder:
        written, digest = Path(folder) / "panel.csv", hashlib.sha256(",".join(question.columns).encode())
        with connection.cursor() as cursor, written.open("wb") as file:
            with cursor.copy(_statement(question), values) as copy:
                for part in copy:
                    digest.update(part)
                    file.write(part)
            left_out = _left_out(cursor, question, values)
        names = [PERSON, PERIOD, *question.columns]
        kinds = {name: pl.Int64 if name in {PERSON, PERIOD} else pl.Float64 for name in names}
        path = Path(folder) / "panel.parquet"
        pl.scan_csv(written, has_header=False, schema=kinds).sink_parquet(path)
        written.unlink()
        rows, people = pl.scan_parquet(path).select(pl.len(), pl.col(PERSON).n_unique()).collect().row(0)
        yield PanelFile(path, rows, people, digest.hexdigest(), values["instrument"], left_out)


def _instrument(connection: psycopg.Connection, question: Question, values: dict[str, Any]) -> str | None:
    from psycopg import sql

    if question.instrument is not None:
        return question.instrument
    found = connection.execute(sql.SQL(_ANSWER + USUAL_INSTRUMENT).format(day=sql.SQL(_DAY)), values).fetchone()
    return str(found[0]) if found else None


def _parts(question: Question) -> Any:
    from psycopg import sql

    names = sql.SQL(", ").join(map(sql.Identifier, METRICS))
    means = sql.SQL(", ").join(
        sql.SQL(
            "sum({0} * samples) filter (where {0} is not null) / nullif(sum(samples) filter (where {0} is not null), 0)"
            " as {0}"
        ).format(sql.Identifier(name))
        for name in METRICS
    )
    period = sql.Literal(str(question.period))
    measured = sql.SQL(_MEASURED).format(period=period, means=means, names=names)
    if question.outcome != BURNOUT:
        return measured
    return sql.SQL(", ").join([measured, sql.SQL(_SCORED).format(period=period, day=sql.SQL(_DAY))])


def _statement(question: Question) -> Any:
    from psycopg import sql

    joined = sql.SQL("measured join scored using (employee_id, starts)" if question.outcome == BURNOUT else "measured")
    columns = sql.SQL(", ").join(map(sql.Identifier, question.columns))
    return sql.SQL(
        "copy (with {parts} select dense_rank() over (order by employee_id), {number}, {columns} from {joined}"
        " order by 1, 2) to stdout (format csv)"
    ).format(parts=_parts(question), number=sql.SQL(_NUMBER[str(question.period)]), columns=columns, joined=joined)


def _left_out(cursor: psycopg.Cursor, question: Question, values: dict[str, Any]) -> int:
    from psycopg import sql

    if question.outcome != BURNOUT:
        return 0
    statement = sql.SQL(
        "with {parts} select count(distinct employee_id) - count(distinct measured.employee_id)"
        " from scored left join measured using (employee_id, starts)"
    ).format(parts=_parts(question))
    row = cursor.execute(statement, values).fetchone()
    return int(row[0]) if row else 0

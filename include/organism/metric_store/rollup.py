"""Means of each person's measurements by hour and by day: written anew for the buckets that a run falls into.

An hour's means come from its runs, a day's from its hours, weighted by their runs: when the runs of a day are no longer
kept, a repeated run does not spoil the day.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, LiteralString

from include.operations.faults import fault_point
from include.organism.metric_store import layout
from include.organism.metric_store.columns import METRICS

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

# Two runs of the same day would each delete what is there and insert the same rows.
_LOCK: Final = 4_017_723_999
_BUCKET: Final = "select organism.bucket(%s, %s)"
_FORGET: Final = "delete from {target} where bucket = {begin}"
_HOURLY: Final = """
insert into {target} (bucket, employee_id, team, is_manager, samples, {names})
select {begin}, employee_id, (array_agg(team order by measured_at desc))[1],
  (array_agg(is_manager order by measured_at desc))[1], count(*), {means}
from organism.employee_metrics as measured where measured_at >= {begin} and measured_at < {begin} + {width}
  and not exists (select from organism.excluded_person where employee_id = measured.employee_id)
group by employee_id
"""
_DAILY: Final = """
insert into {target} (bucket, employee_id, team, is_manager, samples, {names})
select {begin}, employee_id, (array_agg(team order by bucket desc))[1],
  (array_agg(is_manager order by bucket desc))[1], sum(samples), {means}
from organism.employee_metrics_hourly as measured where bucket >= {begin} and bucket < {begin} + {width}
  and not exists (select from organism.excluded_person where employee_id = measured.employee_id)
group by employee_id
"""
_MEAN: Final = "avg({0})"
_WEIGHTED: Final = "sum({0} * samples) / sum(samples) filter (where {0} is not null)"
_STEPS: Final = (
    (layout.HOURLY, "1 hour", _HOURLY, _MEAN),
    (layout.DAILY, "1 day", _DAILY, _WEIGHTED),
)


def roll_up(connection: psycopg.Connection, measured_at: datetime, epoch: int) -> dict[str, int]:
    """Write the hour and the day of a run anew, in one transaction. Commits.

    Args:
        connection: the warehouse.
        measured_at: the run's logical time.
        epoch: what `writer.begin` gave to this try of the run.

    Returns:
        Rows by table.

    Raises:
        LeaseLost: a later try of the run has begun; nothing was written.
    """
    from psycopg import sql

    from include.organism.metric_store.writer import lock_run

    lock_run(connection, measured_at, epoch)
    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    rows = {}
    for series, width, statement, mean in _STEPS:
        row = connection.execute(_BUCKET, [width, measured_at]).fetchone()
        if row is None:
            raise AssertionError("a function gives one row")
        layout.make_room(connection, series, row[0])
        parts = _parts(series, width, row[0], mean)
        connection.execute(sql.SQL(_FORGET).format(**parts))
        rows[series.table] = connection.execute(sql.SQL(statement).format(**parts)).rowcount
        fault_point("rollup.in_transaction")
    connection.commit()
    return rows


def _parts(series: layout.Series, width: str, begin: datetime, mean: LiteralString) -> dict[str, sql.Composable]:
    from psycopg import sql

    names = [sql.Identifier(name) for name in METRICS]
    return {
        "target": sql.Identifier("organism", series.table),
        "begin": sql.Literal(begin),
        "width": sql.SQL("interval {}").format(sql.Literal(width)),
        "names": sql.SQL(", ").join(names),
        "means": sql.SQL(", ").join(sql.SQL(mean).format(name) for name in names),
    }

"""Rolls runs and tries up into `ops.workflow_stats`: by hour, day, week from Monday and month, in UTC.

Ended runs are copied once into `ops.workflow_run`, because a percentile of a month cannot be made from those of its
days, and because a run that `airflow db clean` has removed must go on counting. Tries, a hundred times as many, come
over as counts by the hour. The longer buckets are made of these two inside the warehouse, so every bucket can be made
again from what is there, whatever the metadata have lost meanwhile. See docs/decisions/0011.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from include.connections import warehouse
from include.operations.metadata import metadata
from include.operations.statistics import source

if TYPE_CHECKING:
    import psycopg

GRAINS: Final = ("hour", "day", "week", "month")
# How far behind the newest hour each roll-up looks again: for transactions that committed late, and clocks that differ.
OVERLAP: Final = timedelta(days=2)
# Ended runs and hours are kept for so many months, longer buckets for ever. Enough to compare with a year ago.
KEEP_MONTHS: Final = 25
# A backfill reads all there is: a million tries are sorted and joined without going to disk.
_READ_LIMIT: Final = timedelta(minutes=5)
_READ_MEMORY: Final = "64MB"
# Any number that no other program on this database uses for the same purpose.
_LOCK: Final = 4_017_723_911
_LOCK_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class RollUp:
    """What one roll-up has done."""

    since: datetime
    """From where on the metadata were read."""
    runs: int
    """Ended runs that were read."""
    hours: int
    """Hours in which something had changed."""
    rows: int
    """How often a row of `ops.workflow_stats` was written."""
    seconds: float


def roll_up(*, now: datetime | None = None, backfill: bool = False) -> RollUp:
    """Bring `ops.workflow_stats` up to date, in one transaction; again does nothing.

    It reads from two days before the newest hour on, so after an outage it catches up by itself. A backfill reads all
    history there is; it adds what is missing, and never takes away what only the warehouse still knows.

    Raises:
        RightsTooWide: the connection `airflow_metadata` is a superuser's.
        psycopg.Error: one of the two servers cannot be reached or refuses; nothing was written.
    """
    begun = time.monotonic()
    now = now or datetime.now(UTC)
    with warehouse() as target:
        _prepare(target)
        floor = _floor(now)
        since = floor if backfill else _since(target, now, floor)
        # Only now, behind the lock: an older look must never be written over a newer one.
        with metadata(statement_timeout=_READ_LIMIT) as airflow:
            airflow.execute("select set_config('work_mem', %s, true)", [_READ_MEMORY])
            runs = _copy(airflow, source.ENDED, target, "ended", since)
            _copy(airflow, source.REOPENED, target, "reopened", since)
            _copy(airflow, source.TRIES, target, "tried", since)
        for statement in (_TOUCHED_BY_RUNS, _KEEP_RUNS, _REOPEN_RUNS):
            target.execute(statement)
        rows = target.execute(_KEEP_TRIES, {"since": since}).rowcount
        target.execute("analyze touched")
        rows += sum(target.execute(_DERIVE, {"grain": grain, "floor": floor}).rowcount for grain in GRAINS)
        hours = target.execute("select count(distinct hour) from touched").fetchone()
        for statement in _PRUNE:
            target.execute(statement, {"floor": floor})
    return RollUp(since, runs, hours[0] if hours else 0, rows, time.monotonic() - begun)


def rolled_up_until(connection: psycopg.Connection) -> datetime | None:
    """Return the moment up to which all ended runs are in the warehouse; None when nothing ever was rolled up.

    What ended before may be removed from the metadata without a loss to the statistics.
    """
    row = connection.execute(
        "select max(bucket) from ops.workflow_stats where grain = 'hour' and dag_id = '*' and bucket <= now()"
    ).fetchone()
    return row[0] if row else None


def _prepare(target: psycopg.Connection) -> None:
    milliseconds = str(_LOCK_WAIT // timedelta(milliseconds=1))
    target.execute("select set_config('lock_timeout', %s, true)", [milliseconds])
    # Months and weeks are added in the session's time zone.
    target.execute("set local timezone = 'UTC'")
    target.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    target.execute(_TEMPORARY)


def _floor(now: datetime) -> datetime:
    months = now.year * 12 + now.month - 1 - KEEP_MONTHS
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _since(target: psycopg.Connection, now: datetime, floor: datetime) -> datetime:
    # A bucket of the future, made by a clock that was wrong, must not hide the present.
    row = target.execute(
        "select max(bucket) from ops.workflow_stats where grain = 'hour' and dag_id = '*' and bucket <= %s", [now]
    ).fetchone()
    newest = row[0] if row else None
    return floor if newest is None else max(floor, newest - OVERLAP)


def _copy(reader: psycopg.Connection, query: str, target: psycopg.Connection, table: str, since: datetime) -> int:
    """Send a query's result from one server to the other as it comes, and return the number of rows."""
    from psycopg import sql

    statement = sql.SQL(query).format(since=sql.Literal(since))
    into = sql.SQL("copy {} from stdin (format binary)").format(sql.Identifier(table))
    with target.cursor() as cursor:
        with reader.cursor().copy(statement) as incoming, cursor.copy(into) as outgoing:
            for block in incoming:
                outgoing.write(block)
        return cursor.rowcount


_TEMPORARY = """
create temp table ended (dag_id text, run_id text, ended_at timestamptz, ok boolean, duration_us bigint) on commit drop;
create temp table reopened (dag_id text, run_id text) on commit drop;
create temp table tried (hour timestamptz, dag_id text, tries bigint, retries bigint, restarts bigint, clears bigint)
  on commit drop;
create temp table touched (hour timestamptz) on commit drop
"""

# The hour a run counts in now, and the one it counted in before it was cleared and ended again.
_TOUCHED_BY_RUNS = """
insert into touched
select distinct date_trunc('hour', moment, 'UTC')
from ended as e
left join ops.workflow_run as w using (dag_id, run_id), lateral unnest(array[e.ended_at, w.ended_at]) as moment
where moment is not null and (e.ended_at, e.ok, e.duration_us) is distinct from (w.ended_at, w.ok, w.duration_us)
"""

_KEEP_RUNS = """
insert into ops.workflow_run as w (dag_id, run_id, ended_at, ok, duration_us)
select dag_id, run_id, ended_at, ok, duration_us from ended
on conflict (dag_id, run_id) do update
set ended_at = excluded.ended_at, ok = excluded.ok, duration_us = excluded.duration_us
where (w.ended_at, w.ok, w.duration_us) is distinct from (excluded.ended_at, excluded.ok, excluded.duration_us)
"""

_REOPEN_RUNS = """
with gone as (
  delete from ops.workflow_run as w using reopened as r
  where w.dag_id = r.dag_id and w.run_id = r.run_id returning ended_at
)
insert into touched select date_trunc('hour', ended_at, 'UTC') from gone
"""

# Tries never become fewer by themselves: where the metadata show fewer than before, a clean-up has removed some.
_KEEP_TRIES = """
with failed as (
  select hour, dag_id, jsonb_object_agg(error_class, tries) as errors, sum(tries) as n
  from (
    select date_trunc('hour', occurred_at, 'UTC') as hour, dag_id, error_class,
      count(distinct (run_id, task_id, map_index, try_number)) as tries
    from ops.run_error where occurred_at >= %(since)s group by 1, 2, 3
  ) as each group by 1, 2
),
changed as (
  insert into ops.workflow_stats as s (grain, bucket, dag_id, tries, retries, restarts, clears, errors)
  select 'hour', hour, dag_id, coalesce(tries, 0), coalesce(retries, 0), coalesce(restarts, 0), coalesce(clears, 0),
    coalesce(errors, '{}')
  from tried full join failed using (hour, dag_id)
  on conflict (grain, bucket, dag_id) do update set
    tries = greatest(excluded.tries, s.tries),
    retries = case when excluded.tries >= s.tries then excluded.retries else s.retries end,
    restarts = case when excluded.tries >= s.tries then excluded.restarts else s.restarts end,
    clears = case when excluded.tries >= s.tries then excluded.clears else s.clears end,
    errors = case
      when (select coalesce(sum(value::bigint), 0) from jsonb_each_text(excluded.errors))
        >= (select coalesce(sum(value::bigint), 0) from jsonb_each_text(s.errors))
      then excluded.errors else s.errors end,
    updated_at = now()
  where (s.tries, s.retries, s.restarts, s.clears, s.errors)
    is distinct from (excluded.tries, excluded.retries, excluded.restarts, excluded.clears, excluded.errors)
  returning bucket
)
insert into touched select bucket from changed
"""

# One grain: whatever lies in a touched bucket is counted anew, from ended runs and from the hours' tries.
# A quotient of two whole numbers below 2^53 is the double nearest to the true mean.
_DERIVE = """
with bucket as materialized (
  select distinct date_trunc(%(grain)s, hour, 'UTC') as bucket from touched
  where date_trunc(%(grain)s, hour, 'UTC') >= %(floor)s
),
run as (
  select bucket, coalesce(dag_id, '*') as dag_id, count(*) as total, count(*) filter (where ok) as ok,
    count(*) filter (where not ok) as failed,
    sum(duration_us)::float8 / nullif(count(duration_us) * 1e6::float8, 0) as avg_s,
    min(duration_us) / 1e6::float8 as min_s, max(duration_us) / 1e6::float8 as max_s,
    percentile_cont(0.5) within group (order by duration_us / 1e6::float8) as p50_s,
    percentile_cont(0.95) within group (order by duration_us / 1e6::float8) as p95_s
  from bucket join ops.workflow_run as w on bucket = date_trunc(%(grain)s, w.ended_at, 'UTC')
  where w.ended_at >= (select min(bucket) from bucket)
  group by grouping sets ((bucket, dag_id), (bucket))
),
hour as materialized (
  select b.bucket, s.dag_id, s.tries, s.retries, s.restarts, s.clears, s.errors
  from bucket as b join ops.workflow_stats as s on b.bucket = date_trunc(%(grain)s, s.bucket, 'UTC')
  where s.grain = 'hour' and s.dag_id <> '*' and s.bucket >= (select min(bucket) from bucket)
),
try as (
  select bucket, coalesce(dag_id, '*') as dag_id, sum(tries) as tries, sum(retries) as retries,
    sum(restarts) as restarts, sum(clears) as clears
  from hour group by grouping sets ((bucket, dag_id), (bucket))
),
error as (
  select bucket, dag_id, jsonb_object_agg(error_class, n) as errors
  from (
    select bucket, coalesce(dag_id, '*') as dag_id, key as error_class, sum(value::bigint)::bigint as n
    from hour, lateral jsonb_each_text(errors)
    group by grouping sets ((bucket, dag_id, key), (bucket, key))
  ) as each group by 1, 2
),
-- A bucket that has lost its only run, since that was cleared, is there to be set to nothing.
place as (
  select bucket, dag_id from run union select bucket, dag_id from try
  union select s.bucket, s.dag_id from ops.workflow_stats as s join bucket as b using (bucket) where s.grain = %(grain)s
)
insert into ops.workflow_stats as s (grain, bucket, dag_id, total, ok, failed, tries, retries, restarts, clears,
  avg_s, min_s, max_s, p50_s, p95_s, errors)
select %(grain)s, bucket, dag_id, coalesce(total, 0), coalesce(ok, 0), coalesce(failed, 0), coalesce(tries, 0),
  coalesce(retries, 0), coalesce(restarts, 0), coalesce(clears, 0), avg_s, min_s, max_s, p50_s, p95_s,
  coalesce(errors, '{}')
from place left join run using (bucket, dag_id) left join try using (bucket, dag_id)
  left join error using (bucket, dag_id)
on conflict (grain, bucket, dag_id) do update set
  total = excluded.total, ok = excluded.ok, failed = excluded.failed, tries = excluded.tries,
  retries = excluded.retries, restarts = excluded.restarts, clears = excluded.clears, avg_s = excluded.avg_s,
  min_s = excluded.min_s, max_s = excluded.max_s, p50_s = excluded.p50_s, p95_s = excluded.p95_s,
  errors = excluded.errors, updated_at = now()
where (s.total, s.ok, s.failed, s.tries, s.retries, s.restarts, s.clears, s.avg_s, s.min_s, s.max_s, s.p50_s, s.p95_s,
    s.errors)
  is distinct from (excluded.total, excluded.ok, excluded.failed, excluded.tries, excluded.retries, excluded.restarts,
    excluded.clears, excluded.avg_s, excluded.min_s, excluded.max_s, excluded.p50_s, excluded.p95_s, excluded.errors)
"""

# Buckets that began before are never made anew, so what they were made of may go.
_PRUNE = (
    "delete from ops.workflow_run where ended_at < %(floor)s",
    "delete from ops.workflow_stats where grain = 'hour' and bucket < %(floor)s",
)

"""What Airflow's own metadata say: retries, durations, queue, late and failed runs, paused DAGs, dead components.

Every query keeps to the indexes there are (3.3.2) and asks only for columns of `metadata.READABLE`; each takes a few
milliseconds on 100,000 runs with a million task instances: `make bench-ops`. The moment is a parameter: the metadata
server's clock in production, any moment in a test.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.watchdog.episodes import Reading
from include.operations.watchdog.thresholds import Threshold

if TYPE_CHECKING:
    import psycopg

Rows = list[tuple[Any, ...]]

BASELINE_RUNS: Final = 20
# With fewer successes nobody can say what is usual.
BASELINE_LEAST: Final = 5
# A run that ends now began at most so long ago: reviews by people are the longest, with a week.
_LONGEST_RUN: Final = timedelta(days=8)
_GB: Final = 1e9
_NAMED: Final = 3

COMPONENTS: Final[Mapping[str, str]] = {
    "scheduler": "SchedulerJob",
    "dag-processor": "DagProcessorJob",
    "triggerer": "TriggererJob",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """An open look at the metadata database, at one moment, with the thresholds that hold."""

    connection: psycopg.Connection
    now: datetime
    thresholds: Mapping[str, Threshold]

    def rows(self, query: str, **values: Any) -> Rows:
        """Run a query; `%(now)s` is the moment."""
        return self.connection.execute(query, {"now": self.now, **values}).fetchall()


# A try that began in the window has a heartbeat in it, and of the times only heartbeats have an index. What counts as a
# try and as a retry: as in the statistics, see include/operations/statistics/source.py. A try that is lost with its
# scheduler or cleared by a person is no sign of trouble.
_TRIES = """
with recent as materialized (
  select dag_id, task_id, run_id, map_index, try_number, max_tries, start_date
  from task_instance where last_heartbeat_at >= %(since)s),
old as materialized (
  select h.dag_id, h.task_id, h.run_id, h.map_index, h.try_number, h.max_tries, h.start_date, h.state
  from recent join task_instance_history h using (dag_id, task_id, run_id, map_index)),
try as (
  select * from recent r where start_date >= %(since)s and try_number > 0 and not exists (
    select from old where (old.dag_id, old.task_id, old.run_id, old.map_index, old.try_number)
      = (r.dag_id, r.task_id, r.run_id, r.map_index, r.try_number))
  union all
  select dag_id, task_id, run_id, map_index, try_number, max_tries, start_date
  from old where start_date >= %(since)s and try_number > 0),
judged as (
  select t.dag_id, t.try_number > 1 and (p.try_number is null or (
      t.max_tries <= p.max_tries and p.state in ('failed', 'up_for_retry') and p.start_date is not null
      and not coalesce((
        select bool_and(l.event = 'running') from log l
        where (l.dag_id, l.task_id, l.run_id, l.map_index) = (p.dag_id, p.task_id, p.run_id, p.map_index)
          and l.try_number = p.try_number and l.event in ('running', 'failed', 'up_for_retry', 'heartbeat timeout')
      ), false))) as again
  from try t left join old p
    on (p.dag_id, p.task_id, p.run_id, p.map_index, p.try_number)
      = (t.dag_id, t.task_id, t.run_id, t.map_index, t.try_number - 1)
  where p.start_date is null or p.start_date < t.start_date)
select dag_id, count(*), count(*) filter (where again) from judged group by dag_id order by 3 desc, 1
"""


def retry_rate(look: Metadata) -> Iterator[Reading]:
    """Tries that repeat an earlier one, of all tries that began in the window, over all DAGs."""
    for check, hours in (("retry_rate_1h", 1), ("retry_rate_24h", 24)):
        rows = look.rows(_TRIES, since=look.now - timedelta(hours=hours))
        tries, retries = sum(row[1] for row in rows), sum(row[2] for row in rows)
        if tries < look.thresholds[check].least:
            continue
        worst = ", ".join(f"{dag} {again} of {n}" for dag, n, again in rows[:_NAMED] if again)
        counted = f"{retries} of {tries} tries in {hours} h are retries"
        yield Reading(check, "", 100 * retries / tries, detail=(f"{counted}: {worst}" if worst else counted,))


_RUNNING = """
select dag_id, run_id, start_date from dag_run r
where state = 'running' and start_date is not null and not exists (
  select from task_instance t where t.dag_id = r.dag_id and t.run_id = r.run_id
    and t.state in ('awaiting_input', 'deferred'))
"""
_USUAL_RUNS = """
select run_id, extract(epoch from end_date - start_date)::float8 from dag_run
where dag_id = %(dag)s and state = 'success' and start_date is not null and end_date is not null
order by run_after desc limit %(most)s
"""
_RUNNING_TASKS = """
select dag_id, task_id, run_id, map_index, start_date from task_instance
where state = 'running' and start_date is not null
"""
_USUAL_TASKS = """
select extract(epoch from end_date - start_date)::float8 from task_instance
where dag_id = %(dag)s and task_id = %(task)s and run_id = any(%(runs)s) and state = 'success'
  and start_date is not null and end_date is not null
"""


def durations(look: Metadata) -> Iterator[Reading]:
    """Runs and tasks that are still running, against the median of their last successes.

    A run that waits for a person or for an event elsewhere is not slow. One subject a DAG or task: its slowest.
    """
    runs, tasks = look.rows(_RUNNING), look.rows(_RUNNING_TASKS)
    past: dict[str, Rows] = {
        dag: look.rows(_USUAL_RUNS, dag=dag, most=BASELINE_RUNS) for dag in sorted({row[0] for row in (*runs, *tasks)})
    }
    slow = _Slowest(look)
    for dag, run, start in runs:
        slow.add("run_duration", dag, "", run, start, [seconds for _, seconds in past[dag]])
    usual: dict[tuple[str, str], list[float]] = {}
    for dag, task, run, map_index, start in tasks:
        if (dag, task) not in usual:
            found = look.rows(_USUAL_TASKS, dag=dag, task=task, runs=[row[0] for row in past[dag]])
            usual[dag, task] = [seconds for (seconds,) in found]
        name = run if map_index < 0 else f"{run} [{map_index}]"
        slow.add("task_duration", dag, task, name, start, usual[dag, task])
    yield from slow.readings.values()


class _Slowest:
    """The slowest of each DAG and task."""

    def __init__(self, look: Metadata) -> None:
        self._look = look
        self.readings: dict[tuple[str, str], Reading] = {}

    def add(self, check: str, dag: str, task: str, run: str, start: datetime, past: list[float]) -> None:
        elapsed = (self._look.now - start).total_seconds()
        if len(past) < BASELINE_LEAST or elapsed < self._look.thresholds[check].least:
            return
        usual = statistics.median(past)
        subject = f"{dag}.{task}" if task else dag
        reading = Reading(
            check,
            subject,
            elapsed / max(usual, 1.0),
            normal=f"1 x = {usual:.1f} s (median of {len(past)} successes)",
            detail=(f"{run} has been running for {elapsed:.0f} s",),
            since=start,
            dag_id=dag,
            task_id=task,
        )
        known = self.readings.get((check, subject))
        if known is None or (known.value or 0) < (reading.value or 0):
            self.readings[check, subject] = reading


_QUEUE = """
select pool, count(*), count(*) filter (where state = 'queued'), min(coalesce(queued_dttm, scheduled_dttm))
from task_instance where state in ('scheduled', 'queued') group by pool order by 2 desc, 1
"""


def task_queue(look: Metadata) -> Iterator[Reading]:
    """Tasks that could run and wait for a slot or a worker."""
    rows = look.rows(_QUEUE)
    detail = tuple(f"pool {pool}: {n} wait, {queued} of them with a slot" for pool, n, queued, _ in rows[:_NAMED])
    oldest = min((row[3] for row in rows if row[3] is not None), default=None)
    yield Reading("task_queue", "", float(sum(row[1] for row in rows)), detail=detail, since=oldest)


_LATE = """
select dag_id, min(due), bool_or(made) from (
  select dag_id, next_dagrun_create_after as due, false as made from dag
  where not is_paused and not is_stale and next_dagrun_create_after < %(now)s
  union all
  select dag_id, greatest(run_after, queued_at), true from dag_run
  where state = 'queued' and run_after < %(now)s) late
group by dag_id
"""


def late_runs(look: Metadata) -> Iterator[Reading]:
    """Runs whose time has come and which have not started: not made yet, or made and still queued."""
    for dag, due, made in look.rows(_LATE):
        said = "the run is made and waits for its start" if made else "the scheduler has not made the run"
        yield Reading("late_run", dag, _minutes(look.now - due), detail=(said,), since=due, dag_id=dag)


# dag_run has no index on end_date; by run_after the scan stays as short as the window.
_ENDED = """
select dag_id, count(*), count(*) filter (where state = 'success') from dag_run
where run_after >= %(oldest)s and end_date >= %(since)s and state in ('success', 'failed')
group by dag_id
"""


def success_rate(look: Metadata) -> Iterator[Reading]:
    """Successful runs of each DAG's runs that ended within 24 h."""
    since = look.now - timedelta(hours=24)
    for dag, n, good in look.rows(_ENDED, since=since, oldest=since - _LONGEST_RUN):
        if n >= look.thresholds["success_rate"].least:
            detail = (f"{good} of {n} runs succeeded in 24 h",)
            yield Reading("success_rate", dag, 100 * good / n, detail=detail, dag_id=dag)


_SIZE = "select pg_database_size(current_database())"
_LARGEST = """
select relname, pg_total_relation_size(oid) from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace order by 2 desc, 1 limit %(most)s
"""


def metadata_size(look: Metadata) -> Iterator[Reading]:
    """Size of Airflow's database."""
    ((size,),) = look.rows(_SIZE)
    largest = ", ".join(f"{name} {bytes_ / _GB:.2f} GB" for name, bytes_ in look.rows(_LARGEST, most=_NAMED))
    yield Reading("metadata_size", "", size / _GB, detail=(f"largest tables: {largest}",))


# DAGs without a schedule run when somebody wants them to.
_PAUSED = """
select dag_id from dag
where is_paused and not is_stale and timetable_type !~ '\\.(Null|Once)Timetable$' order by dag_id
"""


def paused_dags(look: Metadata) -> Iterator[Reading]:
    """DAGs with a schedule that are paused and not on the list of those that may be."""
    allowed = {name.strip() for name in os.environ.get("WATCHDOG_MAY_BE_PAUSED", "").split(",")}
    for (dag,) in look.rows(_PAUSED):
        if dag not in allowed:
            yield Reading("paused_dag", dag, None, dag_id=dag)


_IMPORT_ERRORS = "select filename, min(timestamp) from import_error group by filename order by filename"


def import_errors(look: Metadata) -> Iterator[Reading]:
    """DAG files that the dag-processor could not import."""
    for file, since in look.rows(_IMPORT_ERRORS):
        yield Reading("import_error", file, 1, since=since)


_HEARTBEATS = "select job_type, max(latest_heartbeat) from job where job_type = any(%(types)s) group by job_type"


def components(look: Metadata) -> Iterator[Reading]:
    """Scheduler, dag-processor and triggerer: the newest heartbeat of each kind."""
    wanted = _expected()
    found: dict[str, datetime] = dict(look.rows(_HEARTBEATS, types=list(wanted.values())))
    for name, kind in wanted.items():
        beat = found.get(kind)
        age = None if beat is None else max((look.now - beat).total_seconds(), 0.0)
        detail = ("it has never run with this database",) if beat is None else ()
        yield Reading("dead_component", name, age, detail=detail, since=beat)


def _expected() -> dict[str, str]:
    names = os.environ.get("WATCHDOG_COMPONENTS", "").split(",")
    chosen = {name.strip() for name in names} & set(COMPONENTS) or set(COMPONENTS)
    return {name: kind for name, kind in COMPONENTS.items() if name in chosen}


def _minutes(span: timedelta) -> float:
    return span.total_seconds() / 60


def clock(connection: psycopg.Connection) -> datetime:
    """The server's own time."""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    moment: datetime = row[0]
    return moment


CHECKS: Final[Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    each.__name__: (each, checks)
    for each, checks in (
        (retry_rate, ("retry_rate_1h", "retry_rate_24h")),
        (durations, ("run_duration", "task_duration")),
        (task_queue, ("task_queue",)),
        (late_runs, ("late_run",)),
        (success_rate, ("success_rate",)),
        (metadata_size, ("metadata_size",)),
        (paused_dags, ("paused_dag",)),
        (import_errors, ("import_error",)),
        (components, ("dead_component",)),
    )
}

"""A synthetic history in Airflow's real metadata schema: what statistics and watchdog queries are measured on.

`migrate()` makes the schema by `airflow db migrate`; `fill()` writes runs, tries, audit log and jobs with generated
SQL, the same for the same seed. It holds what makes counting hard: runs that end days later, runs that never started,
retries, tries repeated because a scheduler restarted or a person cleared them, tries that wait and still carry the
start of the one before, tasks that never ran, mapped tasks, and a few runs that are still going on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

_NEVER_IN_A_CHILD = ("AIRFLOW_CONFIG", "AIRFLOW_HOME")


@dataclass(frozen=True)
class History:
    """How much history; `end` is the moment the last run began."""

    end: datetime
    runs: int = 100_000
    tasks: int = 10
    days: int = 90
    dags: int = 12
    seed: int = 1


def airflow_environment(url: str, home: Path) -> dict[str, str]:
    """Return the variables for a command of Airflow that works on this metadata database."""
    env = {name: value for name, value in os.environ.items() if name not in _NEVER_IN_A_CHILD}
    return env | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{url.partition('://')[2]}",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }


def migrate(url: str, home: Path) -> None:
    """Bring an empty database to the schema of the installed Airflow; takes 5 to 8 s."""
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(
        command, env=airflow_environment(url, home), capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"airflow db migrate failed: {done.stderr[-2000:]}")


def fill(admin_url: str, history: History) -> None:
    """Fill the tables and let the server gather its statistics; needs a superuser, who may pass over foreign keys.

    100,000 runs with 10 tasks each take about a minute.
    """
    parameters = {
        "runs": history.runs,
        "tasks": history.tasks,
        "dags": history.dags,
        "seed": history.seed,
        "first": history.end - timedelta(days=history.days),
        "step": timedelta(days=history.days) / history.runs,
        "end": history.end,
    }
    with psycopg.connect(admin_url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("set synchronous_commit = off")
        for name, number in (("runs", history.runs), ("tasks", history.tasks)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1")
        connection.execute(_FUNCTIONS)
        for statement in (_DAGS, _JOBS, _RUNS, _TRIES, _CURRENT, _HISTORY, _LOG, _LOG_OF_HISTORY):
            connection.execute(statement, parameters)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for table in ("dag", "dag_run", "task_instance", "task_instance_history", "log", "job"):
            connection.execute(sql.SQL("vacuum analyze {}").format(sql.Identifier(table)))


# A number in [0, 1) that depends on nothing but its arguments, in every session and every parallel worker.
_FUNCTIONS = """
create or replace function pg_temp.chance(n bigint, salt bigint) returns double precision immutable language sql as
$$ select (hashint8extended(n, salt) & 2147483647) / 2147483648.0::float8 $$
"""

_DAGS = """
with bundle as (insert into dag_bundle (name, active) values ('dags-folder', true) on conflict do nothing)
insert into dag (dag_id, is_paused, is_stale, bundle_name, timetable_type, partition_mapper_info, max_active_tasks,
  max_active_runs, max_consecutive_failed_dag_runs, has_task_concurrency_limits, relative_fileloc,
  last_parsed_time, next_dagrun, next_dagrun_create_after)
select 'dag_' || lpad(d::text, 3, '0'), false, false, 'dags-folder',
  'airflow.timetables.trigger.CronTriggerTimetable', '{}', 16, 1, 0, false, 'dag_' || lpad(d::text, 3, '0') || '.py',
  %(end)s, %(end)s, %(end)s::timestamptz + interval '5 minutes'
from generate_series(0, %(dags)s - 1) as d
"""

# 1: a scheduler that was killed halfway; 2: the one of today, with its helpers.
_JOBS = """
insert into job (id, state, job_type, start_date, end_date, latest_heartbeat, hostname, unixname)
values (1, 'failed', 'SchedulerJob', %(first)s, null, %(first)s + (%(end)s - %(first)s) / 2, 'old', 'airflow'),
  (2, 'running', 'SchedulerJob', %(first)s + (%(end)s - %(first)s) / 2, null, %(end)s, 'new', 'airflow'),
  (3, 'running', 'DagProcessorJob', %(first)s, null, %(end)s, 'new', 'airflow'),
  (4, 'running', 'TriggererJob', %(first)s, null, %(end)s, 'new', 'airflow')
"""

# One in a hundred of the newest thousand runs has not ended. One in 2,000 takes days, one in five failed never began.
_RUNS = """
insert into dag_run (id, dag_id, run_id, run_type, state, queued_at, logical_date, run_after, start_date, end_date,
  data_interval_start, data_interval_end, conf, clear_number, context_carrier, created_at, updated_at,
  last_scheduling_decision)
select n, dag_id, 'scheduled__' || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00',
  case when chance_of_state > 0.99 then 'manual' else 'scheduled' end, state, at, at, at,
  case when never then null else at + lag end,
  case when state in ('success', 'failed') then at + lag + took end, at - interval '5 minutes', at, '{}',
  case when pg_temp.chance(n, %(seed)s + 6) < 0.01 then 1 else 0 end, '{}', at, at + lag + took, at + lag + took
from (
  select n, dag_id, at, lag, took, chance_of_state,
    case when n > %(runs)s - 1000 and n %% 100 = 7 then case when n %% 200 = 7 then 'running' else 'queued' end
      when at + lag + took > %(end)s then 'running'
      when chance_of_state < 0.04 then 'failed' else 'success' end as state,
    chance_of_state < 0.04 and pg_temp.chance(n, %(seed)s + 2) < 0.2 as never
  from (
    select n, 'dag_' || lpad((n %% %(dags)s)::text, 3, '0') as dag_id, %(first)s + (n + 1) * %(step)s as at,
      pg_temp.chance(n, %(seed)s) as chance_of_state,
      pg_temp.chance(n, %(seed)s + 1) * interval '2 seconds' as lag,
      case when pg_temp.chance(n, %(seed)s + 3) < 1 / 2000.0 then pg_temp.chance(n, %(seed)s + 4) * interval '9 days'
        else (5 + 40 * (n %% %(dags)s)) * exp(1.5 * pg_temp.chance(n, %(seed)s + 5)) * interval '1 second' end as took
    from generate_series(0, %(runs)s - 1) as n
  ) as drawn
) as run
"""

# What happens to each task of a run, and how many tries it takes.
#   retry: 2 to 4 tries by policy; restart: a scheduler was killed; clear: a person cleared it after it ended;
#   waits: the next try is queued and carries the start of the failed one; never: an upstream task had failed.
_TRIES = """
create temp table planned on commit drop as
select run.id as n, run.dag_id, run.run_id, run.state as run_state, t, 'task_' || least(t, 7) as task_id,
  case when t >= 7 then t - 7 else -1 end as map_index,
  coalesce(run.start_date, run.queued_at) as run_start,
  case when run.start_date is null or run.state = 'queued' or (run.state = 'failed' and t > 5) then 'never'
    when run.state = 'running' and t > 5 then 'waits'
    when fate < 0.06 then 'retry' when fate < 0.07 then 'restart' when fate < 0.08 then 'clear' else 'once' end as fate,
  case when fate < 0.06 then 2 + floor(fate / 0.0201)::int else 2 end as tries,
  greatest(least(coalesce(run.end_date, %(end)s) - run.start_date, interval '10 minutes'), interval '0')
    / %(tasks)s as share
from dag_run as run, generate_series(0, %(tasks)s - 1) as t,
  lateral (select pg_temp.chance(run.id::bigint * 1000 + t, %(seed)s + 7) as fate) as f
"""

_TRY_COLUMNS = """
  (%(table_id)s, dag_id, run_id, task_id, map_index, try_number, max_tries, state, start_date, end_date, duration,
   hostname, unixname, pool, pool_slots, queue, priority_weight, operator, custom_operator_name, queued_dttm,
   scheduled_dttm, queued_by_job_id, pid, executor_config, updated_at, context_carrier, task_display_name
"""
_TRY_VALUES = """
  'worker-1', 'airflow', 'default_pool', 1, 'default', 1, 'PythonOperator', '@task', start_date, start_date, 2, 4711,
  '\\x80057d942e', end_date, '{}', task_id
"""


def _into(table: str, key: str) -> str:
    return f"insert into {table} {_TRY_COLUMNS.replace('%(table_id)s', key)}"


# The try that counts now: the last one, or one that waits to begin.
_CURRENT = f"""
{_into("task_instance", "id")}, last_heartbeat_at)
select gen_random_uuid(), dag_id, run_id, task_id, map_index, try_number,
  case when fate = 'clear' then 3 + try_number - 1 else 3 end, state, start_date, end_date,
  extract(epoch from end_date - start_date), {_TRY_VALUES}, end_date
from (
  select p.*,
    case fate when 'never' then 0 when 'once' then 1 else tries end as try_number,
    case when fate = 'never' then case when run_state = 'queued' then null else 'upstream_failed' end
      when fate = 'waits' then 'queued'
      when run_state = 'failed' and t = 5 then 'failed' when run_state = 'running' and t = 5 then 'running'
      else 'success' end as state,
    case when fate = 'never' and run_state = 'queued' then null
      when fate = 'waits' then run_start + t * share + share * (tries - 2) / tries
      when fate in ('never', 'once') then run_start + t * share
      else run_start + t * share + share * (tries - 1) / tries end as start_date,
    case when (fate = 'never' and run_state = 'queued') or (run_state = 'running' and t = 5) then null
      when fate = 'never' then run_start + t * share
      else run_start + t * share + share * 0.9 end as end_date
  from planned as p
) as ti
"""  # noqa: S608 - only constants of this module

_HISTORY = f"""
{_into("task_instance_history", "task_instance_id")})
select gen_random_uuid(), dag_id, run_id, task_id, map_index, try_number, 3, state, start_date, end_date,
  extract(epoch from end_date - start_date), {_TRY_VALUES}
from (
  select p.*, k as try_number,
    case when fate = 'clear' and n %% 2 = 0 then 'success' else 'failed' end as state,
    run_start + t * share + share * (k - 1) / tries as start_date,
    run_start + t * share + share * (k - 0.5) / tries as end_date
  from planned as p, generate_series(1, tries - 1) as k
  where fate in ('retry', 'restart', 'clear', 'waits')
) as ti
"""  # noqa: S608 - only constants of this module

_LOG = """
insert into log (dttm, dag_id, task_id, map_index, event, run_id, owner, try_number, extra)
select case event when 'running' then start_date else end_date end, dag_id, task_id, map_index, event, run_id,
  'airflow', try_number, '{"host_name": "worker-1"}'
from task_instance, lateral (values ('running'), (state)) as e (event)
where try_number > 0 and state <> 'queued' and (event = 'running' or end_date is not null)
"""

# A restart leaves no event of a failure, only that the try had begun; that is how it is told from a failed try.
_LOG_OF_HISTORY = """
insert into log (dttm, dag_id, task_id, map_index, event, run_id, owner, try_number, extra)
select case event when 'running' then h.start_date else h.end_date end, h.dag_id, h.task_id, h.map_index, event,
  h.run_id, 'airflow', h.try_number, '{"host_name": "worker-1"}'
from task_instance_history as h
join planned as p using (dag_id, run_id, task_id, map_index),
  lateral (values ('running'), (case fate when 'restart' then null when 'clear' then h.state else 'up_for_retry' end))
    as e (event)
where event is not null
"""

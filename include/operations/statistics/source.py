"""What is read from Airflow's metadata: runs that ended, runs that were opened again, and tries counted by the hour.

Three things make counting tries hard; all were seen on 3.3.2.

* The newest try stands in `task_instance`, earlier ones in `task_instance_history`, but while a task waits for its
  next try, or after it was cleared, one try stands in both.
* A try that is scheduled or queued still carries the start of the one before, for ever if it never begins.
* A scheduler that lost a task, and a person who clears one, leave a row `failed` in the history although nothing
  failed. A clear raises `max_tries`, or follows a try that had not failed. A lost try has begun in the audit log but
  has no end there, while every real failure (also of a killed process) writes one. Where the audit log is silent, since
  it was cleaned, the try counts as a retry.
"""

from __future__ import annotations

from typing import Final

# A run counts in the hour in which it ended. Runs that are long on their way end late: only `end_date` says when.
ENDED: Final = """
copy (
  select dag_id::text, run_id::text, end_date, state = 'success',
    (extract(epoch from end_date - start_date) * 1000000)::bigint
  from dag_run where state in ('success', 'failed') and end_date >= {since}
) to stdout (format binary)
"""

# A cleared run keeps its old end until it ends again.
REOPENED: Final = """
copy (
  select dag_id::text, run_id::text from dag_run where state not in ('success', 'failed') and clear_number > 0
) to stdout (format binary)
"""

# `task_instance` has no index on times. A try can only begin while its run has not ended, so the runs lead the way.
TRIES: Final = """
copy (
  with run as (
    select dag_id, run_id from dag_run
    where end_date >= {since} or end_date is null or state not in ('success', 'failed')
  ),
  try as (
    select dag_id, run_id, task_id, map_index, try_number, max_tries, start_date, true as newest
    from task_instance join run using (dag_id, run_id) where start_date >= {since} and try_number > 0
    union all
    select dag_id, run_id, task_id, map_index, try_number, max_tries, start_date, false
    from task_instance_history join run using (dag_id, run_id) where start_date >= {since} and try_number > 0
  ),
  counted as (
    select date_trunc('hour', t.start_date, 'UTC') as hour, t.dag_id, case
      when t.try_number = 1 then 'first'
      when p.try_number is null then 'retry'
      when t.max_tries > p.max_tries or p.state not in ('failed', 'up_for_retry') then 'clear'
      when p.start_date is null then 'restart'
      else coalesce((
        select case when bool_and(l.event = 'running') then 'restart' when count(*) > 0 then 'retry' end
        from log as l
        where (l.dag_id, l.task_id, l.run_id, l.map_index) = (p.dag_id, p.task_id, p.run_id, p.map_index)
          and l.try_number = p.try_number and l.event in ('running', 'failed', 'up_for_retry', 'heartbeat timeout')
      ), case when exists (
        select from task_instance_history as q
        where (q.dag_id, q.task_id, q.run_id, q.map_index) = (p.dag_id, p.task_id, p.run_id, p.map_index)
          and q.try_number = p.try_number - 1 and q.start_date >= p.start_date
      ) then 'restart' else 'retry' end) end as label, count(*) as tries
    from try as t
    left join task_instance_history as p
      on (p.dag_id, p.task_id, p.run_id, p.map_index) = (t.dag_id, t.task_id, t.run_id, t.map_index)
      and p.try_number = t.try_number - 1
    left join task_instance_history as same
      on t.newest and (same.dag_id, same.task_id, same.run_id, same.map_index)
        = (t.dag_id, t.task_id, t.run_id, t.map_index) and same.try_number = t.try_number
    where same.try_number is null and (p.start_date is null or p.start_date < t.start_date)
    group by 1, 2, 3
  )
  select hour, dag_id::text, sum(tries)::bigint, coalesce(sum(tries) filter (where label = 'retry'), 0)::bigint,
    coalesce(sum(tries) filter (where label = 'restart'), 0)::bigint,
    coalesce(sum(tries) filter (where label = 'clear'), 0)::bigint
  from counted group by hour, dag_id
) to stdout (format binary)
"""

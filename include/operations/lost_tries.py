"""Error rows of tries that could not write their own: killed, out of memory, or failed before their code began.

Airflow's audit log names every try that failed. The next try of a task notices that the one before left nothing; after
the last one, or while the next has not begun, this does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from include.operations import bookkeeping, run_errors

if TYPE_CHECKING:
    import psycopg

# Twice as long as ops_watchdog is away when its own run fails or Airflow restarts.
LOOK_BACK: Final = timedelta(hours=2)

_FAILED: Final = """
select distinct on (dag_id, run_id, task_id, map_index, try_number)
  dag_id, run_id, task_id, coalesce(map_index, -1) as map_index, try_number, dttm as occurred_at,
  case when event = 'failed' then 'fail' else 'retry' end as next_step
from log
where event in ('failed', 'up_for_retry') and dttm >= now() - %s
  and dag_id is not null and run_id is not null and task_id is not null and try_number > 0
order by dag_id, run_id, task_id, map_index, try_number, dttm desc
"""


def settle() -> dict[str, int]:
    """Write the rows that wait for the warehouse, then those of lost tries. Returns how many of each."""
    from include.connections import warehouse
    from include.operations.metadata import metadata

    written = bookkeeping.write_out()
    with metadata() as airflow, warehouse() as connection:
        return {"written_out": written, "lost": record(airflow, connection)}


def record(airflow: psycopg.Connection, connection: psycopg.Connection, look_back: timedelta = LOOK_BACK) -> int:
    """Give each try that failed of late and left no row its row; returns how many there were.

    Args:
        airflow: connection to Airflow's metadata.
        connection: connection to the warehouse.
        look_back: how old a failure may be.
    """
    from psycopg.rows import dict_row

    with airflow.cursor(row_factory=dict_row) as cursor:
        failed = cursor.execute(_FAILED, [look_back]).fetchall()
    return sum(run_errors.write_lost(connection, each) for each in failed)

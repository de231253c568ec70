"""Airflow's log files: how old they may be and how large all together; never that of a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.operations.housekeeping.files import Pruned, prune
from include.operations.housekeeping.settings import Retention

if TYPE_CHECKING:
    import psycopg

# A task may wait for hours without a line: that its file is old does not say that nobody writes to it any more.
_UNFINISHED: Final = """
select dag_id, run_id from dag_run where state in ('running', 'queued')
union select dag_id, run_id from task_instance where state is not null
  and state not in ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
"""


def unfinished_runs(connection: psycopg.Connection) -> set[tuple[str, str]]:
    """DAG and run id of every run that goes on, from Airflow's metadata."""
    return {(dag_id, run_id) for dag_id, run_id in connection.execute(_UNFINISHED).fetchall()}


def prune_logs(
    folder: Path, retention: Retention, unfinished: set[tuple[str, str]], now: float | None = None
) -> Pruned:
    """Remove log files below Airflow's log folder by age and by size, but none of an unfinished run."""
    going_on = {(f"dag_id={dag_id}", f"run_id={run_id}") for dag_id, run_id in unfinished}
    return prune(
        folder,
        keep_days=retention.log_days,
        max_bytes=retention.log_max_gb * 1e9,
        in_use=lambda path: path.relative_to(folder).parts[:2] in going_on,
        now=now,
    )

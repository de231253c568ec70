"""Backs everything up, proves the backups by restoring them, and keeps small what grows. Every night.

| task | what it does |
|---|---|
| `back_up_metadata`, `back_up_warehouse` | pg_dump of one snapshot, with rows and checksums of every table |
| `back_up_graph` | export of the people graph; the graph's writers wait for it |
| `check_...` | restores a dump into a scratch database and compares every table; reads an export back |
| `remove_old_backups` | after 30 days, but never a source's newest good one |
| `clean_metadata` | `airflow db clean` up to what the statistics have counted |
| `prune_tables` | old rows of our own tables, old partitions of the measurements; makes those to come |
| `trim_stream` | stream entries behind the graph's watermark that no group has to read |
| `prune_logs`, `prune_state` | old log files, not those of a run that goes on; what demos have left |

Nothing is deleted from a database whose backup has failed. How long what is kept, and how to restore: `docs/backup.md`.

When a run fails, tonight's backup may be missing, and what it guards only grows until the next good run.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.housekeeping import tasks
from include.operations.housekeeping.settings import schedule
from include.operations.task import resilient_task

PARAMS = {
    "metadata_days": Param(
        None, type=["null", "number"], minimum=7, description="Days of metadata to keep; empty: UPKEEP_METADATA_DAYS"
    ),
}
DEFAULTS = dag_defaults(
    owner="operations",
    tags=["operations", "upkeep"],
    task_timeout=timedelta(hours=2),
    run_timeout=timedelta(hours=8),
)
# The graph's writers share this pool's one slot.
POOLS = {"graph": {"pool": "organism_graph"}}


@dag(dag_id="ops_housekeeping", schedule=schedule(), doc_md=__doc__, params=PARAMS, **DEFAULTS)
def ops_housekeeping() -> None:
    """Wire backups, their checks, and what may be deleted after them."""
    checked = {}
    for source in ("metadata", "warehouse", "graph"):
        back_up = resilient_task(task_id=f"back_up_{source}", object_name=source, **POOLS.get(source, {}))
        check = resilient_task(task_id=f"check_{source}", object_name=source)
        checked[source] = check(tasks.check_backup)(back_up(tasks.back_up)(source))
    list(checked.values()) >> resilient_task(tasks.remove_old_backups)()
    checked["metadata"] >> resilient_task(tasks.clean_metadata)()
    checked["warehouse"] >> resilient_task(tasks.prune_tables)()
    for alone in (tasks.trim_stream, tasks.prune_logs, tasks.prune_state):
        resilient_task(alone)()


ops_housekeeping()

"""Reads every Salesforce object whole, parents before children, every night; goes on past an object that failed.

Each task runs `vms_sync_<object>` in full mode and waits for it. When one fails, the others go on; the run then ends
failed, and names it.

When a run fails, the objects that failed keep what they had: see `docs/runbooks/vms-sync.md`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.vms.dag_factory import full_syncs, schedule

DEFAULTS = dag_defaults(
    owner="vms",
    tags=["vms", "salesforce"],
    task_timeout=timedelta(hours=6),
    run_timeout=timedelta(hours=12),
)


@dag(dag_id="vms_full_sync", schedule=schedule("0 2 * * *"), doc_md=__doc__, **DEFAULTS)
def vms_full_sync() -> None:
    """Wire one task an object."""
    full_syncs()


vms_full_sync()

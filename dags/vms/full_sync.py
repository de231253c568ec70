"""Reads every Salesforce object whole, parents before children, every night; goes on past an object that failed.

`start_<object>` starts `vms_sync_<object>` in full mode, `<object>` waits for its end. When one fails, the others go
on; the run then ends failed, and names the object's run and its error. It takes no conf.

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
    """Wire two tasks an object."""
    full_syncs()


vms_full_sync()

"""Makes the DAG of a sync from its declaration: the same six tasks for every Salesforce object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.vms import registry, tasks
from include.vms.contracts import MOST_ROWS, Accept, Mode
from include.vms.spec import SyncObject

POOL: Final = "salesforce"
# Minutes between the objects' hourly runs, so that they do not all log in at once and parents come first.
_APART: Final = 4
# Airflow looks at no format, only at patterns.
_MOMENT: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$"
_DOC: Final = """{description}, from Salesforce `{sobject}` into `vms.{table}`. Every hour; a full sync nightly.

| task | what it does |
|---|---|
| `extract` | stages what changed since the watermark, by REST or Bulk 2.0; goes on where a killed run stopped |
| `validate` | counts what breaks a rule; stops the run when too much does |
| `merge` | publishes rows, tombstones, quarantine and watermark in one transaction |
| `resolve_links` | sets references whose parent is there; the others wait in `vms.pending_link` |
| `reconcile` | compares counts and ids of both sides, mends what differs |
| `invalidate_caches` | deletes cached reports that are stale |

Each run leaves a row in `ops.sync_run`. Columns and rules: `docs/data-dictionary.md`.

When a run fails, the tables keep what they had and the next run goes on: see `docs/runbooks/vms-sync.md`.
"""


def sync_dag(spec: SyncObject, position: int) -> None:
    """Make `vms_sync_<object>`; `position` in the order of dependence chooses its minute."""
    defaults = dag_defaults(
        owner="vms",
        tags=["vms", "salesforce"],
        task_timeout=timedelta(hours=2),
        run_timeout=timedelta(hours=6),
        last_chance=timedelta(minutes=5),
    )

    @dag(
        dag_id=f"vms_sync_{spec.name}",
        schedule=schedule(f"{position * _APART % 60} * * * *"),
        doc_md=_DOC.format(description=spec.description, sobject=spec.sobject, table=spec.table.name),
        params=params(),
        **defaults,
    )
    def sync() -> None:
        step = resilient_task(object_name=spec.name)
        calls = resilient_task(object_name=spec.name, pool=POOL)
        manifest = calls(tasks.extract)(spec.name)
        manifest = step(tasks.validate)(spec.name, manifest)
        manifest = step(tasks.merge)(spec.name, manifest)
        manifest = step(tasks.resolve_links)(spec.name, manifest)
        manifest = calls(tasks.reconcile)(spec.name, manifest)
        step(tasks.invalidate_caches)(spec.name, manifest)

    sync()


def schedule(usual: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The usual schedule; None where `SALESFORCE_SCHEDULE` is `none`: on demand only."""
    return None if (os.environ if environ is None else environ).get("SALESFORCE_SCHEDULE") == "none" else usual


def full_syncs() -> None:
    """Make two tasks an object, one that starts its run and one that waits for it; parents first.

    Each goes on past an object that failed; the last task asks for all of them.
    """
    before = checked = resilient_task(tasks.check_conf)()
    synced = resilient_task(tasks.all_synced)()
    checked >> synced
    for name in registry.objects():
        start = resilient_task(object_name=name, task_id=f"start_{name}", trigger_rule="all_done")(tasks.start_sync)
        wait = resilient_task(object_name=name, task_id=name, execution_timeout=timedelta(hours=6))
        started, done = start(name), wait(tasks.wait_for_sync)(name)
        before >> started >> done >> synced
        before = done


def params() -> dict[str, Param]:
    """What a run of a sync can be asked for; the command line has the same options."""
    return {
        "mode": Param("incremental", type="string", enum=[str(Mode.INCREMENTAL), str(Mode.FULL)], description="Rows"),
        "dry_run": Param(False, type="boolean", description="Show what would change, and write nothing"),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=MOST_ROWS,
            description="Rows at most; moves no watermark",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            pattern=_MOMENT,
            description="Changes since then, not the watermark; with a time zone; not with mode full",
        ),
        "accept": Param(
            [],
            type="array",
            items={"type": "string", "enum": [str(one) for one in Accept]},
            description="Publish although so many rows were refused, or deleted",
        ),
    }

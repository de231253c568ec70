"""The syncs through the real scheduler, from an empty warehouse and incrementally, at a share of the real volumes.

    python -m benchmarks.salesforce_scheduled [PERCENT] [HOURS]

Every object is read whole by `vms_full_sync`, then people work HOURS at the simulated organisation, and every object is
synced again. Prints rows, seconds by task, peak memory and calls of each run, and fails unless both sides agree: the
same number of active records, and the same checksum of ids and modstamps where all ids were compared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from include.operations.airflow_api import AirflowApi, Run
from include.vms import registry
from local.testing import AirflowSystem

TIMEOUT: Final = 3 * 3600.0
# In a small organisation a few records are a large share.
ACCEPT: Final = ["mass_delete", "rejected_share"]
TASKS: Final = ("extract", "validate", "merge", "resolve_links", "reconcile", "invalidate_caches")
_FOUND: Final = """
select run.*, (
    select max(peak_rss_mb) from ops.task_usage as used where used.run_id = run.run_id and used.dag_id = %(dag)s
) as mb
from ops.sync_run as run where run.object = %(name)s and run_id not like '%%/repair' order by started_at desc limit 1
"""


def main(percent: float = 1, hours: float = 1) -> None:
    """Do it and print."""
    settings = {"SALESFORCE_DEMO_PERCENT": f"{percent:g}"}
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        with AirflowSystem(Path(folder), settings) as system, AirflowApi.from_environment(system.env) as api:
            records = system.salesforce.state()
            print(f"{percent:g} % of the volumes; everything up after {time.monotonic() - begun:.0f} s: {records}")
            begun = time.monotonic()
            full = api.wait(api.trigger("vms_full_sync"), timeout=TIMEOUT)
            _must(full)
            print(f"\nfrom an empty warehouse: {time.monotonic() - begun:.0f} s")
            _show(system, api)
            begun = time.monotonic()
            done = system.salesforce.live(60 * hours, per_minute=max(1.0, percent / 5))
            system.salesforce.clock.move(3600)
            print(f"\n{hours:g} h of work at the organisation, made in {time.monotonic() - begun:.0f} s: {done}")
            begun = time.monotonic()
            runs = [api.trigger(f"vms_sync_{name}", {"accept": ACCEPT}) for name in registry.objects()]
            for run in runs:
                _must(api.wait(run, timeout=TIMEOUT))
            print(f"incrementally: {time.monotonic() - begun:.0f} s")
            _show(system, api)


def _must(run: Run) -> None:
    if run.state != "success":
        raise AssertionError(f"{run.dag_id} {run.run_id} ended {run.state}")


def _show(system: AirflowSystem, api: AirflowApi) -> None:
    """One line an object, of its last run."""
    counts = ("read", "inserted", "updated", "deleted", "rejected", "pending", "api_calls")
    print("  " + " ".join([f"{'object':<13}", *(f"{name:>9}" for name in counts), f"{'MB':>5}", " seconds by task"]))
    for name in registry.objects():
        dag = f"vms_sync_{name}"
        with psycopg.connect(system.env["AIRFLOW_CONN_WAREHOUSE"], row_factory=dict_row) as connection:
            row: dict[str, Any] = connection.execute(_FOUND, {"name": name, "dag": dag}).fetchone() or {}
        run = api.run(dag, row["run_id"])
        seconds = {task.task_id: task.seconds or 0.0 for task in api.task_instances(run)}
        print(
            "  "
            + " ".join([f"{name:<13}", *(f"{row[one]:>9,}" for one in counts), f"{row['mb'] or 0:>5.0f}"])
            + "  "
            + " ".join(f"{seconds.get(task, 0.0):.1f}" for task in TASKS)
            + f"  {row['mode']} by {row['api']}"
        )
        _agree(name, row["reconciled"] or {})


def _agree(name: str, figures: dict[str, Any]) -> None:
    if figures.get("source") != figures.get("ours", 0) + figures.get("rejected", 0) and not figures.get("repaired"):
        raise AssertionError(f"{name}: both sides differ: {figures}")
    print(f"      both sides: {figures}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))

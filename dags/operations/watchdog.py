"""Checks every five minutes that the pipelines, Airflow and this machine keep within their limits.

| task | what it does |
|---|---|
| `watch` | measures, judges, warns once an episode and says once when it is over |
| `deliver` | sends alerts that could not leave when they were raised |
| `settle_errors` | completes `ops.run_error`: rows that waited for the warehouse, and tries whose process was killed |

The limits, and how to change each: `docs/thresholds.md`. A warning names its value, what is normal, since when, and a
page of `docs/runbooks/`. Episodes are kept in `ops.warning_episode`. A check that fails is a warning, too; the task is
red only when Airflow's metadata or the warehouse cannot be used. When Airflow itself is dead nothing here runs:
`python -m include.cli doctor --watch` in cron notices that.

When a run fails, thresholds are not watched and alerts that wait are not sent; failures of other DAGs are still told.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.operations.watchdog import tasks

DEFAULTS = dag_defaults(
    owner="operations",
    tags=["operations", "upkeep"],
    task_timeout=timedelta(minutes=3),
    run_timeout=timedelta(minutes=10),
)


@dag(dag_id="ops_watchdog", schedule="*/5 * * * *", doc_md=__doc__, **DEFAULTS)
def ops_watchdog() -> None:
    """Wire the tasks; alerts leave even when the checks cannot be made."""
    # The next round comes in five minutes: one repetition is enough.
    resilient_task(retries=1)(tasks.watch)()
    resilient_task(retries=1)(tasks.deliver)()
    resilient_task(retries=1)(tasks.settle_errors)()


ops_watchdog()

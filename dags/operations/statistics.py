"""Rolls Airflow's own record of runs up by hour, day, week and month; on Mondays, a digest of the week. Every hour.

| task | what it does |
|---|---|
| `roll_up` | counts runs, tries, retries, durations and errors into `ops.workflow_stats`, from a read-only connection |
| `weekly_digest` | sends last week's success rate, slowest DAGs, top errors and rejected rows, with a picture; once |

The first run counts all history there is. Later runs look two days back, further after an outage. What
`airflow db clean` removes goes on counting. What each figure means, and which rights the connection
`airflow_metadata` needs: `docs/statistics.md`.

When a run fails, the roll-ups are as of the last good run; the next good one catches up.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.statistics import tasks
from include.operations.task import resilient_task

PARAMS = {
    "backfill": Param(False, type="boolean", description="Read all history again, not only what may be new"),
    "digest_now": Param(False, type="boolean", description="Send a digest of the week so far, beside the weekly one"),
}
DEFAULTS = dag_defaults(
    owner="operations",
    tags=["operations", "metrics"],
    task_timeout=timedelta(minutes=10),
    run_timeout=timedelta(minutes=50),
)


# Not on the hour, when most other pipelines begin.
@dag(dag_id="ops_statistics", schedule="7 * * * *", doc_md=__doc__, params=PARAMS, **DEFAULTS)
def ops_statistics() -> None:
    """Wire the two steps."""
    resilient_task(tasks.roll_up)() >> resilient_task(tasks.weekly_digest)()


ops_statistics()

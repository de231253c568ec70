"""Drains interactions from the Redis stream into the Neo4j people graph, every five minutes.

| task | what it does |
|---|---|
| `fetch_interactions` | takes the write lease, heals the consumer group, takes abandoned entries over |
| `update_graph` | validates, deduplicates and applies entries in fenced transactions, until backlog or time is up |
| `acknowledge` | acknowledges what the graph has committed, never before |
| `invalidate_cache` | deletes cached figures of everyone touched |

Delivery is at least once, the effect on the graph is once. Each run leaves a row in `ops.graph_update`.
When a run fails, entries wait in the stream and the next run goes on: see `docs/runbooks/stream.md`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism import tasks

POOL = "organism_graph"
PARAMS = {
    "batch_size": Param(
        None, type=["null", "integer"], minimum=1, maximum=50000, description="Entries in a transaction; empty: 5000"
    ),
    "time_budget_s": Param(
        None, type=["null", "number"], minimum=1, maximum=480, description="Seconds to drain; empty: 240"
    ),
}
DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "stream", "graph"],
    task_timeout=timedelta(minutes=10),
    run_timeout=timedelta(minutes=30),
    last_chance=timedelta(minutes=2),
)


@dag(dag_id="organism_incremental_update", schedule="*/5 * * * *", doc_md=__doc__, params=PARAMS, **DEFAULTS)
def organism_incremental_update() -> None:
    """Wire the four steps."""
    manifest = resilient_task(pool=POOL)(tasks.fetch_interactions)()
    result = resilient_task(pool=POOL)(tasks.update_graph)(manifest)
    acknowledged = resilient_task(tasks.acknowledge)(manifest, result)
    acknowledged >> resilient_task(tasks.invalidate_cache)(manifest)


organism_incremental_update()

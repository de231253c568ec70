"""Measures the people graph every six hours and works out what follows.

| task | what it does |
|---|---|
| `plan_betweenness`, `betweenness_shard` | a graph too large for one worker's time, in mapped tasks; usually none |
| `refresh_materialized_views` | reads the graph once; centralities, communities onto nodes and into tables |
| `run_causal_analysis` | what drives the outcome, as the parameters ask it; refuses what the data cannot say; a page |
| `store_metrics` | roll-ups by hour and day; means of groups that are large enough |
| `evaluate_interventions`, `request_reviews` | proposals from supported estimates; a review run for each |

Every row belongs to the run's logical time, so a repeated run doubles nothing. Betweenness is exact as long as the time
budget allows, then estimated from random pivots; how, and with which error, is in `organism.metric_run`.
When a run fails, the numbers of the last complete run stay in use: see `docs/runbooks/full-analysis.md`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, chain, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism import tasks_analysis as tasks
from include.organism.analysis import question
from include.organism.analysis.web import ReportLink
from include.organism.interventions.review_operator import request_reviews

PARAMS = {
    "metrics_budget_s": Param(
        None, type=["null", "number"], minimum=1, maximum=600, description="Seconds for betweenness; empty: 180"
    ),
    **{name: Param(**fields) for name, fields in question.schema().items()},
}
DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "graph", "metrics"],
    task_timeout=timedelta(minutes=20),
    run_timeout=timedelta(hours=2),
    last_chance=timedelta(minutes=10),
)


@dag(dag_id="organism_full_analysis", schedule="0 */6 * * *", doc_md=__doc__, params=PARAMS, **DEFAULTS)
def organism_full_analysis() -> None:
    """Wire the steps."""
    planned = resilient_task(object_name="graph metrics")(tasks.plan_betweenness)()
    spread = resilient_task(object_name="graph metrics")(tasks.betweenness_shard).expand(shard=planned)
    # Skipped shards are no reason to stop: usually there are none.
    refresh = resilient_task(object_name="graph metrics", trigger_rule="none_failed")
    refreshed = refresh(tasks.refresh_materialized_views)()
    analysed = resilient_task(object_name="causal analysis")(tasks.run_causal_analysis)()
    analysed.operator.operator_extra_links = (ReportLink(),)
    stored = resilient_task(object_name="metric store")(tasks.store_metrics)()
    evaluated = resilient_task(object_name="interventions")(tasks.evaluate_interventions)()
    chain(spread, refreshed, analysed, stored, evaluated)
    request_reviews(evaluated)


organism_full_analysis()

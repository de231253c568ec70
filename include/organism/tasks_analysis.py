"""The bodies of the tasks of `organism_full_analysis`. Libraries are imported inside: every parse imports this."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.connections import neo4j_driver, redis_client, warehouse

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from include.organism.graph_metrics.settings import MetricSettings

Manifest = dict[str, Any]


def logical_time(dag_run: DagRunProtocol) -> datetime:
    """What a run's rows are keyed by: its logical date; of a run triggered without one, when it was triggered."""
    moment = dag_run.logical_date or dag_run.run_after
    return moment.astimezone(UTC)


def plan_betweenness(params: dict[str, Any], dag_run: DagRunProtocol) -> list[int]:
    """Lay out a graph that is too large for one worker; returns the shards to map over, usually none."""
    from include.organism.graph_metrics import shards
    from include.organism.settings import Settings

    with warehouse() as connection, neo4j_driver() as (driver, database):
        half_life_ms = Settings.from_env().half_life_ms
        return shards.plan(connection, driver, database, _metrics(params), half_life_ms, logical_time(dag_run))


def betweenness_shard(shard: int, dag_run: DagRunProtocol) -> dict[str, int]:
    """Work through one shard of the sources."""
    from include.organism.graph_metrics import shards

    with warehouse() as connection:
        return shards.work_on(connection, logical_time(dag_run), shard)


def _metrics(params: dict[str, Any]) -> MetricSettings:
    from include.organism.graph_metrics.settings import MetricSettings

    return MetricSettings.from_env(metrics_budget_s=params.get("metrics_budget_s"))


def refresh_materialized_views(run_id: str, params: dict[str, Any], dag_run: DagRunProtocol) -> Manifest:
    """Measure the people graph; skipped, with all that follows, when there is nobody in it."""
    from include.organism.graph_metrics.refresh import Clients, NobodyToMeasure, refresh
    from include.organism.settings import Settings

    half_life_ms = Settings.from_env().half_life_ms
    with redis_client() as client, neo4j_driver() as (driver, database):
        clients = Clients(warehouse, driver, database, client)
        try:
            return refresh(clients, _metrics(params), half_life_ms, logical_time(dag_run), run_id)
        except NobodyToMeasure as nobody:
            raise AirflowSkipException(str(nobody)) from nobody


def run_causal_analysis(run_id: str, params: dict[str, Any], dag_run: DagRunProtocol) -> Manifest:
    """Answer the run's question; a refusal is an answer. The page: the button `Report` beside the task."""
    from include.organism.analysis.question import Question
    from include.organism.analysis.step import analyse

    question = Question.from_params(params)
    with warehouse() as connection:
        return analyse(connection, question, logical_time(dag_run), run_id)


def store_metrics(dag_run: DagRunProtocol) -> Manifest:
    """Roll the run's measurements up and publish means of groups that are large enough."""
    from include.organism.metric_store.store import store

    with warehouse() as connection:
        return store(connection, logical_time(dag_run))


def evaluate_interventions(run_id: str, dag_run: DagRunProtocol) -> list[Manifest]:
    """Propose what the run's supported estimates suggest; returns the reviews to ask for."""
    from include.organism.interventions.tasks import propose

    return propose(logical_time(dag_run), run_id)

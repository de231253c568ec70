"""The bodies of the tasks of `organism_full_analysis`. Libraries are imported inside: every parse imports this."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.connections import neo4j_driver, redis_client, warehouse

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

Manifest = dict[str, Any]


def logical_time(dag_run: DagRunProtocol) -> datetime:
    """What a run's rows are keyed by: its logical date; of a run triggered without one, when it was triggered."""
    moment = dag_run.logical_date or dag_run.run_after
    return moment.astimezone(UTC)


def refresh_materialized_views(run_id: str, params: dict[str, Any], dag_run: DagRunProtocol) -> Manifest:
    """Measure the people graph; skipped, with all that follows, when there is nobody in it."""
    from include.organism.graph_metrics.refresh import Clients, NobodyToMeasure, refresh
    from include.organism.graph_metrics.settings import MetricSettings
    from include.organism.settings import Settings

    settings = MetricSettings.from_env(metrics_budget_s=params.get("metrics_budget_s"))
    with redis_client() as client, neo4j_driver() as (driver, database):
        clients = Clients(warehouse, driver, database, client)
        try:
            return refresh(clients, settings, Settings.from_env().half_life_ms, logical_time(dag_run), run_id)
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

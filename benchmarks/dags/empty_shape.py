"""Four tasks in a row that do nothing: what Airflow itself costs a run of this shape."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from include.operations.dag_defaults import dag_defaults

DEFAULTS = dag_defaults(
    owner="benchmarks", tags=["operations"], task_timeout=timedelta(minutes=1), run_timeout=timedelta(minutes=5)
)


@dag(dag_id="empty_shape", schedule=None, doc_md=__doc__, **DEFAULTS)
def empty_shape() -> None:
    """Wire four empty tasks."""

    @task
    def step(before: dict[str, int]) -> dict[str, int]:
        return before

    step(step(step(step({"n": 0}))))


empty_shape()

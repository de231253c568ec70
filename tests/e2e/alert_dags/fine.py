"""A DAG of a file that a test breaks."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from include.operations.dag_defaults import dag_defaults

DEFAULTS = dag_defaults(
    owner="tests", tags=["operations"], task_timeout=timedelta(minutes=1), run_timeout=timedelta(minutes=5)
)


@dag(dag_id="fine", schedule=None, **DEFAULTS)
def fine() -> None:
    @task
    def work() -> None:
        pass

    work()


fine()

"""DAGs that fail in every way a task or a run can."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task

from include.operations.dag_defaults import dag_defaults


def _defaults(**changes: timedelta) -> dict:
    times = {"task_timeout": timedelta(minutes=5), "run_timeout": timedelta(minutes=5), **changes}
    made = dag_defaults(owner="tests", tags=["operations"], **times)
    # Only final failures are told.
    made["default_args"] |= {"retries": 0, "retry_policy": None}
    return {"schedule": None, **made}


@dag(dag_id="raises", params={"fail": Param(True, type="boolean")}, **_defaults())
def raises() -> None:
    @task
    def work(params: dict) -> None:
        if params["fail"]:
            raise RuntimeError("login postgresql://loader:hunter2@db/x of jane.doe@example.org <!channel>")

    work()


@dag(dag_id="is_killed", **_defaults())
def is_killed() -> None:
    @task
    def work() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    work()


@dag(dag_id="loses_its_heartbeat", **_defaults())
def loses_its_heartbeat() -> None:
    @task
    def work() -> None:
        import time

        time.sleep(240)

    work()


@dag(dag_id="takes_too_long", **_defaults(run_timeout=timedelta(seconds=4)))
def takes_too_long() -> None:
    @task
    def work() -> None:
        import time

        time.sleep(240)

    work()


raises()
is_killed()
loses_its_heartbeat()
takes_too_long()

"""Many DAGs whose only task fails or is killed, so that each failure is an incident."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task

MANY = 20


def defaults() -> dict[str, Any]:
    """As every DAG, but without retries."""
    made = dag_defaults(
        owner="benchmarks", tags=["operations"], task_timeout=timedelta(minutes=1), run_timeout=timedelta(minutes=5)
    )
    made["default_args"] |= {"retries": 0, "retry_policy": None}
    return {"schedule": None, **made}


def fail() -> None:
    """Raise."""
    raise RuntimeError("as it should")


def die() -> None:
    """Be killed."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def make(dag_id: str, body: Callable[[], None]) -> None:
    """Make a DAG of one task."""

    @dag(dag_id=dag_id, **defaults())
    def build() -> None:
        resilient_task(task_id="work")(body)()

    build()


for number in range(MANY):
    make(f"raises_{number:02}", fail)
    make(f"raises_while_slack_hangs_{number:02}", fail)
    make(f"is_killed_{number:02}", die)

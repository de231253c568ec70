"""A resilient task is an ordinary task of Airflow, with more around its function."""

from datetime import timedelta

import pytest
from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.operations.errors import ErrorClass
from include.operations.retry import ClassRetryPolicy
from include.operations.task import resilient, resilient_task


def built(make):
    """The tasks of a DAG in which `make` was called."""
    defaults = dag_defaults(
        owner="operations",
        tags=["operations"],
        task_timeout=timedelta(minutes=4),
        run_timeout=timedelta(minutes=15),
        last_chance=timedelta(minutes=2),
    )

    @dag(dag_id="d", schedule=None, **defaults)
    def build():
        make()

    return {task.task_id: task for task in build().tasks}


def load(limit: int, run_id: str, params: dict) -> dict[str, int]:
    """Load things."""
    return {"limit": limit, "run": len(run_id), "params": len(params)}


def test_it_takes_arguments_of_the_task_and_leaves_the_rest_to_the_dag():
    tasks = built(lambda: resilient_task(pool="graph", task_id="other")(load)(5))
    (task,) = tasks.values()
    assert (task.task_id, task.pool, task.owner) == ("other", "graph", "operations")
    assert (task.retries, task.retry_policy) == (4, ClassRetryPolicy(last_chance=timedelta(minutes=2)))
    assert task.execution_timeout == timedelta(minutes=4)
    assert task.on_failure_callback


def test_waits_of_its_own():
    delays = {ErrorClass.RATE_LIMIT: timedelta(minutes=5), ErrorClass.NETWORK: timedelta(seconds=1)}
    task = built(lambda: resilient_task(delays=delays)(load)(5))["load"]
    assert dict(task.retry_policy.delays) == delays
    assert (task.retries, task.retry_policy.last_chance) == (3, None)
    reverse = dict(reversed(delays.items()))
    # Or each order would be another version of the DAG.
    assert built(lambda: resilient_task(delays=reverse)(load)(5))["load"].retry_policy == task.retry_policy


def test_it_is_wired_mapped_and_documented_like_any_task():
    def make():
        first = resilient_task(load)(5)
        resilient_task(task_id="mapped")(load).expand(limit=[1, 2])
        resilient_task(task_id="next")(load)(first["limit"])

    tasks = built(make)
    assert tasks["next"].upstream_task_ids == {"load"}
    assert tasks["load"].multiple_outputs
    assert tasks["load"].doc_md is None or "Load" in tasks["load"].doc_md
    assert tasks["load"].python_callable.__doc__ == "Load things."


def test_outside_a_running_task_it_is_the_function_alone():
    assert resilient(load)(5, run_id="abc", params={}) == {"limit": 5, "run": 3, "params": 0}


def test_coroutines_are_refused():
    async def later():
        pass

    with pytest.raises(TypeError, match="later is async"):
        resilient_task(later)

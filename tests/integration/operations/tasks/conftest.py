"""A warehouse with the newest schema, a Redis, and tries of tasks without a scheduler."""

import contextlib
from types import SimpleNamespace

import psycopg
import pytest
from airflow.sdk.execution_time.context import set_current_context
from psycopg.rows import dict_row

from include.operations.retry import ClassRetryPolicy
from include.operations.task import resilient


@pytest.fixture(scope="module")
def migrated(postgres_server, warehouse_template):
    return postgres_server.create_database("tasks_test", template=warehouse_template)


@pytest.fixture
def warehouse(migrated, redis_server, monkeypatch):
    """Address of the warehouse, whose tables are empty; both connection ids are set."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", migrated.replace("postgresql://", "postgres://"))
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    with psycopg.connect(migrated) as connection:
        connection.execute("truncate ops.run_error, ops.task_usage")
    return migrated


@pytest.fixture
def rows(warehouse):
    """Read the rows of a table, in the order of tries."""

    def rows(table):
        with psycopg.connect(warehouse, row_factory=dict_row) as connection:
            return connection.execute(f"select * from ops.{table} order by task_id, map_index, try_number").fetchall()

    return rows


def airflow_context(try_number=1, max_tries=3, *, policy=None, map_index=-1, run_id="run-1", task_id="work"):
    """As much of Airflow's context as is read."""
    task = SimpleNamespace(retries=max_tries, retry_policy=policy or ClassRetryPolicy())
    instance = SimpleNamespace(
        dag_id="dag",
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        try_number=try_number,
        max_tries=max_tries,
        task=task,
    )
    return {"ti": instance, "task": task}


@pytest.fixture
def attempt():
    """Run a body as one try of a task; returns the error it ended with."""

    def attempt(body, object_name=None, **place):
        with set_current_context(airflow_context(**place)), contextlib.ExitStack() as stack:
            caught = stack.enter_context(pytest.raises(BaseException))  # noqa: PT011 - whatever ends a try
            resilient(body, object_name=object_name)()
        return caught.value

    return attempt

"""Tries that could write nothing, found in Airflow's audit log; its schema is Airflow's own."""

from datetime import timedelta

import psycopg
import pytest
from airflow.sdk.execution_time.context import set_current_context
from psycopg.rows import dict_row

from include.operations import lost_tries
from include.operations.task import resilient
from tests.integration.operations.tasks.conftest import airflow_context

pytestmark = pytest.mark.servers


@pytest.fixture
def audit(metadata_database):
    """Add a line to Airflow's audit log."""
    with psycopg.connect(metadata_database.admin_url, autocommit=True) as connection:

        def audit(event, task_id="work", try_number=1, ago=timedelta(minutes=1), map_index=-1):
            connection.execute(
                "insert into log (dttm, dag_id, task_id, map_index, event, run_id, try_number)"
                " values (now() - %s, 'dag', %s, %s, %s, 'run-1', %s)",
                [ago, task_id, map_index, event, try_number],
            )

        yield audit


@pytest.fixture
def rows(warehouse_database, redis_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)

    def rows():
        with psycopg.connect(warehouse_database.url, row_factory=dict_row) as connection:
            query = "select task_id, map_index, try_number, code, next_step from ops.run_error order by 1, 2, 3"
            return [tuple(row.values()) for row in connection.execute(query)]

    return rows


def test_every_failed_try_without_a_row_gets_one_once(audit, rows):
    audit("running")
    audit("up_for_retry")
    audit("running", try_number=2)
    audit("failed", try_number=2)
    audit("failed", task_id="mapped", map_index=3)
    audit("success", task_id="good")
    audit("failed", task_id="long ago", ago=timedelta(hours=3))
    assert lost_tries.settle() == {"written_out": 0, "lost": 3}
    assert rows() == [
        ("mapped", 3, 1, "PROCESS_LOST", "fail"),
        ("work", -1, 1, "PROCESS_LOST", "retry"),
        ("work", -1, 2, "PROCESS_LOST", "fail"),
    ]
    assert lost_tries.settle() == {"written_out": 0, "lost": 0}


def test_a_try_that_told_its_error_is_not_lost(audit, rows):
    def fail():
        raise ConnectionResetError

    with set_current_context(airflow_context()), pytest.raises(ConnectionResetError):
        resilient(fail)()
    audit("up_for_retry")
    assert lost_tries.settle()["lost"] == 0
    assert rows() == [("work", -1, 1, "ConnectionResetError", "retry")]


def test_a_try_that_lost_only_its_scheduler_and_ends_well_is_taken_back(audit, rows):
    audit("failed")
    lost_tries.settle()
    assert len(rows()) == 1
    with set_current_context(airflow_context()):
        resilient(lambda: None)()
    assert rows() == []

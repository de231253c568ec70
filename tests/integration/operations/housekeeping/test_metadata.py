"""`airflow db clean` with a role of its own, on Airflow's real schema."""

import os
from datetime import UTC, datetime, timedelta

import airflow.settings  # noqa: F401 - before the environment is made that of a task, in which it cannot start
import psycopg
import pytest

from include.operations.errors import classify
from include.operations.housekeeping import metadata
from include.operations.metadata import RightsTooWide

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)


RUN = """
insert into dag_run (dag_id, run_id, run_type, state, run_after, start_date, end_date, logical_date, queued_at,
  log_template_id, clear_number, updated_at, created_at)
values ('d', %(id)s, 'manual', 'success', %(at)s, %(at)s, %(at)s, %(at)s, %(at)s,
  (select max(id) from log_template), 0, %(at)s, %(at)s)
"""
TASK = """
insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, max_tries, state, start_date, end_date,
  pool, pool_slots, priority_weight, custom_operator_name, hostname, unixname, queue, operator)
values (gen_random_uuid(), 'd', %(id)s, 't', -1, 1, 0, 'success', %(at)s, %(at)s, 'p', 1, 1, '', '', '', '', '')
"""


@pytest.fixture
def upkeep(postgres_server, metadata_database, monkeypatch):
    url = postgres_server.ensure_metadata_upkeep("metadata_test")
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", url.replace("postgresql://", "postgres://"))
    # As in a task, which may not reach the metadata by Airflow's own means.
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    monkeypatch.setenv("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    return url


def add_run(connection, run_id, days_old):
    at = NOW - timedelta(days=days_old)
    connection.execute(RUN, {"id": run_id, "at": at})
    connection.execute(TASK, {"id": run_id, "at": at})
    connection.execute("insert into log (dttm, event) values (%s, %s)", [at, run_id])


def names(url, query):
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query)]


def test_old_rows_go_and_young_ones_stay(metadata_database, upkeep):
    with psycopg.connect(metadata_database.url) as connection:
        for run_id, days_old in (("old", 70), ("young", 50)):
            add_run(connection, run_id, days_old)
    # A killed clean-up: rows copied, not deleted yet. And an archive that a person keeps.
    with psycopg.connect(upkeep) as connection:
        connection.execute("create table _airflow_deleted__log__20250101000000 as select * from log")
    with psycopg.connect(metadata_database.url) as connection:
        connection.execute("create table _airflow_deleted__log__mine as select * from log")
    assert metadata.clean(NOW - timedelta(days=60)) == ["_airflow_deleted__log__20250101000000"]
    url = metadata_database.url
    assert names(url, "select run_id from dag_run") == ["young"]
    assert names(url, "select run_id from task_instance") == ["young"]
    assert names(url, "select event from log where event in ('old', 'young')") == ["young"]
    archives = "select relname from pg_class where starts_with(relname, '_airflow_deleted__')"
    assert names(url, archives) == ["_airflow_deleted__log__mine"]
    # The audit log says who cleaned up.
    assert names(url, "select event from log where event like 'cli%'") == ["cli_cleanup_tables"]


def test_a_table_that_was_not_cleaned_fails_the_task(metadata_database, upkeep, postgres_server):
    with psycopg.connect(metadata_database.url) as connection:
        add_run(connection, "old", 70)
    with psycopg.connect(postgres_server.url_of("metadata_test", "postgres")) as connection:
        connection.execute("revoke delete on log from airflow_upkeep")
    with pytest.raises(metadata.CleanFailed) as failed:
        metadata.clean(NOW - timedelta(days=60))
    assert "docs/backup.md" in failed.value.what_to_do
    assert names(metadata_database.url, "select run_id from dag_run") == []


def test_the_role_reads_and_deletes_but_changes_nothing(metadata_database, upkeep):
    for statement in (
        "update dag_run set state = 'failed'",
        "insert into variable (key, val) values ('a', 'b')",
        "delete from connection",
        "truncate log",
        "drop table log",
        "update log set event = 'x'",
    ):
        with psycopg.connect(upkeep) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    with psycopg.connect(upkeep) as connection:
        assert connection.execute("select count(*) from connection").fetchone() == (0,)


def test_the_tables_are_those_of_the_command():
    from airflow.utils.db_cleanup import config_dict

    optional = {"celery_taskmeta", "celery_tasksetmeta", "session", "_xcom_archive"}
    assert set(metadata.CLEANED) == set(config_dict) - optional


def test_a_superuser_is_refused(metadata_database, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", metadata_database.admin_url.replace("postgresql://", "postgres://")
    )
    with pytest.raises(RightsTooWide):
        metadata.clean(NOW)


@pytest.fixture
def old_run(metadata_database, upkeep):
    with psycopg.connect(metadata_database.url) as connection:
        add_run(connection, "old", 61)


@pytest.mark.usefixtures("old_run")
class TestCleanBefore:
    @pytest.fixture
    def warehouse(self, warehouse_database):
        with psycopg.connect(warehouse_database.url) as connection:
            yield connection

    def rolled_up(self, warehouse, days_ago):
        bucket = (NOW - timedelta(days=days_ago)).replace(minute=0, second=0, microsecond=0)
        warehouse.execute("insert into ops.workflow_stats (grain, bucket, dag_id) values ('hour', %s, '*')", [bucket])
        return bucket

    def test_by_age(self, warehouse):
        self.rolled_up(warehouse, 0)
        assert metadata.clean_before(warehouse, 60, NOW) == NOW - timedelta(days=60)

    def test_never_beyond_what_is_rolled_up(self, warehouse):
        bucket = self.rolled_up(warehouse, 75)
        assert metadata.clean_before(warehouse, 60, NOW) == bucket - timedelta(days=2)

    def test_never_without_statistics(self, warehouse):
        with pytest.raises(metadata.NotRolledUp) as refused:
            metadata.clean_before(warehouse, 60, NOW)
        assert "ops_statistics" in refused.value.what_to_do
        assert not classify(refused.value).transient

    def test_nothing_is_old_enough(self, warehouse):
        """As in a new installation, whose statistics have not run yet: that is no failure."""
        assert metadata.clean_before(warehouse, 62, NOW) is None


def test_environment_of_the_command(monkeypatch):
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    given = {"host": "h", "port": 5433, "dbname": "a/b", "user": "u@x", "password": "p:/@%", "sslmode": "require"}
    made = metadata._environment(given)
    url = "postgresql+psycopg2://u%40x:p%3A%2F%40%25@h:5433/a%2Fb?sslmode=require"
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == url
    assert "_AIRFLOW_PROCESS_CONTEXT" not in made
    assert made["PATH"] == os.environ["PATH"]

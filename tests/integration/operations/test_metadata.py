"""The read-only way into Airflow's metadata: what it may, what it may not, whom it refuses."""

from datetime import timedelta

import psycopg
import pytest

from include.operations import metadata as module
from include.operations.errors import ErrorClass, classify
from include.operations.metadata import RightsTooWide, excess_rights, grants, metadata, missing_rights
from tests.cli_runner import cli

__all__ = ["cli"]
pytestmark = pytest.mark.servers


@pytest.fixture
def connect_as(metadata_database, postgres_server, monkeypatch):
    def connect_as(role):
        url = postgres_server.url_of("metadata_test", role).replace("postgresql://", "postgres://")
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", url)

    return connect_as


def test_the_reader_has_what_it_needs_and_no_more(metadata_database):
    with metadata() as connection:
        assert missing_rights(connection) == []
        assert excess_rights(connection) == []
        assert connection.execute("select count(id) from dag_run").fetchone() == (0,)
        assert connection.execute("select pg_database_size(current_database()) > 0").fetchone() == (True,)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("select conf from dag_run", psycopg.errors.InsufficientPrivilege),
        ("select executor_config from task_instance", psycopg.errors.InsufficientPrivilege),
        ("select extra from log", psycopg.errors.InsufficientPrivilege),
        ("select * from connection", psycopg.errors.InsufficientPrivilege),
        ("select * from xcom", psycopg.errors.InsufficientPrivilege),
        ("insert into job (state) values ('x')", psycopg.errors.ReadOnlySqlTransaction),
        ("rollback; begin read write; delete from job", psycopg.errors.InsufficientPrivilege),
    ],
)
def test_the_reader_may_not(metadata_database, statement, error):
    with pytest.raises(error), metadata() as connection:
        connection.execute(statement)


def test_all_queries_of_a_block_see_one_moment(metadata_database):
    count = "select count(id) from slot_pool"
    with metadata() as connection:
        before = connection.execute(count).fetchone()
        with psycopg.connect(metadata_database.url) as other:
            other.execute("insert into slot_pool (pool, slots, include_deferred) values ('new', 1, false)")
        assert connection.execute(count).fetchone() == before
    with metadata() as connection:
        assert connection.execute(count).fetchone() == (before[0] + 1,)


def test_a_statement_that_takes_too_long_is_ended(metadata_database):
    with (
        pytest.raises(psycopg.errors.QueryCanceled) as caught,
        metadata(statement_timeout=timedelta(milliseconds=50)) as connection,
    ):
        connection.execute("select pg_sleep(5)")
    assert classify(caught.value).error_class is ErrorClass.TIMEOUT


def test_a_superuser_is_refused(connect_as):
    connect_as("postgres")
    with pytest.raises(RightsTooWide) as caught, metadata():
        raise AssertionError("was let in")
    found = classify(caught.value)
    assert (found.error_class, found.transient, found.code) == (ErrorClass.AUTH, False, "RIGHTS_TOO_WIDE")
    assert module.ROLE in found.what_to_do


def test_the_owner_of_the_tables_is_known_to_be_too_much(connect_as):
    connect_as("airflow")
    with metadata() as connection:
        writes, reads = excess_rights(connection)
    assert writes.startswith("may write ")
    assert reads == "may read connection, variable, xcom"


def test_the_command_makes_the_role_and_takes_a_new_password(metadata_database, monkeypatch, cli):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", metadata_database.admin_url.replace("sql://", "sql+x://"))
    address = metadata_database.admin_url.partition("@")[2]
    for password in ("first", "pass'word%3B"):
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", f"postgres://some%20reader:{password}@{address}")
        assert cli("stats", "make-reader").code == 0
        with metadata() as connection:
            assert connection.execute("select current_user").fetchone() == ("some reader",)
            assert (missing_rights(connection), excess_rights(connection)) == ([], [])
            connection.execute("select count(id) from task_instance")
    with psycopg.connect(metadata_database.admin_url) as admin:
        admin.execute('drop owned by "some reader"')
        admin.execute('drop role "some reader"')


def test_rights_that_a_migration_has_dropped_are_named_and_given_again(metadata_database):
    with psycopg.connect(metadata_database.admin_url) as admin:
        admin.execute("alter table job rename to job_old")
        admin.execute("create table job (like job_old including all)")
        admin.execute("alter table job drop column hostname")
    with metadata() as connection:
        missing = missing_rights(connection)
    assert missing == [f"job.{column}" for column in sorted(module.READABLE["job"])]
    with psycopg.connect(metadata_database.admin_url) as admin:
        admin.execute("alter table job add column hostname text")
        for statement in grants():
            admin.execute(statement)
    with metadata() as connection:
        assert missing_rights(connection) == []

"""Commands that make roles, as the compose file's `init` runs them: again at every start, whatever the password."""

import psycopg
import pytest

from include.operations.housekeeping.metadata import CLEANED
from tests.cli_runner import cli

__all__ = ["cli"]
pytestmark = pytest.mark.servers
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def database(postgres_server):
    """An empty database of the superuser's, and the address of it for any role; roles of the test go with it."""
    postgres_server.create_database("roles_test", "postgres")
    place = f"{postgres_server.host}:{postgres_server.port}/roles_test"
    yield postgres_server.url_of("roles_test", "postgres"), place
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute("drop database roles_test with (force)")
        admin.execute('drop role if exists "up keep"')
        admin.execute('drop role if exists "own er"')


def test_upkeep_may_delete_and_change_nothing(database, monkeypatch, cli):
    owner, place = database
    with psycopg.connect(owner) as connection:
        for table in (*CLEANED, "variable"):
            connection.execute(f"create table {table} (id serial primary key)")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", owner.replace("sql://", "sql+psycopg2://"))
    for password in ("first", "pass'word%3B"):
        address = f"postgres://up%20keep:{password}@{place}"
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", address)
        assert cli("backup", "make-upkeep").code == 0
        with psycopg.connect(address) as connection:
            connection.execute("insert into log default values")
            connection.execute("delete from xcom")
            connection.execute("select from variable")
    for statement in ("update log set id = 2", "delete from variable", "insert into xcom default values"):
        with psycopg.connect(address) as connection, pytest.raises(DENIED):
            connection.execute(statement)


def test_the_warehouse_belongs_to_a_plain_role(database, monkeypatch, cli):
    admin, place = database
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_ADMIN", admin.replace("postgresql://", "postgres://"))
    for password in ("first", "pass'word%3B"):
        address = f"postgres://own%20er:{password}@{place}"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)
        assert cli("warehouse", "make-owner").code == 0
        assert cli("warehouse", "upgrade").code == 0
        # As after a restore (docs/backup.md): the next start takes it away.
        with psycopg.connect(admin) as connection:
            connection.execute('alter role "own er" superuser createrole')
    assert cli("warehouse", "make-owner").code == 0
    with psycopg.connect(address) as connection:
        role = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        )
        assert role.fetchone() == (False, False, False)
        assert connection.execute("select count(*) from ops.backup").fetchone() == (0,)


def test_no_task_may_be_the_administrator(database, monkeypatch, cli):
    admin, _ = database
    for name in ("WAREHOUSE", "WAREHOUSE_ADMIN"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", admin.replace("postgresql://", "postgres://"))
    done = cli("warehouse", "make-owner")
    assert done.code == 1
    assert "AIRFLOW_CONN_WAREHOUSE" in done.err

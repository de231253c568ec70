"""Migrations on a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic import command

from include.operations.errors import ErrorClass, ServerUnsupported, classify
from include.warehouse import schema

pytestmark = pytest.mark.servers

# What a DAG or a dashboard can see of the schema.
_PICTURE = """
select table_schema, table_name, column_name, data_type, is_nullable, column_default,
  col_description(format('%I.%I', table_schema, table_name)::regclass, ordinal_position)
from information_schema.columns where table_schema not in ('information_schema', 'pg_catalog')
order by 1, 2, ordinal_position
"""


def rows(url, query, *values):
    with psycopg.connect(url) as connection:
        return connection.execute(query, values or None).fetchall()


def downgrade(to):
    with schema._connection("warehouse") as connection:
        command.downgrade(schema.alembic_config(connection), to)


def test_up_down_up_gives_the_same_schema(database):
    assert schema.current() is None
    assert schema.current() != schema.head()
    assert schema.upgrade() == (None, schema.head())
    first = rows(database, _PICTURE)
    assert schema.current() == schema.head()
    downgrade("base")
    assert schema.current() is None
    assert {row[1] for row in rows(database, _PICTURE)} == {"alembic_version"}
    schema.upgrade()
    assert rows(database, _PICTURE) == first


def test_a_second_upgrade_changes_nothing(database):
    schema.upgrade()
    with psycopg.connect(database) as connection:
        connection.execute("insert into organism.roster_rejection values ('r', 2, 'id', 'c', 'why')")
    assert schema.upgrade() == (schema.head(), schema.head())
    assert rows(database, "select count(*) from organism.roster_rejection") == [(1,)]


def test_the_version_table_is_apart_from_airflows(database):
    with psycopg.connect(database) as connection:
        connection.execute("create table public.alembic_version (version_num text)")
        connection.execute("insert into public.alembic_version values ('of airflow')")
    schema.upgrade()
    assert rows(database, "select * from public.alembic_version") == [("of airflow",)]
    assert rows(database, "select * from ops.alembic_version") == [(schema.head(),)]


def test_upgrades_at_the_same_time_wait_for_each_other(database):
    start = threading.Barrier(4)

    def run(_):
        start.wait()
        return schema.upgrade()

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))
    assert sorted(step.before or "" for step in done) == ["", *[schema.head()] * 3]
    assert rows(database, "select * from ops.alembic_version") == [(schema.head(),)]


def test_an_upgrade_waits_only_so_long(database, monkeypatch):
    monkeypatch.setattr(schema, "_LOCK_TIMEOUT", "200ms")
    with psycopg.connect(database) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (schema._LOCK,))
        with pytest.raises(Exception, match="lock timeout") as caught:
            schema.upgrade()
    found = classify(caught.value)
    assert (found.error_class, found.code) == (ErrorClass.DATABASE, "55P03")
    assert schema.current() is None


def test_a_failing_migration_leaves_nothing(database):
    with psycopg.connect(database) as connection:
        connection.execute("create schema organism")
        connection.execute("create table organism.roster_rejection (x int)")
    with pytest.raises(Exception, match="roster_rejection"):
        schema.upgrade()
    assert schema.current() is None
    assert rows(database, "select to_regclass('ops.graph_update')") == [(None,)]


def test_a_schema_from_the_future_is_refused(database):
    schema.upgrade()
    with psycopg.connect(database) as connection:
        connection.execute("update ops.alembic_version set version_num = '9999'")
    with pytest.raises(ServerUnsupported, match="9999"):
        schema.upgrade()
    assert schema.current() != schema.head()


def test_a_role_that_may_not_create_schemas_can_upgrade_in_schemas_made_for_it(postgres_server, database):
    with psycopg.connect(postgres_server.url_of("schema_test", "postgres"), autocommit=True) as admin:
        admin.execute("alter database schema_test owner to postgres")
        admin.execute("grant connect on database schema_test to warehouse")
        for name in ("ops", "organism", "vms", "vms_stage"):
            admin.execute(f"create schema {name} authorization warehouse")
    with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("create schema another")
    assert schema.upgrade().after == schema.head()


def test_every_table_and_column_says_what_it_is(database):
    schema.upgrade()
    silent = [row[:3] for row in rows(database, _PICTURE) if row[6] is None and row[1] != "alembic_version"]
    assert silent == []
    tables = rows(
        database,
        "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where relkind = 'r'"
        " and nspname in ('ops', 'organism', 'vms') and obj_description(c.oid) is null"
        " and relname <> 'alembic_version'",
    )
    assert tables == []

"""A warehouse that is empty for each test: on the session's PostgreSQL, and on a TimescaleDB where one is given.

`TIMESCALEDB_TEST_URL` names a server with the extension, as a superuser (local/timescaledb.sh makes one); every test
of this folder then runs a second time on it.
"""

import os

import psycopg
import pytest
from psycopg import sql

from include.warehouse import schema

_TIMESCALE = os.environ.get("TIMESCALEDB_TEST_URL")
_NAME = "metric_test"
_PARTITIONS = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'organism' and relispartition and relkind = 'r'
"""
_TRUNCATE = """
truncate organism.metric_run, organism.employee_metrics, organism.employee_metrics_hourly,
  organism.employee_metrics_daily, organism.team_metrics, organism.team_cohort, organism.privacy_choice,
  organism.privacy_request, organism.burnout_assessment
"""


@pytest.fixture(scope="session")
def plain_store(postgres_server):
    """The warehouse's newest schema on a plain PostgreSQL (once a session)."""
    return _upgraded(postgres_server.create_database(_NAME))


@pytest.fixture(scope="session")
def timescale_store():
    """The same on a TimescaleDB (once a session)."""
    with psycopg.connect(_TIMESCALE, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(_NAME)))
        # The extension's launcher looks into template1.
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(_NAME)))
    url = f"{_TIMESCALE.rpartition('/')[0]}/{_NAME}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create extension if not exists timescaledb")
    return _upgraded(url)


def _upgraded(url):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    return url


@pytest.fixture(params=["plain", *(["timescale"] if _TIMESCALE else [])])
def store_url(request, monkeypatch):
    """An empty warehouse behind the connection id `warehouse`."""
    url = request.getfixturevalue(f"{request.param}_store")
    with psycopg.connect(url) as connection:
        connection.execute(_TRUNCATE)
        for (name,) in connection.execute(_PARTITIONS).fetchall():
            connection.execute(f"drop table {name}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return url


@pytest.fixture
def store(store_url):
    """A connection to the empty warehouse."""
    with psycopg.connect(store_url) as connection:
        yield connection

"""An empty warehouse for each test: on the session's PostgreSQL, and on a TimescaleDB where one is given.

`TIMESCALEDB_TEST_URL` names a server with the extension, as a superuser (scripts/timescaledb.sh makes one); every test
of this folder then runs a second time on it.
"""

import os

import psycopg
import pytest
from psycopg import sql

from include.warehouse import schema

_TIMESCALE = os.environ.get("TIMESCALEDB_TEST_URL")


@pytest.fixture(scope="session")
def metric_template(postgres_server):
    """The warehouse's newest schema (once a session)."""
    url = postgres_server.create_database("metric_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    return "metric_template"


@pytest.fixture(params=["plain", *(["timescale"] if _TIMESCALE else [])])
def store_url(request, postgres_server, monkeypatch):
    """An empty warehouse behind the connection id `warehouse`."""
    if request.param == "plain":
        template = request.getfixturevalue("metric_template")
        url = postgres_server.url_of("metric_test", "warehouse")
        admin = postgres_server.admin_url
        _recreate(admin, "metric_test", template, "warehouse")
    else:
        admin, url = _TIMESCALE, _TIMESCALE.rpartition("/")[0] + "/metric_test"
        _recreate(admin, "metric_test", "template1", "current_user")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension if not exists timescaledb")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    if request.param == "timescale":
        schema.upgrade()
    return url


def _recreate(admin_url, name, template, owner):
    names = {
        "name": sql.Identifier(name),
        "template": sql.Identifier(template),
        "owner": sql.SQL("current_user") if owner == "current_user" else sql.Identifier(owner),
    }
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {name} with (force)").format(**names))
        connection.execute(sql.SQL("create database {name} template {template} owner {owner}").format(**names))


@pytest.fixture
def store(store_url):
    """A connection to the empty warehouse."""
    with psycopg.connect(store_url) as connection:
        yield connection

"""A warehouse of its own for each test, copied from one that was migrated once."""

import psycopg
import pytest
from psycopg import sql

from include.warehouse import schema
from tests.integration.vms.harness import Warehouse


@pytest.fixture(scope="session")
def vms_template(postgres_server):
    """The warehouse's newest schema (once a session)."""
    url = postgres_server.create_database("vms_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    return "vms_template"


@pytest.fixture
def warehouse(postgres_server, vms_template, monkeypatch):
    """An empty warehouse, also behind the connection id `warehouse`."""
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS vms_test WITH (FORCE)")
        admin.execute(
            sql.SQL("CREATE DATABASE vms_test TEMPLATE {} OWNER warehouse").format(sql.Identifier(vms_template))
        )
    url = postgres_server.url_of("vms_test", "warehouse")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return Warehouse(url)

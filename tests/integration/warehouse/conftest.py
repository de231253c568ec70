"""An empty database for each test, behind the connection id `warehouse`."""

import pytest


@pytest.fixture
def database(postgres_server, monkeypatch):
    url = postgres_server.create_database("schema_test")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return url

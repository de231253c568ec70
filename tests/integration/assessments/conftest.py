"""A warehouse of its own."""

import pytest

from include.warehouse import schema


@pytest.fixture
def warehouse_url(postgres_server, monkeypatch):
    url = postgres_server.create_database("assessments_test")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    schema.upgrade()
    return url

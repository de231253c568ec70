"""A warehouse of its own for each test, copied from one that was migrated once."""

import pytest

from tests.integration.vms.harness import Warehouse


@pytest.fixture
def warehouse(postgres_server, warehouse_template, monkeypatch):
    """An empty warehouse, also behind the connection id `warehouse`."""
    url = postgres_server.create_database("vms_test", template=warehouse_template)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return Warehouse(url)

"""Databases of the operations part: Airflow's real metadata schema behind `airflow_metadata`, and a warehouse.

Each schema is made once a session; a test gets a copy of its own.
"""

from dataclasses import dataclass

import pytest

from benchmarks import history
from local.servers.postgres import PostgresServer


@dataclass(frozen=True)
class Database:
    """Addresses of one database."""

    url: str
    admin_url: str


def copy_of(server: PostgresServer, template: str, name: str, owner: str) -> Database:
    return Database(server.create_database(name, owner, template=template), server.url_of(name, "postgres"))


@pytest.fixture(scope="session")
def metadata_template(postgres_server, tmp_path_factory):
    """Airflow's schema as `airflow db migrate` makes it (once a session)."""
    url = postgres_server.create_database("metadata_template", "airflow")
    history.migrate(url, tmp_path_factory.mktemp("airflow-home"))
    return "metadata_template"


@pytest.fixture
def metadata_database(postgres_server, metadata_template, monkeypatch):
    """An empty metadata database; AIRFLOW_CONN_AIRFLOW_METADATA reads it as the read-only role."""
    made = copy_of(postgres_server, metadata_template, "metadata_test", "airflow")
    reader = postgres_server.ensure_metadata_reader("metadata_test")
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", reader.replace("postgresql://", "postgres://"))
    return made


@pytest.fixture
def warehouse_database(postgres_server, warehouse_template, monkeypatch):
    """An empty warehouse behind the connection id `warehouse`."""
    made = copy_of(postgres_server, warehouse_template, "warehouse_test", "warehouse")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", made.url.replace("postgresql://", "postgres://"))
    return made

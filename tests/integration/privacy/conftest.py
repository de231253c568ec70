"""A graph, a stream and a warehouse that know a few people, behind the connections of the command line."""

import uuid

import psycopg
import pytest

from include.organism import update
from include.organism.settings import Settings
from tests.cli_runner import cli
from tests.faults.world import clear, open_clients, run_steps

__all__ = ["cli"]


@pytest.fixture
def warehouse(postgres_server, warehouse_template, monkeypatch):
    """A connection to an empty warehouse."""
    url = postgres_server.create_database("privacy_test", template=warehouse_template)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    with psycopg.connect(url) as connection:
        yield connection


class Pipeline:
    """The 5-minute pipeline over a stream of the test's own."""

    def __init__(self, clients: update.Clients, settings: Settings) -> None:
        self.clients = clients
        self.settings = settings
        self.runs = 0

    def publish(self, *events: dict[str, str]) -> None:
        for event in events:
            self.clients.redis.xadd(self.settings.stream, event)

    def run(self):
        self.runs += 1
        return run_steps(self.clients, self.settings, f"run-{self.runs}")["update"]

    def node(self, person):
        query = "MATCH (e:Employee {id: $id}) RETURN properties(e) AS p"
        records = self.clients.driver.execute_query(query, id=person).records
        return records[0]["p"] if records else None


@pytest.fixture
def pipeline(redis_server, neo4j_server, monkeypatch):
    name = f"privacy-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("ORGANISM_STREAM", name)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        clear(clients.driver)
        settings = Settings.from_env()
        yield Pipeline(clients, settings)
        clients.redis.delete(name, settings.dead_stream, f"{settings.dead_stream}:index", f"{settings.dead_stream}:log")

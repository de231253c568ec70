"""An empty graph, caches and a warehouse, behind the connections of the task."""

import pytest

from include.organism.roster_graph import RosterGraph
from tests.faults.world import open_clients


@pytest.fixture
def clients(redis_server, neo4j_server):
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        clients.driver.execute_query("MATCH (n) DETACH DELETE n")
        yield clients


@pytest.fixture
def graph(clients):
    return RosterGraph(clients.driver, clients.database)


@pytest.fixture
def connections(clients, redis_server, neo4j_server, postgres_server, warehouse_template, monkeypatch):
    """The three connection ids; returns the warehouse's address."""
    url = postgres_server.create_database("roster_test", template=warehouse_template)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return url

"""The command line with real servers behind its connections."""

import uuid

import pytest

from include.organism.settings import Settings
from tests.cli_runner import cli
from tests.faults.world import open_clients

__all__ = ["cli"]


@pytest.fixture
def stream(redis_server, monkeypatch):
    """A stream of the test's own."""
    name = f"cli-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("ORGANISM_STREAM", name)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    return name


@pytest.fixture
def redis(redis_server, neo4j_server):
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        yield clients.redis


@pytest.fixture
def settings(stream):
    return Settings(stream=stream)

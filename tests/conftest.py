"""Fixtures shared by all tests: private servers, started when first asked for, stopped at the end of the session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.servers import Neo4jServer, PostgresServer, RedisServer
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem

_SERVERS = frozenset({"postgres_server", "redis_server", "neo4j_server"})
_OWN_AIRFLOW = frozenset({"test_alerts", "test_operations"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `-n 2 --dist loadgroup`: one worker waits for Airflow's clock while the other works.

    Tests that share servers share a worker, so that each server is started once; the rest goes file by file, also
    files that have an Airflow of their own.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.path.parent.name == "e2e" and item.path.stem in _OWN_AIRFLOW:
            group = item.path.stem
        else:
            group = "airflow" if "airflow_system" in fixtures else "servers" if fixtures & _SERVERS else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


# Servers named by AIRFLOW_CONN_* are never used here: tests delete data.


@pytest.fixture(scope="session")
def server_state() -> Iterator[Path]:
    """State directory of this test session's servers."""
    with tempfile.TemporaryDirectory(prefix="organism-test-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def postgres_server(server_state: Path) -> Iterator[PostgresServer]:
    """Real PostgreSQL 18; `.url` is the empty database `warehouse`, `.create_database(name)` makes more."""
    server = PostgresServer(server_state, usual_port=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(server_state: Path) -> Iterator[RedisServer]:
    """Real Redis 7 with appendonly; survives `.kill()` and `.start()` with its data."""
    server = RedisServer(server_state, usual_port=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def neo4j_server(server_state: Path) -> Iterator[Neo4jServer]:
    """Real Neo4j Community 5.26; `.uri` and `.auth` are what the driver wants."""
    server = Neo4jServer(server_state, usual_port=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def alert_sink() -> Iterator[AlertSink]:
    """Empty simulators of Slack, a mail server and Sentry: `.connections`, `.slack_messages()`, `.behave()`..."""
    with AlertSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def airflow_system() -> Iterator[AirflowSystem]:
    """The whole system with a real scheduler: `.env`, `.api`, `.kill_scheduler()`, `.restart_scheduler()`..."""
    with (
        tempfile.TemporaryDirectory(prefix="organism-system-", ignore_cleanup_errors=True) as directory,
        AirflowSystem(Path(directory)) as system,
    ):
        yield system

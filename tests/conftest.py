"""Fixtures shared by all tests: private servers, started when first asked for, stopped at the end of the session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from local.salesforce.testing import SalesforceServer
from local.servers import Neo4jServer, PostgresServer, RedisServer
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem
from tests.chain_fixtures import chain, chain_graph, chain_stages
from tests.reruns import (
    pytest_collection_modifyitems,
    pytest_runtest_setup,
    pytest_terminal_summary,
    pytest_timeout_set_timer,
)

__all__ = [
    "chain",
    "chain_graph",
    "chain_stages",
    "pytest_collection_modifyitems",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "pytest_timeout_set_timer",
]

# No time limit for an example, which a busy machine would break, and the same examples every time, so that a landing
# does not fail by an old fault found by chance. To search further: ARGS="--hypothesis-profile=default".
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

# Files that boot an Airflow of their own.
_OWN_AIRFLOW = frozenset(
    {"tests/e2e/test_alerts.py", "tests/e2e/test_operations.py", "tests/integration/local/test_demo.py"}
)
_SHARED_AIRFLOW = (
    "tests/e2e/",
    "tests/integration/local/test_airflow_system.py",
    "tests/integration/roster/test_scheduler.py",
)


class ByServers(LoadScopeScheduling):
    """Tests that share servers share a process, so that each server is started once; the rest goes file by file.

    One process then waits for Airflow's clock while the other works.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path in _OWN_AIRFLOW:
            return path
        if path.startswith(_SHARED_AIRFLOW):
            return "airflow"
        return "servers" if path.startswith(("tests/integration/", "tests/faults/")) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    """Spread the tests of `pytest -n 2`."""
    return ByServers(config, log)


@pytest.fixture(autouse=True)
def _airflow_has_set_up_logging(request: pytest.FixtureRequest) -> None:
    """Airflow's first import replaces the root logger's handlers, in mid-test also the one of `caplog`."""
    if "caplog" in request.fixturenames:
        import airflow.sdk.definitions.connection  # noqa: F401


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
def warehouse_template(postgres_server: PostgresServer) -> str:
    """Name of a warehouse of the newest schema, for `create_database(..., template=...)`: migrations take a second."""
    from include.warehouse import schema

    url = postgres_server.create_database("warehouse_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    return "warehouse_template"


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
def salesforce_server() -> Iterator[SalesforceServer]:
    """A simulated Salesforce in a process of its own, shared by the session; tests take `salesforce`."""
    with SalesforceServer() as server:
        yield server


@pytest.fixture
def salesforce(salesforce_server: SalesforceServer) -> SalesforceServer:
    """The simulated Salesforce, empty, on real time: `.connection_uri`, `.store`, `.clock`, `.requests()`..."""
    salesforce_server.reset()
    return salesforce_server


@pytest.fixture(scope="session")
def airflow_system() -> Iterator[AirflowSystem]:
    """The whole system with a real scheduler: `.env`, `.api`, `.kill_scheduler()`, `.restart_scheduler()`..."""
    with (
        tempfile.TemporaryDirectory(prefix="organism-system-", ignore_cleanup_errors=True) as directory,
        # Shadow mode, the default, would execute nothing; the few people of tests are a large share of all, and a
        # second try acts on the same day as the first.
        AirflowSystem(
            Path(directory),
            {
                "INTERVENTION_MODE": "live",
                "INTERVENTION_WEEKLY_SHARE": "0.9",
                "INTERVENTION_DAILY_ACTIONS": "100",
            },
        ) as system,
    ):
        yield system

"""Fixtures over `tests/chain.py`, which is heavy and so imported by who takes them; of all tests, by `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local.servers import Neo4jServer, PostgresServer, RedisServer

if TYPE_CHECKING:
    import neo4j

    from tests.chain import Chain, Stages


@pytest.fixture(scope="session")
def chain_stages(
    tmp_path_factory: pytest.TempPathFactory, neo4j_server: Neo4jServer, redis_server: RedisServer
) -> Iterator[Stages]:
    """An undisturbed run, step by step (once a session)."""
    from tests.chain import Servers, Stages

    postgres = PostgresServer(tmp_path_factory.mktemp("chain"), usual_port=False)
    try:
        postgres.start()
        yield Stages(Servers(postgres, neo4j_server, redis_server))
    finally:
        postgres.stop()


@pytest.fixture(scope="module")
def chain_graph(chain_stages: Stages) -> Iterator[neo4j.Driver]:
    """The organisation's graph, for a file of tests: others leave theirs behind."""
    import neo4j

    from tests.chain import fill_graph

    server = chain_stages.servers.neo4j
    with neo4j.GraphDatabase.driver(server.uri, auth=server.auth) as driver:
        fill_graph(driver)
        yield driver


@pytest.fixture
def chain(chain_stages: Stages, chain_graph: neo4j.Driver, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """A run that can go wrong; begin with `start_at`."""
    from tests.chain import Chain

    found = Chain(chain_stages, chain_graph)
    for name, value in found.servers.environment().items():
        monkeypatch.setenv(name, value)
    found.forget_breakers()
    return found

"""Fixtures of the tests of the 5-minute pipeline; imported by their conftest files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include import connections
from include.organism.update import Clients
from local.servers import Neo4jServer, RedisServer
from tests.faults.proxy import Proxy, proxied
from tests.faults.workers import Workers, worker_process
from tests.faults.world import World, clear, open_clients


@pytest.fixture(scope="session")
def shared_clients(redis_server: RedisServer, neo4j_server: Neo4jServer) -> Iterator[Clients]:
    """Clients of the session's servers."""
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        yield clients


@pytest.fixture
def make_world(
    shared_clients: Clients, redis_server: RedisServer, neo4j_server: Neo4jServer
) -> Iterator[Callable[..., World]]:
    """Makes worlds with an empty graph, a stream of their own and the settings given."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        clear(shared_clients.driver)
        made.append(World(shared_clients, (redis_server.url, neo4j_server.url), **settings))
        return made[-1]

    yield make
    for world in made:
        world.redis.delete(world.stream, world.settings.dead_stream, f"{world.settings.dead_stream}:index")


@pytest.fixture(scope="session")
def all_workers() -> Iterator[Workers]:
    """The process that forks the workers of all tests."""
    with worker_process() as running:
        yield running


@pytest.fixture
def workers(all_workers: Workers) -> Iterator[Workers]:
    """Starts runs in processes of their own; none outlives its test."""
    yield all_workers
    all_workers.kill_all()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world with the default settings, but small batches."""
    return make_world(batch_size=50)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that this test may kill and damage."""
    server = RedisServer(tmp_path, usual_port=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_world(own_redis: RedisServer, neo4j_server: Neo4jServer, shared_clients: Clients) -> Iterator[World]:
    """A world whose stream is in `own_redis`."""
    clear(shared_clients.driver)
    with open_clients(own_redis.url, neo4j_server.url) as clients:
        yield World(clients, (own_redis.url, neo4j_server.url), batch_size=50)


@dataclass
class Rig:
    """A world, and clients that reach its servers through proxies."""

    world: World
    clients: Clients
    redis: Proxy
    neo4j: Proxy

    def run(self, run: str = "rigged", **settings: Any) -> dict[str, Any]:
        """One whole run through the proxies; its tries have one id."""
        return self.world.run(run, clients=self.clients, **settings)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are opened after this wait two seconds for Redis instead of twenty."""
    monkeypatch.setattr(connections, "_REDIS_REPLY_S", 2)


@pytest.fixture
def rig(world: World, redis_server: RedisServer, neo4j_server: Neo4jServer) -> Iterator[Rig]:
    """Proxies before both servers."""
    with (
        proxied(redis_server.url) as redis,
        proxied(neo4j_server.url) as neo4j,
        open_clients(redis.address, neo4j.address) as clients,
    ):
        yield Rig(world, clients, redis, neo4j)

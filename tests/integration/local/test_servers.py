"""The embedded servers keep their promises: own protocol, loopback, password, data survive a SIGKILL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import neo4j
import psutil
import psycopg
import pytest
import redis

from local.part import NoAnswerError
from local.servers import Neo4jServer, PostgresServer, RedisServer, Server

pytestmark = pytest.mark.servers


@pytest.fixture(params=["postgres_server", "redis_server", "neo4j_server"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


def test_listens_on_loopback_only(server: Server) -> None:
    assert server.pid is not None
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.Process(server.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_second_start_is_harmless(server: Server) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_silence_is_told_from_an_end(server: Server) -> None:
    assert server.pid is not None
    process = psutil.Process(server.pid)
    process.suspend()
    try:
        with pytest.raises(NoAnswerError):
            server.check()
    finally:
        process.resume()
    server.check()


def test_kill_start_and_restart_keep_the_port(server: Server) -> None:
    port = server.port
    server.kill()
    assert not server.is_running
    server.start()
    server.check()
    server.restart()
    server.check()
    assert server.port == port


def test_a_thread_that_started_it_may_end(server: Server) -> None:
    # The kernel's parent death signal belongs to the forking thread; the server must outlive it.
    thread = threading.Thread(target=server.restart)
    thread.start()
    thread.join()
    assert server.wait_for_exit(0.5) is None
    server.check()


def test_postgres_data_survive_a_kill(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database("survivor")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    postgres_server.kill()
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_postgres_roles_are_plain_and_apart(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(postgres_server.url_of("airflow", "warehouse"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.url.replace(postgres_server.password, "wrong"))


def test_redis_is_new_enough_and_keeps_its_stream(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    version = client.info("server")["redis_version"]
    assert tuple(map(int, version.split(".")[:2])) >= (7, 0)
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.xadd("kept", {"a": "1"})
    redis_server.restart()
    assert client.xlen("kept") == 1
    client.delete("kept")
    client.close()


def test_redis_refuses_a_missing_password(redis_server: RedisServer) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(host=redis_server.host, port=redis_server.port).ping()


def test_neo4j_is_community_with_a_password(neo4j_server: Neo4jServer) -> None:
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=neo4j_server.auth) as driver:
        record = driver.execute_query("CALL dbms.components()").records[0]
        assert (record["edition"], record["versions"]) == ("community", ["5.26.30"])
    with (
        neo4j.GraphDatabase.driver(neo4j_server.uri, auth=("neo4j", "neo4j")) as driver,
        pytest.raises(neo4j.exceptions.AuthError),
    ):
        driver.verify_connectivity()


class RacedRedis(RedisServer):
    """Another program binds the port between our choice and the server's start."""

    strangers: list[socket.socket]

    def _prepare(self) -> None:
        super()._prepare()
        if not self.strangers:
            self.strangers.append(socket.create_server((self.host, self.port)))


@pytest.fixture
def raced(tmp_path: Path) -> Iterator[RacedRedis]:
    server = RacedRedis(tmp_path, usual_port=False)
    server.strangers = []
    yield server
    server.stop()
    for stranger in server.strangers:
        stranger.close()


def test_a_port_lost_in_a_race_is_replaced(raced: RacedRedis) -> None:
    raced.start()
    raced.check()
    assert raced.port != raced.strangers[0].getsockname()[1]

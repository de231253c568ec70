"""`interactions lag` shows what waits, with and without the servers around the stream."""

import json
import time

import pytest

from include.organism import report
from include.organism.stream import InteractionStream, StreamId
from include.warehouse import schema
from tests.faults.world import open_clients, run_steps
from tests.integration.warehouse.test_graph_update import RESULT

pytestmark = pytest.mark.servers


@pytest.fixture
def servers(redis_server, neo4j_server, postgres_server, warehouse_template, monkeypatch, stream):
    """All connections; the graph and the warehouse are empty."""
    url = postgres_server.create_database("lag_test", template=warehouse_template)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        clients.driver.execute_query("MATCH (n) DETACH DELETE n")
        yield clients


def facts(cli):
    done = cli("interactions", "lag", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_stream_that_is_not_there_yet(cli, servers, stream):
    found = facts(cli)
    assert found == {
        "stream": stream,
        "group_exists": False,
        "length": 0,
        "unread": 0,
        "pending": {},
        "oldest_pending_s": None,
        "last_id": "0-0",
        "dead_letters": 0,
        "watermark": None,
        "last_run": None,
    }
    assert "no consumer group yet" in cli("interactions", "lag").out


def test_what_waits_and_with_whom(cli, servers, settings):
    redis = servers.redis
    ids = [redis.xadd(settings.stream, {"n": n}) for n in range(10)]
    stream = InteractionStream(redis, settings)
    stream.create_group(StreamId(0, 0))
    redis.xreadgroup(settings.group, "one", {settings.stream: ">"}, count=3)
    redis.xreadgroup(settings.group, "two", {settings.stream: ">"}, count=2)
    redis.xadd(settings.dead_stream, {"code": "x"})
    time.sleep(0.3)
    found = facts(cli)
    assert (found["length"], found["unread"], found["dead_letters"]) == (10, 5, 1)
    assert found["pending"] == {"one": 3, "two": 2}
    assert found["last_id"] == ids[-1].decode()
    assert 0.3 <= found["oldest_pending_s"] < 300
    shown = cli("interactions", "lag").out
    assert "5 (one 3, two 2), oldest" in shown


def test_a_backlog_of_more_than_a_thousand_is_counted_too(cli, servers, settings):
    InteractionStream(servers.redis, settings).create_group(StreamId(0, 0))
    for n in range(1_500):
        servers.redis.xadd(settings.stream, {"n": n})
    assert facts(cli)["unread"] == 1_500


def test_the_watermark_and_the_last_run(cli, servers, settings, postgres_server):
    event = {"id": "e", "source": "a", "target": "b", "type": "x", "timestamp": "1700000000"}
    added = servers.redis.xadd(settings.stream, event)
    run_steps(servers, settings, "run-1")
    with schema._connection("warehouse") as connection:
        driver = connection.connection.driver_connection
        report.write(driver, "old", RESULT)
        report.close(driver, "old", {"people": 0, "deleted": 0})
    with schema._connection("warehouse") as connection:
        report.write(connection.connection.driver_connection, "new", {**RESULT, "written": 77})
    found = facts(cli)
    assert found["watermark"] == added.decode()
    assert (found["unread"], found["pending"]) == (0, {})
    assert (found["last_run"]["run_id"], found["last_run"]["written"]) == ("new", 77)
    shown = cli("interactions", "lag").out
    assert "new (not finished, " in shown
    assert "written 77" in shown


def test_redis_alone_still_answers(cli, servers, settings, monkeypatch):
    servers.redis.xadd(settings.stream, {"n": 1})
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", "neo4j://neo4j:password@127.0.0.1:1")
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    done = cli("interactions", "lag", "--json")
    assert done.code == 1
    assert json.loads(done.out)["length"] == 1
    assert [line.split(":")[0] for line in done.err.splitlines() if line.startswith("error")] == ["error", "error"]

"""Connections are bounded, have limits of time, and are gone at the servers when the task is: well, badly or killed."""

import os
import signal
import threading
import time

import neo4j
import psycopg
import pytest
import redis
from airflow.sdk.execution_time.context import set_current_context

from include import connections
from include.connections import neo4j_driver, redis_client
from include.connections import warehouse as warehouse_connection
from include.operations.errors import ErrorClass, classify
from include.operations.task import resilient
from tests.integration.operations.tasks.conftest import airflow_context

pytestmark = pytest.mark.servers


@pytest.fixture
def servers(warehouse, neo4j_server, redis_server, monkeypatch):
    """Count the connections that each server has, besides those that count."""
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    with (
        psycopg.connect(warehouse, autocommit=True) as postgres,
        redis.Redis.from_url(redis_server.url) as cache,
        neo4j.GraphDatabase.driver(neo4j_server.uri, auth=neo4j_server.auth) as driver,
    ):

        def count():
            query = "select count(*) from pg_stat_activity where application_name = 'pipelines'"
            listed = driver.execute_query("CALL dbms.listConnections() YIELD connectionId RETURN count(*) AS n")
            return postgres.execute(query).fetchone()[0], len(cache.client_list()), listed.records[0]["n"]

        count()
        yield count


def work(end):
    """Use all three servers, with several connections of each pool, and end as told."""
    with redis_client() as client, neo4j_driver() as (driver, _), warehouse_connection() as connection:
        pipes = [client.pubsub() for _ in range(3)]
        for pipe in pipes:
            pipe.subscribe("nothing")
        sessions = [driver.session() for _ in range(3)]
        results = [session.run("RETURN 1 AS one") for session in sessions]
        connection.execute("select 1")
        end(len(results))


def explode(_):
    raise ZeroDivisionError


def kill(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("end", [int, explode, kill])
def test_no_connection_is_left_when_a_task_has_ended(servers, end):
    before = servers()
    seen, wrote = os.pipe()
    waits, go = os.pipe()
    child = os.fork()
    if child == 0:

        def tell_and_end(number):
            os.write(wrote, b"open")
            os.read(waits, 1)
            end(number)

        try:
            with set_current_context(airflow_context()):
                resilient(work)(tell_and_end)
        finally:
            # Without the interpreter's own clean-up, which would close what was forgotten.
            while True:
                signal.pause()
    try:
        os.read(seen, 4)
        during = servers()
        assert all(more > less for more, less in zip(during, before, strict=True)), (before, during)
        os.write(go, b"!")
        deadline = time.monotonic() + 60
        # Fewer is no fault: the last ones of an earlier test may end meanwhile.
        while (left := servers()) and any(now > then for now, then in zip(left, before, strict=True)):
            assert time.monotonic() < deadline, (left, before)
            time.sleep(0.05)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_pool_that_is_used_up_is_waited_for_and_then_a_timeout(warehouse, monkeypatch):
    monkeypatch.setattr(connections, "_POOL_REDIS", 2)
    monkeypatch.setattr(connections, "_ACQUIRE_REDIS_S", 0.2)
    with redis_client() as client:
        held = [client.connection_pool.get_connection() for _ in range(2)]
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError) as caught:
            client.ping()
        assert time.monotonic() - started >= 0.2
        assert classify(caught.value).error_class is ErrorClass.NETWORK
        for connection in held:
            client.connection_pool.release(connection)
    monkeypatch.setattr(connections, "_ACQUIRE_REDIS_S", 60)
    with redis_client() as client:
        held = [client.connection_pool.get_connection() for _ in range(2)]
        threading.Timer(0.1, client.connection_pool.release, [held[0]]).start()
        assert client.ping()


def test_a_statement_and_an_idle_transaction_have_an_end(warehouse):
    with warehouse_connection() as connection:
        settings = ("statement_timeout", "idle_in_transaction_session_timeout")
        found = [connection.execute("select current_setting(%s)", [name]).fetchone()[0] for name in settings]
    assert found == ["10min", "10min"]
    with warehouse_connection(quick=True) as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("2s",)


def test_the_connections_own_options_win(warehouse, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", os.environ["AIRFLOW_CONN_WAREHOUSE"] + "?options=-c%20work_mem%3D1MB")
    with warehouse_connection() as connection:
        assert connection.execute("show work_mem").fetchone() == ("1MB",)
        assert connection.execute("show statement_timeout").fetchone() == ("10min",)

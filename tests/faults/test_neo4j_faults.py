"""N1-N5: Neo4j goes away, deadlocks, loses replies, refuses data, runs out of memory, hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import neo4j
import pytest

from include.operations.errors import classify
from local.servers import Neo4jServer, RedisServer
from tests import oracle
from tests.faults.fixtures import Rig
from tests.faults.proxy import proxied
from tests.faults.workers import Workers
from tests.faults.world import BAD, World, clear, event, events, eventually, open_clients

pytestmark = pytest.mark.servers

COMMIT = b"\x00\x02\xb0\x12\x00\x00"  # the Bolt message


# --- N1: away -----------------------------------------------------------------------
def test_away_before_the_run(rig: Rig) -> None:
    rig.world.publish(events(60))
    rig.neo4j.refuse()
    with pytest.raises(neo4j.exceptions.ServiceUnavailable) as caught:
        rig.run()
    assert (found := classify(caught.value)).transient
    assert found.error_class == "NETWORK"
    rig.neo4j.accept()
    rig.run()
    rig.world.check()


@pytest.mark.parametrize("place", [b"UNWIND $people", b"UNWIND $edges", b"SET l.watermark_ms", COMMIT])
def test_away_in_the_middle_of_a_batch(rig: Rig, monkeypatch: pytest.MonkeyPatch, place: bytes) -> None:
    rig.run()
    entries = rig.world.publish(events(60))
    rig.world.run("rigged", steps=["fetch"])
    rig.neo4j.before(place, rig.neo4j.refuse)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what counts
        rig.run()
    assert classify(caught.value).error_class == "NETWORK"
    if place != COMMIT:
        assert rig.world.pending() == entries
        assert oracle.read_graph(rig.world.driver).edges == {}
    rig.neo4j.accept()
    rig.run()
    rig.world.check()


def test_a_short_absence_is_bridged_without_another_try(rig: Rig) -> None:
    def blink() -> None:
        rig.neo4j.refuse()
        threading.Timer(1.5, rig.neo4j.accept).start()

    rig.world.publish(events(120))
    rig.neo4j.before(b"UNWIND $edges", blink)
    # As long as tasks try.
    with open_clients(rig.redis.address, rig.neo4j.address, repeat_s=30) as clients:
        rig.world.run(clients=clients)
    rig.world.check()


def test_killed_in_mid_batch_and_restarted(world: World, workers: Workers, neo4j_server: Neo4jServer) -> None:
    world.publish(events(200))
    world.publish_bad(BAD)
    worker = workers.start(world, "same", fault="graph.in_transaction:hang:2")
    worker.wait_stopped()
    neo4j_server.kill()
    worker.wake()
    neo4j_server.start()
    # Repeated within the try when the server is back in half a minute; otherwise the next try does it.
    assert worker.wait(120) == 0 or worker.error_class == "NETWORK"
    world.run("same")
    world.check()


# --- N2: deadlock ---------------------------------------------------------------------
def test_deadlock_with_another_writer(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The other one holds a person and wants the ledger, we hold the ledger and want that person.

    Neo4j gives up the transaction with fewer locks, which is ours.
    """
    world, blocked = rig.world, "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked' RETURN count(*)"
    world.publish([event(1, "ann", "bob")])
    rig.run()
    with world.driver.session() as session, session.begin_transaction() as tx:
        tx.run(
            "MATCH (e:Employee {id: 'bob'}) SET e.team = 'x' WITH e UNWIND range(1, 50) AS n CREATE (:Other)"
        ).consume()
        tx.run("MATCH (e:Other) SET e.x = 1").consume()

        def want_the_ledger() -> None:
            with contextlib.closing(tx):
                tx.run("MATCH (l:StreamLedger) SET l.other = 1").consume()
                tx.commit()

        def meet() -> None:
            other.start()
            eventually(lambda: world.driver.execute_query(blocked).records[0][0])

        other = threading.Thread(target=want_the_ledger)
        world.publish([event(2, "ann", "bob"), event(3, "bob", "eve")])
        rig.neo4j.before(b"UNWIND $people", meet)
        rig.run()
        other.join(60)
        assert not other.is_alive()
    world.check()
    assert "will be retried" in caplog.text
    assert "DeadlockDetected" in caplog.text
    assert world.driver.execute_query("MATCH (l:StreamLedger) RETURN l.other").records[0][0] == 1


# --- N4: lost replies -------------------------------------------------------------------
def test_the_reply_to_any_commit_is_lost(rig: Rig) -> None:
    """Nobody knows whether it was committed; the ledger tells, within the same try."""
    nth = 0
    while rig.neo4j.cuts == nth:
        nth += 1
        rig.world.publish(events(70, start=nth * 1_000))
        rig.neo4j.cut_reply(COMMIT, nth)
        rig.run()
        rig.world.check()
    assert nth > 7  # lease twice, two batches, end of run, ledger, mark, release


def test_replies_lost_anywhere(rig: Rig) -> None:
    """Every sixth reply of Neo4j in turn: the try ends well or in a NETWORK error, and the next one does."""
    nth, failures = 1, 0
    while rig.neo4j.cuts == nth // 6:
        nth += 6
        rig.world.publish(events(60, start=nth * 1_000))
        rig.neo4j.cut_reply(b"", nth)
        try:
            rig.run()
        except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError) as error:
            failures += 1
            assert classify(error).error_class == "NETWORK"  # noqa: PT017
            rig.run()
        rig.world.check()
    assert nth > 20
    assert failures < nth / 8


# --- N5: refused data -------------------------------------------------------------------
@pytest.fixture
def constraint(world: World) -> Iterator[None]:
    """Somebody makes a rule that some weights break."""
    world.driver.execute_query("CREATE CONSTRAINT odd FOR ()-[r:INTERACTS]-() REQUIRE r.weight IS UNIQUE")
    world.driver.execute_query("CREATE (:Other)-[:INTERACTS {weight: 77.0}]->(:Other)")
    yield
    world.driver.execute_query("DROP CONSTRAINT odd")


@pytest.mark.usefixtures("constraint")
def test_a_refused_event_is_isolated(world: World) -> None:
    def message(number: int, weight: float) -> dict[str, str]:
        return event(number, f"s{number}", f"t{number}", weight=repr(weight))

    world.publish(message(number, number / 8) for number in range(33))
    refused = [message(100, 77.0), message(101, 77.0)]
    for number, bad in enumerate(refused):
        world.publish_bad([[part.encode() for pair in bad.items() for part in pair]])
        world.publish([message(200 + number, 50 + number / 8)])
    result = world.run()["update"]
    assert (result["read"], result["written"], result["dead"]) == (37, 35, 2)
    world.check()
    assert [(letter.code, letter.reason) for letter in world.letters()] == [
        ("graph_refused", "the graph refuses it: Neo.ClientError.Schema.ConstraintValidationFailed")
    ] * 2
    # The same event in a form that is not refused: its id was not used up.
    world.publish([message(100, 78.0)])
    world.run()
    world.check()


@pytest.mark.usefixtures("constraint")
def test_killed_while_isolating(world: World, workers: Workers) -> None:
    world.publish(event(number, f"s{number}", f"t{number}", weight=repr(number / 8)) for number in range(33))
    bad = event(100, "a", "b", weight="77")
    world.publish_bad([[part.encode() for pair in bad.items() for part in pair]])
    world.publish([event(200, "c", "d", weight="60")])
    for nth in (2, 3):
        assert workers.start(world, "same", fault=f"graph.in_transaction:kill:{nth}").wait() == -9
    world.run("same")
    world.check()


# --- a server of one's own: little memory, quick keep-alive ----------------------------------
class SmallServer(Neo4jServer):
    def _prepare(self) -> None:
        super()._prepare()
        with (self.directory / "conf" / "neo4j.conf").open("a") as config:
            config.write("db.memory.transaction.max=8m\n")
            config.write("server.bolt.connection_keep_alive=1s\nserver.bolt.connection_keep_alive_probes=2\n")


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    server = SmallServer(tmp_path_factory.mktemp("small"), usual_port=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_batch_too_large_for_the_servers_memory_is_halved(
    small_server: Neo4jServer, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with open_clients(redis_server.url, small_server.url) as clients:
        clear(clients.driver)
        world = World(clients, (redis_server.url, small_server.url))
        world.publish([event(f"x{n}", f"a{n}", f"b{n}") for n in range(100)])
        world.run()
        world.publish([event(n, f"a{n % 100}", f"b{n // 100}") for n in range(4_000)])
        world.run()
        world.check()
    assert "batch_halved entries=4000 code=Neo.TransientError.General.MemoryPoolOutOfMemoryError" in caplog.text


def test_a_hanging_connection_ends_in_bounded_time(small_server: Neo4jServer, redis_server: RedisServer) -> None:
    """I8: the server's keep-alive tells the driver when to give up (two minutes with its defaults)."""
    with proxied(small_server.url) as proxy, open_clients(redis_server.url, proxy.address) as clients:
        world = World(clients, (redis_server.url, proxy.address))
        world.publish(events(50))
        proxy.before(b"UNWIND $edges", proxy.hang)
        start = time.monotonic()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what counts
            world.run("same")
        assert classify(caught.value).error_class in {"NETWORK", "TIMEOUT"}
        assert time.monotonic() - start < 60, "three seconds, or the server's two minutes"
        assert len(world.pending()) == 50
        proxy.flow()
        world.run("same")

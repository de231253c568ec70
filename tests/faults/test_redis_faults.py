"""R1, R4, R5, R7, R8: Redis is away, loses replies, is slow or hangs, refuses writes, is still loading."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
import redis

from include import connections
from include.operations.errors import ErrorClass, classify
from local.servers import Neo4jServer, RedisServer
from tests.faults.fixtures import Rig
from tests.faults.world import BAD, World, events, eventually, open_clients

pytestmark = pytest.mark.servers

NEW = b"$1\r\n>\r\n"  # XREADGROUP's position of unread entries


def failure(run: Callable[[], object]) -> tuple[ErrorClass, bool]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what counts
        run()
    found = classify(caught.value)
    return found.error_class, found.transient


# --- R1: away -----------------------------------------------------------------------
def test_away_before_the_run(rig: Rig) -> None:
    rig.world.publish(events(60))
    rig.redis.refuse()
    assert failure(rig.run) == ("NETWORK", True)
    rig.redis.accept()
    rig.run()
    rig.world.check()


@pytest.mark.parametrize("place", [b"XREADGROUP", b"EVALSHA", b"XPENDING", b"XACK", b"UNLINK"])
def test_away_in_the_middle(rig: Rig, place: bytes) -> None:
    rig.run()
    rig.world.publish(events(60))
    rig.world.publish_bad(BAD)
    rig.redis.before(place, rig.redis.refuse)
    assert failure(rig.run) == ("NETWORK", True)
    rig.redis.accept()
    rig.run()
    rig.world.check()


# --- R4, R5: lost replies ---------------------------------------------------------------
@pytest.mark.parametrize("command", [b"XREADGROUP", b"XACK", b"EVALSHA", b"XGROUP", b"XINFO", b"XPENDING", b"UNLINK"])
def test_a_reply_is_lost(rig: Rig, command: bytes) -> None:
    rig.world.publish(events(130))
    rig.world.publish_bad(BAD)
    rig.redis.cut_reply(command, nth=1)
    assert failure(rig.run) == ("NETWORK", True)
    assert rig.redis.cuts == 1
    rig.run()
    rig.world.check()


def test_replies_lost_anywhere(rig: Rig) -> None:
    """Every third reply of a run in turn: the try ends in a NETWORK error, and the next one ends well."""
    nth, cuts = 1, 0
    while True:
        rig.world.publish(events(60, start=nth * 1_000))
        rig.world.publish_bad(BAD[:1])
        rig.redis.cut_reply(b"", nth)
        try:
            rig.run()
        except redis.RedisError as error:
            assert classify(error).error_class == "NETWORK"  # noqa: PT017
            rig.run()
        rig.world.check()
        if rig.redis.cuts == cuts:
            break  # a run does not have so many replies
        nth, cuts = nth + 3, rig.redis.cuts
    assert cuts > 5


def test_a_lost_reply_of_new_entries_leaves_them_pending(rig: Rig) -> None:
    rig.run()
    entries = rig.world.publish(events(130))
    rig.redis.cut_reply(NEW)
    assert failure(rig.run) == ("NETWORK", True)
    assert rig.world.pending() == entries[:50]
    rig.run()
    rig.world.check()


# --- another reader under our name -----------------------------------------------------
@pytest.mark.parametrize("zombies", [1, 60])
def test_entries_that_a_zombie_reads_in_between_are_not_passed_over(rig: Rig, zombies: int) -> None:
    """Between our look at the pending list and our read of new entries a zombie takes the next ones."""
    world = rig.world
    rig.run()
    world.publish(events(200))
    taken = []
    rig.redis.before(NEW, lambda: taken.extend(read_as_zombie(world, zombies)), answered=True)
    rig.run()
    assert len(taken) == zombies
    world.check()


def test_a_zombie_that_reads_the_last_entries_leaves_them_for_the_next_run(rig: Rig) -> None:
    world, taken = rig.world, []
    rig.run()
    entries = world.publish(events(30))
    rig.redis.before(NEW, lambda: taken.extend(read_as_zombie(world, 100)), answered=True)
    result = rig.run()
    assert taken == world.pending() == entries
    assert (result["update"]["read"], result["update"]["lost"]) == (0, 0)
    rig.run()
    world.check()


def read_as_zombie(world: World, count: int) -> list[bytes]:
    """Read new entries under the name that the tasks use."""
    [[_, entries]] = world.redis.xreadgroup(
        world.settings.group, world.settings.consumer, {world.stream: ">"}, count=count
    )
    return [entry_id for entry_id, _ in entries]


# --- R7: slow, hanging ------------------------------------------------------------------
def test_slow_but_alive(rig: Rig) -> None:
    rig.world.publish(events(120))
    rig.redis.latency_s = 0.1
    rig.run()
    rig.world.check()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", [b"XREADGROUP", b"XACK", b"XINFO"])
def test_hanging(rig: Rig, place: bytes) -> None:
    rig.run()
    rig.world.publish(events(60))
    rig.redis.before(place, rig.redis.hang)
    assert failure(rig.run) == ("TIMEOUT", True)
    rig.redis.flow()
    rig.run()
    rig.world.check()


@pytest.mark.usefixtures("impatient")
def test_accepted_and_never_answered(rig: Rig) -> None:
    rig.redis.hang()
    assert failure(rig.run) == ("TIMEOUT", True)


def test_real_time_outs_are_bounded() -> None:
    assert 1 <= connections._CONNECT_S <= 10
    assert 5 <= connections._REDIS_REPLY_S <= 30


# --- R8: refused writes --------------------------------------------------------------------
def test_out_of_memory(own_world: World) -> None:
    own_world.publish(events(60))
    own_world.publish_bad(BAD)
    own_world.run(steps=["fetch"])
    own_world.end_lease()
    own_world.redis.config_set("maxmemory", "1mb")
    assert failure(own_world.run) == ("DATABASE", True)
    assert own_world.ledger().totals.read == 0
    own_world.redis.config_set("maxmemory", "0")
    own_world.end_lease()
    own_world.run()
    own_world.check()


def test_read_only(own_world: World) -> None:
    own_world.publish(events(60))
    own_world.run()
    own_world.publish(events(60, start=500))
    own_world.redis.replicaof("127.0.0.1", "1")
    assert failure(own_world.run) == ("DATABASE", True)
    own_world.redis.replicaof("NO", "ONE")
    own_world.end_lease()
    own_world.run()
    own_world.check()


def test_cannot_save(own_world: World, own_redis: RedisServer) -> None:
    """MISCONF: snapshots are asked for and fail, so Redis takes no writes."""
    own_world.publish(events(60))
    (own_redis.directory / "dump.rdb").mkdir()
    own_world.redis.config_set("save", "3600 1")
    own_world.redis.bgsave()
    eventually(lambda: own_world.redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        own_world.redis.set("x", "1")
    assert failure(own_world.run) == ("DATABASE", True)
    own_world.redis.config_set("save", "")
    own_world.end_lease()
    own_world.run()
    own_world.check()


class SlowlyLoading(RedisServer):
    def _prepare(self) -> None:
        super()._prepare()
        if self.slowly:
            with (self.directory / "redis.conf").open("a") as config:
                config.write("key-load-delay 100000\nloading-process-events-interval-bytes 1024\n")

    slowly = False


def test_still_loading(tmp_path_factory: pytest.TempPathFactory, neo4j_server: Neo4jServer, world: World) -> None:
    server = SlowlyLoading(tmp_path_factory.mktemp("redis"), usual_port=False)
    try:
        server.start()
        with open_clients(server.url, neo4j_server.url) as clients:
            ours = World(clients, (server.url, neo4j_server.url), batch_size=50)
            ours.publish(events(200))
            ours.redis.mset({f"ballast:{n}": os.urandom(2_000) for n in range(200)})
            ours.redis.bgrewriteaof()  # the delay is for keys, not for commands
            eventually(lambda: ours.redis.info("persistence")["aof_base_size"] > 0)
            server.kill()
            server.slowly = True
            starting = threading.Thread(target=server.start)
            starting.start()
            while (found := failure(ours.run)) == ("NETWORK", True):
                assert starting.is_alive()
            assert found == ("DATABASE", True)
            ours.redis.config_set("key-load-delay", 0)  # it would take 20 s
            starting.join()
            ours.end_lease()
            ours.run()
            ours.check()
    finally:
        server.stop()


# --- M2: a backlog after an outage -------------------------------------------------------
def test_a_backlog_is_worked_off_in_bounded_runs(world: World) -> None:
    world.publish(events(6_000))
    world.publish_bad(BAD)
    done, runs = 0, 0
    drained = False
    while not drained:
        # No time at all: one batch.
        result = world.run(time_budget_s=1e-9, batch_size=1_000)["update"]
        assert 0 < result["read"] <= 1_000
        done, runs, drained = done + result["read"], runs + 1, result["drained"]
    assert done == 6_000 + len(BAD)
    assert runs == 7
    world.check()

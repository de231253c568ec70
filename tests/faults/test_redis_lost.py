"""R2, R3: Redis loses the group, the stream, its newest entries or some in between; what is gone is counted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from include.organism.stream import StreamId
from local.servers import RedisServer
from tests.faults.fixtures import Rig
from tests.faults.workers import Workers
from tests.faults.world import BAD, World, events

pytestmark = pytest.mark.servers


# --- restarts and lost data -----------------------------------------------------------
def test_killed_in_mid_drain_and_restarted_with_its_data(
    own_world: World, own_redis: RedisServer, workers: Workers
) -> None:
    own_world.publish(events(300))
    own_world.publish_bad(BAD)
    worker = workers.start(own_world, "same", fault="update.before_write:hang:3", max_unacknowledged=60)
    worker.wait_stopped()
    own_redis.kill()
    worker.wake()
    assert worker.wait() == 1
    assert worker.error_class == "NETWORK"
    own_redis.start()
    assert len(own_world.pending()) >= 50  # what was read and not committed
    own_world.run("same")
    own_world.check()


def test_restarted_without_its_data(own_world: World, own_redis: RedisServer) -> None:
    own_world.publish(events(200))
    own_world.run()
    unread = own_world.publish(events(30, start=500))
    own_redis.kill()
    shutil.rmtree(own_redis.directory)
    own_redis.start()
    own_world.publish(events(70, start=900))
    assert own_world.run()["fetch"]["healed"] == ["group_recreated", "redis_went_back"]
    # No run ever saw them: nobody can know that they existed.
    for entry in unread:
        del own_world.valid[entry]
    own_world.check()
    own_world.publish(events(50, start=2_000))
    assert own_world.run()["fetch"]["healed"] == []
    own_world.check()


def test_emptied_in_mid_drain(world: World, workers: Workers) -> None:
    entries = world.publish(events(300))
    worker = workers.start(world, "same", fault="update.before_write:hang:4")
    worker.wait_stopped()
    world.redis.delete(world.stream)
    world.publish(events(80, start=900))
    worker.wake()
    assert worker.wait() == 1
    assert worker.error_class == "DATABASE"
    world.run("same")
    watermark = world.ledger().watermark
    assert watermark > StreamId.parse(entries[-1])
    # What was committed before and while the stream went: whole batches of 50.
    applied = world.ledger().totals.read - 80
    assert applied in {150, 200, 250}
    for entry in entries[applied:]:
        del world.valid[entry]
    world.lost = world.ledger().totals.lost
    world.check()


@pytest.mark.parametrize("new", [0, 10, 90])
def test_restored_from_an_older_snapshot(own_world: World, own_redis: RedisServer, tmp_path: Path, new: int) -> None:
    own_world.publish(events(100))
    own_world.run()
    again = own_world.publish(events(40, start=200))  # unread in the snapshot
    shutil.copytree(own_redis.directory, tmp_path / "snapshot")
    own_world.run()
    own_world.publish(events(60, start=300))  # gone with the snapshot, but in the graph
    own_world.run()
    own_redis.kill()
    shutil.rmtree(own_redis.directory)
    shutil.copytree(tmp_path / "snapshot", own_redis.directory)
    own_redis.start()
    own_world.publish(events(new, start=400))
    healed = own_world.run()["fetch"]["healed"]
    assert healed == {0: ["stream_lifted", "redis_went_back"], 10: ["redis_went_back"], 90: []}[new]
    own_world.check(redelivered=len(again))
    own_world.publish(events(70, start=900))
    assert own_world.run()["fetch"]["healed"] == []
    own_world.check(redelivered=len(again))


def test_emptied_and_filled_by_a_server_whose_clock_is_behind(world: World) -> None:
    """The new ids lie below the watermark and must not count as done."""
    world.publish(events(100))
    world.run()
    world.redis.delete(world.stream)
    behind = world.ledger().watermark.ms - 60_000
    for number, message in enumerate(events(30, start=500)):
        [entry_id] = world.add([[part.encode() for pair in message.items() for part in pair]], f"{behind + number}-0")
        world.valid[entry_id] = message
    world.run()
    world.check()
    # From now on Redis gives no id that counts as done, whatever its clock says.
    with pytest.raises(redis.ResponseError, match="equal or smaller than the target stream top item"):
        world.add([[b"id", b"x"]], f"{behind + 1_000}-0")
    world.publish(events(60, start=900))
    world.run()
    world.check()


def test_emptied_and_a_producer_is_faster_than_the_healing(rig: Rig) -> None:
    world = rig.world
    world.publish(events(70))
    rig.run()
    world.redis.delete(world.stream)
    rig.redis.before(b"XSETID", lambda: world.publish(events(30, start=500)))
    assert rig.run()["fetch"]["healed"] == ["group_recreated", "stream_lifted", "redis_went_back"]
    rig.run()
    world.check()


# --- the group ------------------------------------------------------------------------
def test_group_destroyed_between_runs(world: World) -> None:
    world.publish(events(100))
    world.run()
    world.publish(events(70, start=200))
    world.redis.xgroup_destroy(world.stream, world.settings.group)
    assert world.run()["fetch"]["healed"] == ["group_recreated"]
    world.check()
    assert world.run()["fetch"]["healed"] == []


def test_group_destroyed_in_mid_drain(world: World, workers: Workers) -> None:
    """What was read and not committed is read again, what was committed and not acknowledged is not."""
    world.publish(events(300))
    worker = workers.start(world, "same", fault="update.before_write:hang:3")
    worker.wait_stopped()
    world.redis.xgroup_destroy(world.stream, world.settings.group)
    worker.wake()
    assert worker.wait() == 1
    assert worker.error_class == "DATABASE"
    assert world.run("same")["fetch"]["healed"] == ["group_recreated"]
    world.check()


def test_group_set_back_to_the_beginning(world: World) -> None:
    """Everything comes again; the event ids tell that it was applied."""
    world.publish(events(120))
    world.run()
    world.new_group("0")
    world.publish(events(40, start=500))
    world.run()
    world.check(redelivered=120)
    # Counting goes on from here.
    world.forget(world.publish(events(9, start=900)))
    world.redis.xtrim(world.stream, 0, approximate=False)
    world.run()
    world.check(redelivered=120)


def test_group_set_forward_past_unread_entries(world: World) -> None:
    world.publish(events(60))
    world.run()
    world.forget(world.publish(events(25, start=500)))
    world.new_group("$")
    result = world.run()
    assert result["update"]["lost"] == 25
    world.check()


# --- trimmed and deleted entries --------------------------------------------------------
def test_unread_entries_trimmed(world: World) -> None:
    world.publish(events(120))
    world.run()
    entries = world.publish(events(100, start=300))
    world.redis.xtrim(world.stream, 30, approximate=False)
    world.forget(entries[:70])
    result = world.run()["update"]
    assert (result["read"], result["lost"]) == (30, 70)
    world.check()
    assert world.run()["update"]["lost"] == 0
    world.check()


def test_pending_entries_trimmed(world: World, workers: Workers) -> None:
    entries = world.publish(events(200))
    workers.start(world, "same", fault="update.before_write:kill:2").wait()
    # One batch in the graph, one checked, and perhaps one read ahead.
    assert world.pending() in (entries[:100], entries[:150])
    world.redis.xtrim(world.stream, 80, approximate=False)
    world.forget(entries[50:120])
    result = world.run("same")["update"]
    assert result["lost"] == 70
    world.check()
    assert world.run()["update"]["lost"] == 0
    world.check()


def test_single_entries_deleted(world: World, workers: Workers) -> None:
    entries = world.publish(events(200))
    workers.start(world, "same", fault="update.before_write:kill:2").wait()
    gone = [entries[3], entries[60], entries[61], entries[149], entries[150], entries[199]]
    world.redis.xdel(world.stream, *gone)
    world.forget(gone[1:])  # the first one is in the graph
    world.run("same")
    world.check()


def test_trimming_what_is_processed_loses_nothing(world: World) -> None:
    for part in range(3):
        world.publish(events(40, start=part * 100))
        world.run()
        world.redis.xtrim(world.stream, 0, approximate=False)
        world.run()
    world.check()


def test_entries_trimmed_before_the_first_run_are_not_ours(world: World) -> None:
    for entry in world.publish(events(50)):
        del world.valid[entry]
    world.redis.xtrim(world.stream, 0, approximate=False)
    world.publish(events(20, start=100))
    world.run()
    world.check()


def test_a_long_backlog_is_counted_when_it_is_drained(world: World) -> None:
    """While thousands are unread nobody can say how many are gone; afterwards the number is exact."""
    world.publish(events(10))
    world.run()
    entries = world.publish(events(3_000, start=1_000))
    world.redis.xtrim(world.stream, 2_500, approximate=False)
    world.forget(entries[:500])
    result = world.run(time_budget_s=1e-9)["update"]
    assert (result["drained"], result["lost"]) == (False, 0)
    assert world.run(batch_size=1_000)["update"]["lost"] == 500
    world.check()


def test_producers_at_work_make_no_false_loss(make_world: Callable[..., World]) -> None:
    world, enough = make_world(batch_size=50), threading.Event()

    def produce(who: int) -> None:
        number = 0
        while not enough.wait(0.05):
            world.publish(events(number % 7 + 1, start=who * 100_000 + number * 10))
            number += 1

    producers = [threading.Thread(target=produce, args=[who]) for who in range(2)]
    for producer in producers:
        producer.start()
    try:
        results = [world.run(time_budget_s=2)["update"] for _ in range(4)]
    finally:
        enough.set()
        for producer in producers:
            producer.join()
    results.append(world.run()["update"])
    assert results[-1]["drained"]
    assert [result["lost"] for result in results] == [0] * 5
    world.valid = dict(sorted(world.valid.items(), key=lambda item: StreamId.parse(item[0])))
    world.check()
    world.forget(world.publish(events(33, start=900_000)))
    world.redis.xtrim(world.stream, 0, approximate=False)
    world.run()
    world.check()


def test_a_graph_from_an_older_backup_shows_as_lost_entries(world: World) -> None:
    """The graph lacks what came after the backup, while Redis holds it as acknowledged."""
    world.publish(events(80))
    world.run()
    backup = dict(world.driver.execute_query("MATCH (l:StreamLedger) RETURN l").records[0]["l"])
    world.publish(events(30, start=500))
    world.run()
    world.driver.execute_query("MATCH (l:StreamLedger) SET l = $backup", backup=backup)
    assert world.run()["update"]["lost"] == 30

"""Entries that other consumers left pending are taken over and applied once, wherever the watermark is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.organism.deadletter import DeadLetters
from tests.faults.workers import Workers
from tests.faults.world import World, event, events

pytestmark = pytest.mark.servers

HOUR_MS = 3_600_000


def read_as(world: World, consumer: str | bytes, count: int) -> None:
    """Another program of the same group reads and never acknowledges."""
    world.redis.execute_command(
        "XREADGROUP", "GROUP", world.settings.group, consumer, "COUNT", count, "STREAMS", world.stream, ">"
    )


def prepare(world: World, foreign: int = 60) -> list[bytes]:
    """Some entries are with an old worker, and the watermark has passed them."""
    world.run()
    entries = world.publish(events(foreign))
    read_as(world, "old-worker", foreign)
    world.publish(events(70, start=500))
    result = world.run(claim_idle_s=3_600)
    assert (result["fetch"]["claimed"], result["update"]["read"], result["update"]["lost"]) == (0, 70, 0)
    assert world.pending() == entries
    return entries


def test_taken_over_below_the_watermark(world: World) -> None:
    prepare(world)
    result = world.run(claim_idle_s=0)
    assert (result["fetch"]["claimed"], result["update"]["read"], result["update"]["acknowledged"]) == (60, 60, 60)
    world.check()
    assert world.run(claim_idle_s=0)["fetch"]["claimed"] == 0


def test_taken_over_before_anything_else_was_read(world: World) -> None:
    world.run()
    world.publish(events(60))
    read_as(world, "old-worker", 30)
    world.run(claim_idle_s=0)
    world.check()


def test_their_ids_are_remembered_for_the_whole_window(make_world: Callable[..., World]) -> None:
    """Also when they lie ahead of the watermark, as before the first run of all."""
    world = make_world(dedupe_window_h=1.0)
    world.run()
    world.publish(events(20))
    read_as(world, "old-worker", 20)
    world.run(claim_idle_s=0)
    world.publish(events(5, start=100))
    world.run()
    world.publish(events(20))  # the producer sends them again
    world.run()
    world.check()
    assert world.ledger().totals.duplicates == 20


@pytest.mark.parametrize(
    ("fault", "redelivered"),
    [
        ("stream.after_claim:kill", 0),
        ("graph.in_transaction:kill", 0),
        ("drain.late_committed:kill", 50),
        ("stream.after_ack:kill", 0),
        ("drain.late_committed:kill:2", 10),
    ],
)
def test_killed_while_taking_over(world: World, workers: Workers, fault: str, redelivered: int) -> None:
    prepare(world)
    assert workers.start(world, "same", fault=fault, claim_idle_s=0).wait() == -9
    world.publish(events(20, start=900))
    world.run("same")
    world.check(redelivered=redelivered)


def test_events_that_were_applied_through_another_entry(world: World) -> None:
    world.run()
    world.publish(events(30))
    read_as(world, "old-worker", 30)
    world.publish(events(40))  # the producer sends them again, and ten more
    world.run(claim_idle_s=3_600)
    world.run(claim_idle_s=0)
    world.check()
    assert world.ledger().totals.duplicates == 30


def test_bad_messages_among_them(world: World) -> None:
    world.run()
    world.publish(events(10))
    world.publish_bad([[b"a", b"1"], [b"b", b"2"]])
    world.publish(events(10, start=50))
    read_as(world, "old-worker", 22)
    world.publish(events(5, start=90))
    world.run(claim_idle_s=3_600)
    world.run(claim_idle_s=0)
    world.check()


def test_deleted_ones_are_lost_and_counted_once(world: World) -> None:
    entries = prepare(world)
    gone = [entries[0], *entries[20:25], entries[59]]
    world.redis.xdel(world.stream, *gone)
    world.forget(gone)
    result = world.run(claim_idle_s=0)
    assert (result["fetch"]["claimed"], result["update"]["lost"]) == (53, 7)
    world.check()
    world.run(claim_idle_s=0)
    world.check()


def test_a_consumer_at_work_is_left_alone(world: World) -> None:
    entries = prepare(world)
    world.publish(events(20, start=900))
    world.run(claim_idle_s=3_600)
    assert world.pending("old-worker") == entries
    assert world.ledger().totals.lost == 0


def test_many_consumers_with_odd_names(world: World) -> None:
    world.run()
    world.publish(events(90))
    for name in (b"\xff\xfe", "ünï cödé".encode(), b"a b", b"0"):
        read_as(world, name, 20)
    assert world.run(claim_idle_s=0)["fetch"]["claimed"] == 80
    world.check()


def test_what_is_older_than_the_remembered_ids_is_for_a_person(make_world: Callable[..., World]) -> None:
    """Nobody can tell whether it was applied: it goes to the dead letters, and a replay counts it."""
    world = make_world(batch_size=50, dedupe_window_h=1.0)
    world.run()
    now = world.clients.stream(world.settings).time_ms()
    for number, age in enumerate([3.0, 2.0, 0.9]):
        message = event(number, "ann", "bob", weight=str(number + 1))
        flat = [part.encode() for pair in message.items() for part in pair]
        [entry_id] = world.add([flat], f"{now - round(age * HOUR_MS)}-0")
        world.valid[entry_id] = message
        if age > 1:
            world.bad[entry_id] = flat
            del world.valid[entry_id]
    read_as(world, "old-worker", 3)
    world.publish(events(20, start=100))
    world.run(claim_idle_s=3_600)
    world.run(claim_idle_s=0)
    world.check()
    letters = world.letters()
    assert {letter.code for letter in letters} == {"ambiguous_redelivery"}
    assert letters[0].reason.startswith("delivered again more than 1 hours after its time")
    dead = DeadLetters(world.redis, world.settings)
    assert all(dead.replay(letter) for letter in letters)
    assert world.run()["update"]["written"] == 2


def test_a_long_list_respects_the_time_budget(make_world: Callable[..., World]) -> None:
    world = make_world(batch_size=20)
    world.run()
    world.publish(events(400))
    read_as(world, "old-worker", 400)
    world.publish(events(100, start=900))
    result = world.run(claim_idle_s=0, time_budget_s=1e-9)["update"]
    assert (result["drained"], result["read"]) == (False, 20)  # one batch, however little time there is
    world.run()
    world.check()

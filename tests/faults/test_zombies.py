"""W2: a writer that was given up goes on later. It writes nothing, and nothing is lost by it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from include.operations.errors import LeaseHeld
from include.organism import update
from include.organism.cache import employee_key
from include.organism.deadletter import DeadLetters
from include.organism.drain import Drain
from tests import oracle
from tests.faults.workers import Worker, Workers
from tests.faults.world import BAD, STEPS, World, event, events

pytestmark = pytest.mark.servers


def stopped_worker(world: World, workers: Workers, run: str, fault: str) -> Worker:
    worker = workers.start(world, run, fault=fault)
    worker.wait_stopped()
    return worker


def assert_fenced(zombie: Worker, world: World, error: tuple[str, str] = ("LeaseLost", "VALIDATION")) -> None:
    """Woken up, it ends with the error and has not changed anything."""
    before, graph = world.ledger(), oracle.read_graph(world.driver)
    zombie.wake()
    assert zombie.wait() == 1
    assert (zombie.error, zombie.error_class) == error
    assert world.ledger() == before
    assert oracle.differences(oracle.read_graph(world.driver), graph) == []


@pytest.mark.parametrize("nth", [1, 3])
def test_stopped_between_batches_and_taken_over_by_its_own_next_try(world: World, workers: Workers, nth: int) -> None:
    world.publish(events(150))
    world.publish_bad(BAD)
    world.publish(events(150, start=150))
    zombie = stopped_worker(world, workers, "same", f"update.before_write:hang:{nth}")
    world.publish(events(30, start=1_000))
    world.run("same")
    world.check()
    assert_fenced(zombie, world)
    world.run()
    world.check()


def test_stopped_between_batches_and_taken_over_by_another_run(
    make_world: Callable[..., World], workers: Workers
) -> None:
    world = make_world(batch_size=50)
    world.publish(events(300))
    zombie = stopped_worker(world, workers, "first", "update.before_write:hang:3")
    with pytest.raises(LeaseHeld, match="run first writes"):
        world.run("second")
    # It has not long to live any more; by the server's clock, as the lease itself.
    records, _, _ = world.driver.execute_query(
        "MATCH (l:StreamLedger) SET l.lease_until = timestamp() + 1500 RETURN l.lease_until AS until"
    )
    world.run("second", lease_wait_s=60)
    records += world.driver.execute_query("RETURN timestamp() AS now").records
    assert records[1]["now"] >= records[0]["until"], "the lease was waited for"
    world.check()
    assert_fenced(zombie, world)
    world.check()


def test_fenced_as_soon_as_the_lease_is_taken(world: World, workers: Workers) -> None:
    """The ledger still stands where the zombie's batch begins: only the epoch tells."""
    world.publish(events(100))
    zombie = stopped_worker(world, workers, "first", "update.before_write:hang")
    world.end_lease()
    world.run("second", steps=["fetch"])
    assert_fenced(zombie, world)
    world.run("second")
    world.check()


def test_fenced_while_taking_over_old_entries(make_world: Callable[..., World], workers: Workers) -> None:
    """Entries out of order do not depend on where the ledger stands: only the epoch tells."""
    world = make_world(batch_size=50)
    world.run()
    world.publish(events(100))
    world.redis.xreadgroup(world.settings.group, "old-worker", {world.stream: ">"})
    zombie = workers.start(world, "same", fault="drain.late_committed:hang", claim_idle_s=0)
    zombie.wait_stopped()
    world.run("same")
    world.check(redelivered=50)
    assert_fenced(zombie, world)
    world.check(redelivered=50)


def test_stopped_inside_the_transaction(make_world: Callable[..., World], workers: Workers) -> None:
    """Its open transaction holds the ledger's lock until the server ends it with the lease."""
    world = make_world(batch_size=50)
    world.publish(events(300))
    zombie = workers.start(world, "same", fault="graph.in_transaction:hang:2", lease_ttl_s=5.0)
    zombie.wait_stopped()
    start = time.monotonic()
    world.run("same")
    assert time.monotonic() - start < 60, "its own lease's 5 s, or the usual 90"
    world.check()
    # The server has ended its transaction, which is all it can know.
    assert_fenced(zombie, world, ("ClientError", "TIMEOUT"))
    world.check()


def test_a_zombie_that_reads_new_entries_takes_none_away(world: World, workers: Workers) -> None:
    """It reads under the same consumer name before it learns that it lost the lease."""
    world.publish(events(150))
    zombie = stopped_worker(world, workers, "same", "update.before_write:hang")
    world.run("same")
    new = world.publish(events(40, start=500))
    assert_fenced(zombie, world)
    assert world.pending() == new, "the zombie should have read the new entries"
    world.publish(events(80, start=700))
    world.run()
    world.check()


def test_a_zombie_that_goes_on_acknowledging(world: World, workers: Workers) -> None:
    """It acknowledges what it knows to be committed, never what the new writer is working on."""
    world.publish(events(100))
    zombie = workers.start(world, "first", fault="stream.after_ack:hang", page=20)
    zombie.wait_stopped()
    assert len(world.pending()) == 80
    world.end_lease()
    # The new writer has read a batch and not committed it.
    new = world.publish(events(50, start=500))
    writer = stopped_worker(world, workers, "second", "update.before_write:hang")
    assert world.pending() == new
    zombie.wake()
    assert zombie.wait() == 0
    assert world.pending() == new
    writer.kill()
    world.run("second")
    world.check()


def test_a_late_invalidation_does_not_hide_what_the_next_run_touches(world: World) -> None:
    """The first run's last step comes while the second run, which took the lease, still writes."""
    world.publish([event(1, "a", "b")])
    first = world.run("first", steps=STEPS[:3])
    world.end_lease()
    second = world.run("second", steps=STEPS[:2])
    world.publish([event(2, "c", "d")])
    update.invalidate_cache(world.clients, world.settings, first["fetch"])
    ledger = world.ledger()
    drain = Drain(
        world.clients.stream(world.settings),
        world.clients.graph(world.settings),
        DeadLetters(world.redis, world.settings),
        world.settings,
        ledger,
    )
    assert drain.run()
    world.redis.set(employee_key("c"), "old")
    update.invalidate_cache(world.clients, world.settings, second["fetch"])
    assert not world.redis.exists(employee_key("c"))


def test_two_runs_at_once_by_different_ids(world: World, workers: Workers) -> None:
    """W4: while one drains, the other waits for the lease or is told to go."""
    world.publish(events(400))
    world.publish_bad(BAD)
    first = stopped_worker(world, workers, "first", "update.before_write:hang:4")
    patient = workers.start(world, "third", lease_wait_s=60)
    refused = workers.start(world, "second")
    assert refused.wait() == 1
    assert (refused.error, refused.error_class) == ("LeaseHeld", "DATABASE")
    assert not patient.ended
    first.wake()
    assert (first.wait(), patient.wait()) == (0, 0)
    assert patient.result("update")["read"] == 0
    world.check()


@pytest.mark.parametrize("ids", ["one", "many"])
def test_many_runs_at_once(world: World, workers: Workers, ids: str) -> None:
    """Tries of one run fence each other off; different runs wait. Nothing is lost or doubled."""
    running = []
    for part in range(4):
        world.publish(events(150, start=part * 120))
        world.publish_bad(BAD[:2])
        running.append(workers.start(world, f"run {ids if ids == 'one' else part}", batch_size=15, lease_wait_s=60))
    for worker in running:
        # A lock that a busy server did not give within the driver's patience: Airflow would try again, as below.
        assert worker.wait() == 0 or worker.error in {"LeaseLost", "TransientError"}, worker.said
    world.run("run one")
    world.check()

"""W1: the task's process is killed with SIGKILL in every phase; the next run makes it good."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import pytest

from include.organism import update
from include.organism.cache import GRAPH_STATS, employee_key
from tests import oracle
from tests.faults.workers import Workers
from tests.faults.world import BAD, STEPS, World, events

pytestmark = pytest.mark.servers

SIGKILLED = -9


def fill(world: World, count: int = 400) -> None:
    """Valid, repeated and bad messages, several batches of them."""
    messages = events(count)
    world.publish_bad(BAD[:3])
    world.publish(messages[: count // 2])
    world.publish_bad(BAD[3:])
    world.publish(messages[count // 4 :])


@pytest.mark.parametrize(
    "fault",
    [
        "update.before_write:kill",
        "update.before_write:kill:4",
        "graph.in_transaction:kill",
        "graph.in_transaction:kill:3",
        "update.after_commit:kill",
        "update.after_commit:kill:3",
        "stream.after_ack:kill",
        "stream.after_ack:kill:4",
        "cache.before_mark:kill",
    ],
)
def test_killed_at(world: World, workers: Workers, fault: str) -> None:
    fill(world)
    run = world.new_run()
    assert workers.start(world, run, fault=fault, page=90).wait() == SIGKILLED
    world.run(run)
    world.check()
    assert world.run()["update"]["read"] == 0


@pytest.mark.parametrize("steps", [STEPS[:1], STEPS[:2], STEPS[:3]], ids=["fetch", "update", "acknowledge"])
def test_killed_after_a_step(world: World, workers: Workers, steps: tuple[str, ...]) -> None:
    fill(world)
    assert workers.start(world, steps=steps, die=True).wait() == SIGKILLED
    world.end_lease()
    world.run()
    world.check()


def test_killed_while_it_acknowledges_in_the_middle_of_a_long_drain(world: World, workers: Workers) -> None:
    fill(world)
    run = world.new_run()
    assert workers.start(world, run, fault="stream.after_ack:kill:2", max_unacknowledged=120).wait() == SIGKILLED
    assert 0 < len(world.pending()) < 500
    world.run(run)
    world.check()


def test_nothing_is_acknowledged_before_its_commit(world: World, workers: Workers) -> None:
    """I2: what is neither pending nor unread is in the graph, whenever one looks."""
    fill(world)
    for fault in ("graph.in_transaction:kill:2", "update.after_commit:kill:2", "stream.after_ack:kill:2"):
        worker = workers.start(world, fault=fault, page=60, max_unacknowledged=100)
        assert worker.wait() == SIGKILLED
        watermark = world.ledger().watermark
        waiting = {*world.pending(), *unread(world)}
        acknowledged = [entry for entry in world.valid if entry not in waiting]
        assert all(tuple(map(int, entry.split(b"-"))) <= watermark for entry in acknowledged)
        in_graph = [
            message for entry, message in world.valid.items() if tuple(map(int, entry.split(b"-"))) <= watermark
        ]
        world.check_against(oracle.expected(in_graph), edges_only=True)
        world.end_lease()
    world.run()
    world.check()


def unread(world: World) -> list[bytes]:
    group = world.redis.xinfo_groups(world.stream)[0]
    return [entry_id for entry_id, _ in world.redis.xrange(world.stream, b"(" + group["last-delivered-id"])]


def test_a_run_killed_before_the_cache_mark_still_invalidates(world: World, workers: Workers) -> None:
    world.publish(events(60))
    people = oracle.expected(world.valid.values()).people
    run = world.new_run()
    assert workers.start(world, run, fault="update.after_commit:kill:2").wait() == SIGKILLED
    keys = [employee_key(person) for person in people] + [GRAPH_STATS]
    for key in keys:
        world.redis.set(key, "old")
    assert workers.start(world, run, fault="cache.before_mark:kill").wait() == SIGKILLED
    assert world.redis.exists(*keys) == 0
    for key in keys:
        world.redis.set(key, "filled again from the old graph")
    assert world.run(run)["invalidate"]["deleted"] == len(keys)
    assert world.redis.exists(*keys) == 0


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_times(make_world: Callable[..., World], workers: Workers, seed: int) -> None:
    chance = random.Random(seed)
    world = make_world(batch_size=chance.choice([7, 20, 60]), max_unacknowledged=chance.choice([50, 200]))
    kills, longest = 0, 0.5
    for part in itertools.count():
        if part >= 8 and kills > 2:
            break
        world.publish(events(chance.randrange(100, 500), start=part * 300))
        world.publish_bad(BAD[:2])
        worker = workers.start(world, "always the same", page=chance.choice([20, 10_000]))
        assert worker.pid
        time.sleep(chance.uniform(0.0, longest))  # the random moment of the kill, not a wait for something
        if worker.kill():
            kills += 1
        else:
            longest /= 2  # a machine so fast is to be met in the middle of its work, too
    world.run("always the same")
    world.check()


def test_real_mails_with_kills(make_world: Callable[..., World], workers: Workers) -> None:
    world = make_world(batch_size=500, max_unacknowledged=2_000)
    world.publish(oracle.mails()[:12_000])
    for batches in (3, 5, 2, 7):
        fault = f"graph.in_transaction:kill:{batches}"
        assert workers.start(world, "mails", fault=fault).wait() == SIGKILLED
    world.run("mails")
    world.check()


def test_the_results_of_all_tries_are_one_runs_figures(world: World, workers: Workers) -> None:
    """The second try's result also covers what the killed first try had committed."""
    fill(world)
    run = world.new_run()
    manifest = world.run(run, steps=["fetch"])["fetch"]
    assert workers.start(world, run, fault="update.after_commit:kill:4").wait() == SIGKILLED
    assert world.ledger().totals.read >= 200
    result = update.update_graph(world.clients, world.settings, manifest)
    assert result["read"] == len(world.valid) + len(world.bad)
    assert result["people_touched"] == len(oracle.expected(world.valid.values()).people)

"""Cached figures of everyone touched, and of everyone next to them, are deleted after the commit."""

from __future__ import annotations

import pytest

from include.organism.cache import GRAPH_STATS, employee_key
from tests.faults.world import World, event

pytestmark = pytest.mark.servers


def cache(world: World, *people: str) -> None:
    for key in [*map(employee_key, people), GRAPH_STATS]:
        world.redis.set(key, "old")


def cached(world: World, *people: str) -> set[str]:
    names = {employee_key(person): person for person in people} | {GRAPH_STATS: "stats"}
    return {name for key, name in names.items() if world.redis.exists(key)}


def test_touched_people_and_their_neighbours(world: World) -> None:
    world.publish([event(1, "a", "b"), event(2, "c", "b"), event(3, "d", "c"), event(4, "x", "y")])
    world.run()
    cache(world, "a", "b", "c", "d", "x", "y")
    world.publish([event(5, "b", "a")])
    result = world.run()["invalidate"]
    assert result == {"people": 3, "deleted": 4}
    assert cached(world, "a", "b", "c", "d", "x", "y") == {"d", "x", "y"}


def test_nothing_touched_nothing_deleted(world: World) -> None:
    world.publish([event(1, "a", "b")])
    world.run()
    cache(world, "a", "b")
    world.publish([event(1, "a", "b"), event(2, "SYSTEM", "a"), event(3, "a", "a")])
    assert world.run()["invalidate"] == {"people": 0, "deleted": 0}
    assert cached(world, "a", "b") == {"a", "b", "stats"}


def test_more_people_than_one_command_takes(world: World) -> None:
    people = [f"p{number}" for number in range(2_500)]
    world.publish([event(number, "hub", person) for number, person in enumerate(people)])
    cache(world, *people)
    assert world.run()["invalidate"] == {"people": 2_501, "deleted": 2_501}
    assert cached(world, *people) == set()


def test_a_run_that_ends_before_its_last_step_leaves_it_to_the_next(world: World) -> None:
    world.publish([event(1, "a", "b")])
    world.run(steps=["fetch", "update", "acknowledge"])
    cache(world, "a", "b")
    world.end_lease()
    world.publish([event(2, "c", "d")])
    world.run()
    assert cached(world, "a", "b") == set()

"""M2: a large backlog takes time, not memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.workers import Workers
from tests.faults.world import World

pytestmark = pytest.mark.servers

SMALL, LARGE, CHUNK = 10_000, 200_000, 10_000
CLAIM = "XREADGROUP GROUP {} old-worker COUNT {} STREAMS {} >"


def publish(world: World, count: int) -> None:
    """Events among 300 people; every five hundredth is bad."""
    for start in range(0, count, CHUNK):
        world.add(message(number) for number in range(start, start + CHUNK))


def message(number: int) -> list[bytes]:
    people = b"p%d" % (number % 300), b"p%d" % (number * number % 300 + 1)
    kind = b"slack_message" if number % 500 else b""
    return [b"id", b"m%d" % number, b"source", people[0], b"target", people[1], b"type", kind, b"timestamp", b"1.7e9"]


@pytest.mark.parametrize("late", [False, True], ids=["new", "late"])
def test_flat_memory(make_world: Callable[..., World], workers: Workers, late: bool) -> None:
    peaks = []
    for count in (SMALL, LARGE if not late else LARGE // 2):
        world = make_world()
        publish(world, count)
        if late:
            world.run(steps=["fetch", "invalidate"])
            world.redis.execute_command(*CLAIM.format(world.settings.group, count, world.stream).split())
        worker = workers.start(world, claim_idle_s=0)
        assert worker.wait(150) == 0
        result = worker.result("update")
        assert (result["read"], result["dead"], result["drained"]) == (count, count // 500, True)
        peaks.append(worker.peak_mb)
    assert peaks[1] < peaks[0] * 1.2, f"peaks in MB: {peaks}"

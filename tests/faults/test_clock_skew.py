"""C1 on real servers: this machine's clock an hour ahead or behind changes nothing; the far future is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from include.organism.stream import StreamId
from tests.faults.world import World, event, events

pytestmark = pytest.mark.servers
HOUR_S = 3600


@pytest.mark.parametrize("skew_s", [HOUR_S, -HOUR_S])
def test_the_watermark_and_the_limits_come_from_the_servers(
    world: World, monkeypatch: pytest.MonkeyPatch, skew_s: int
) -> None:
    tolerance_s = world.settings.future_tolerance_s
    seconds, _ = world.redis.time()
    real: Callable[[], float] = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew_s)
    ids = world.publish(events(50))
    # Half an hour on either side of the limit: the skew would decide, if it were asked.
    world.publish([event("soon", timestamp=str(seconds + tolerance_s - HOUR_S // 2))])
    world.add(
        [[b"id", b"far", b"source", b"a", b"target", b"b", b"type", b"email", b"timestamp", late(seconds, tolerance_s)]]
    )
    world.run()
    (letter,) = world.letters()
    assert letter.code == "future_timestamp"
    assert world.ledger().watermark > StreamId.parse(ids[-1]), "an id that Redis gave, whatever the time is here"
    assert world.pending() == []
    world.check_graph()
    again = world.run()
    assert again["update"]["read"] == 0


def late(seconds: int, tolerance_s: float) -> bytes:
    return str(seconds + int(tolerance_s) + HOUR_S // 2).encode()

"""Whatever comes in, the graph is what an independent recomputation of all valid events gives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.faults.world import World, event, events

pytestmark = pytest.mark.servers

NAMES = ["ann", "bob", "Çelik", "山田", "7", "o'brien", "x" * 100, "SYSTEM", "dot.com"]
PEOPLE = st.sampled_from(NAMES)
TARGETS = PEOPLE | st.lists(PEOPLE, min_size=1, max_size=5).map(json.dumps) | st.just("[7, 8, 9007199254740993]")
WEIGHTS = (
    st.floats(0, 100).map(repr)
    | st.integers(0, 100).map(str)
    | st.sampled_from(["1e1", "0.10", "-0.0", " 5 ", "1e-300"])
)
SECONDS = (
    st.integers(1_690_000_000, 1_700_000_000).map(str)
    | st.integers(0, 1_700_000_000_000).map(lambda ms: f"{ms // 1000}.{ms % 1000:03}")
    | st.sampled_from(["0", "1.7e9", "1700000000"])
)
ISO = st.builds(
    lambda ms, zone: (datetime(2023, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone).isoformat(),
    st.integers(0, 60_000_000_000),
    st.sampled_from([UTC, None, datetime.strptime("+05:30", "%z").tzinfo]),
).filter(lambda text: "+" in text)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 30).map(str),
        "source": PEOPLE,
        "target": TARGETS,
        "type": st.sampled_from(["slack_message", "jira_action", "calendar_event", "email", "Überstunden"]),
        "timestamp": SECONDS | ISO,
    },
    optional={"weight": WEIGHTS, "metadata": st.sampled_from(["{}", '{"channel": "dev", "n": [1, null]}'])},
)
BAD = st.sampled_from(
    [
        [b"id", b"1", b"source", b"a", b"target", b"[", b"type", b"email", b"timestamp", b"1"],
        [b"id", b"2", b"source", b"a\xff", b"target", b"b", b"type", b"email", b"timestamp", b"1"],
        [b"id", b"3", b"source", b"a", b"target", b"b", b"type", b"email", b"timestamp", b"1e99"],
        [b"hello", b"world"],
    ]
)
RUNS = st.lists(st.tuples(st.lists(EVENTS | BAD, max_size=25), st.integers(1, 12)), min_size=1, max_size=4)


# Without shrinking: against real servers it takes minutes.
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(runs=RUNS)
@example(runs=[([event(1, "a", "b", weight="0"), event(2, "a", "b", timestamp="0")], 1)])
@example(runs=[([event(1, "a", "b")], 5), ([event(2, "b", "a"), event(3, "a", "c")], 5)])
def test_random_messages_in_random_runs(
    make_world: Callable[..., World], runs: list[tuple[list[oracle.Event | list[bytes]], int]]
) -> None:
    world = make_world()
    for messages, batch_size in runs:
        for message in messages:
            if isinstance(message, dict):
                world.publish([message])
            else:
                world.publish_bad([message])
        before = len(world.valid) + len(world.bad) - len(messages)
        result = world.run(batch_size=batch_size, max_unacknowledged=batch_size * 2)
        assert result["update"]["read"] == len(messages)
        assert result["update"]["drained"]
        assert result["acknowledge"] | {"lag": 0} == {"acknowledged": len(messages), "pending": 0, "lag": 0}
        assert world.ledger().totals.read == before + len(messages)
    world.check()


@pytest.mark.parametrize("batch_size", [700, 5_000])
def test_real_mails(make_world: Callable[..., World], batch_size: int) -> None:
    mails = oracle.mails()
    # In the order of time, then in no order at all: the result is the same.
    if batch_size != 5_000:
        random.Random(1).shuffle(mails)
        mails = mails[:20_000]
    world = make_world(batch_size=batch_size)
    world.publish(mails[: len(mails) // 3])
    world.run()
    world.publish(mails[len(mails) // 3 :])
    world.publish(mails[:500])  # a producer that repeats itself
    world.run()
    world.check()


def test_the_order_of_events_does_not_matter(make_world: Callable[..., World]) -> None:
    messages, graphs = events(300), []
    for seed in range(3):
        world = make_world(batch_size=40)
        world.publish(random.Random(seed).sample(messages, len(messages)))
        world.run()
        graphs.append(oracle.read_graph(world.driver))
    assert oracle.differences(graphs[0], graphs[1]) == []
    assert oracle.differences(graphs[0], graphs[2]) == []


def test_an_event_counts_once_however_it_is_repeated(world: World) -> None:
    one = event(1, weight="2.5")
    world.publish([one, one])  # in one batch
    world.publish(events(120, start=10))
    world.publish([one])  # in another batch of the same run
    world.run()
    world.publish([one])  # in another run
    world.run()
    world.check()
    assert world.ledger().totals.duplicates == 3


def test_the_first_of_two_events_with_one_id_counts_and_a_bad_one_is_none(world: World) -> None:
    bad = event(1, weight="101")
    world.publish_bad([[part.encode() for pair in bad.items() for part in pair]])
    world.publish([event(1, "ann", "bob", weight="3"), event(1, "eve", "dan", weight="9")])
    world.run()
    world.check()
    assert oracle.read_graph(world.driver).edges.keys() == {("ann", "bob")}


def test_half_life_is_a_setting_and_cannot_change_unseen(make_world: Callable[..., World]) -> None:
    world = make_world(half_life_days=2.0)
    world.publish(events(50))
    world.run()
    world.check()
    with pytest.raises(Exception, match="half-life of 2 days, the setting says 14"):
        world.run(half_life_days=14.0)


def test_degrees_follow_people_who_join(world: World) -> None:
    world.publish([event(1, "a", "b")])
    world.run()
    assert degrees(world) == {"a": (1, 1.0), "b": (1, 1.0)}
    world.publish([event(2, "c", "d"), event(3, "b", "a"), event(4, "a", "c")])
    world.run()
    # a - b, a - c, c - d; the pair that writes both ways counts once
    assert degrees(world) == {"a": (2, 2 / 3), "b": (1, 1 / 3), "c": (2, 2 / 3), "d": (1, 1 / 3)}
    world.driver.execute_query("CREATE (:Employee {id: 'from the roster', degree: 0})")
    world.run()
    assert degrees(world)["a"] == (2, 2 / 4)


def degrees(world: World) -> dict[str, tuple[int, float]]:
    people = oracle.read_graph(world.driver).people
    return {who: (person.degree, person.degree_centrality) for who, person in people.items()}


def test_an_empty_stream_is_no_failure(world: World) -> None:
    result: dict[str, Any] = world.run()
    assert (result["update"]["read"], result["update"]["drained"]) == (0, True)
    assert result["fetch"]["healed"] == ["group_created"]
    assert world.run()["fetch"]["healed"] == []

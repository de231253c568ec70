"""The arithmetic of edges: a batch, and batches merged in any order, give what the formulas say."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.organism.batch import EdgeRow, aggregate, event_digest
from include.organism.messages import Interaction
from tests import oracle

DAY = oracle.DAY_MS
HALF_LIFE = 14.0
PEOPLE = st.sampled_from(["a", "b", "c", "SYSTEM", "é"])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.uuids().map(str),
            "source": PEOPLE,
            "target": PEOPLE,
            "type": st.just("email"),
            "weight": st.floats(0, 100).map(repr),
            "timestamp": st.integers(0, 2_000_000_000_000).map(lambda ms: f"{ms // 1000}.{ms % 1000:03}"),
        }
    ),
    max_size=30,
)


def interaction(event: oracle.Event) -> Interaction:
    return Interaction(
        event["id"].encode(),
        event["source"],
        tuple(sorted(oracle.people_of(event["target"]))),
        float(event["weight"]),
        oracle.time_ms(event["timestamp"]),
    )


def edges(rows: list[EdgeRow]) -> dict[tuple[str, str], oracle.Edge]:
    return {(row[0], row[1]): oracle.Edge(*row[2:]) for row in rows}


def merged(rows: list[EdgeRow]) -> dict[tuple[str, str], oracle.Edge]:
    """What the graph's Cypher does with one row after the other."""
    found: dict[tuple[str, str], oracle.Edge] = {}
    for source, target, *values in rows:
        new = oracle.Edge(*values)
        old = found.get((source, target), oracle.Edge(0, 0.0, 0.0, new.first_at, new.last_at))
        last = max(old.last_at, new.last_at)
        found[source, target] = oracle.Edge(
            old.count + new.count,
            old.weight + new.weight,
            sum(part.recency_weight * 0.5 ** ((last - part.last_at) / (HALF_LIFE * DAY)) for part in (old, new)),
            min(old.first_at, new.first_at),
            last,
        )
    return found


@given(events=EVENTS)
def test_one_batch(events: list[oracle.Event]) -> None:
    batch = aggregate(map(interaction, events), HALF_LIFE * DAY)
    wanted = oracle.expected(events)
    assert oracle.differences(oracle.Graph(edges(batch.edges), {}), oracle.Graph(wanted.edges, {})) == []
    assert (batch.written, dict(batch.skipped) | wanted.skipped) == (wanted.written, wanted.skipped)
    assert {who: pytest.approx(gain, rel=1e-9) for who, gain in batch.people} == {
        who: person.strength for who, person in wanted.people.items()
    }
    # Writers lock in one order.
    assert batch.edges == sorted(batch.edges)
    assert batch.people == sorted(batch.people)


@given(events=EVENTS, seed=st.integers(0, 99), size=st.integers(1, 7))
def test_batches_in_any_order(events: list[oracle.Event], seed: int, size: int) -> None:
    random.Random(seed).shuffle(events)
    parts = [events[start : start + size] for start in range(0, len(events), size)]
    rows = [row for part in parts for row in aggregate(map(interaction, part), HALF_LIFE * DAY).edges]
    wanted = oracle.Graph(oracle.expected(events).edges, {})
    assert oracle.differences(oracle.Graph(merged(rows), {}), wanted) == []


def test_recency_halves_with_every_half_life() -> None:
    old = Interaction(b"1", "a", ("b",), 8.0, 0)
    new = Interaction(b"2", "a", ("b",), 1.0, round(2 * HALF_LIFE * DAY))
    for order in ([old, new], [new, old]):
        [row] = aggregate(order, HALF_LIFE * DAY).edges
        assert row == ("a", "b", 2, 9.0, 8.0 / 4 + 1, 0, new.at_ms)


def test_nothing_overflows_over_a_century() -> None:
    events = [Interaction(b"1", "a", ("b",), 1.0, 0), Interaction(b"2", "a", ("b",), 1.0, 36_500 * DAY)]
    [row] = aggregate(events, HALF_LIFE * DAY).edges
    assert math.isclose(row[4], 1.0)


def test_an_empty_batch() -> None:
    assert (aggregate([], 1.0).edges, aggregate([], 1.0).people) == ([], [])


def test_digests_are_stable_and_fit_64_bits() -> None:
    # They are kept in graphs: another value for one id would count events twice after an upgrade.
    assert event_digest(b"evt-1") == 5_142_162_847_298_372_542
    assert len({event_digest(b"%d" % number) for number in range(10_000)}) == 10_000
    assert all(0 <= event_digest(b"%d" % number) < 2**64 for number in range(1_000))

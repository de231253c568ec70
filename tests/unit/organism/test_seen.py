"""The memory of applied event ids behaves like a plain set, whatever its size."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from include.organism import seen
from include.organism.seen import SeenEvents, pack

DIGESTS = st.lists(st.integers(0, 40) | st.integers(2**64 - 40, 2**64 - 1), max_size=40)


def unseen_by_set(known: set[int], digests: list[int]) -> list[bool]:
    answers = []
    for digest in digests:
        answers.append(digest not in known)
        known.add(digest)
    return answers


@given(stored=st.lists(DIGESTS, max_size=4), asked=st.lists(DIGESTS, max_size=6), forgotten=DIGESTS)
def test_like_a_set(stored: list[list[int]], asked: list[list[int]], forgotten: list[int]) -> None:
    events, known = SeenEvents(map(pack, stored)), {digest for part in stored for digest in part}
    for digests in asked:
        assert events.unseen(digests) == unseen_by_set(known, digests)
    for digest in forgotten:
        events.forget(digest)
        known.discard(digest)
    assert events.unseen(list(range(41))) == unseen_by_set(known, list(range(41)))


def test_like_a_set_when_large() -> None:
    chance = random.Random(1)
    stored = [chance.getrandbits(64) for _ in range(30_000)]
    events, known = SeenEvents([pack(stored[:10_000]), pack(stored[10_000:])]), set(stored)
    for _ in range(40):
        fresh = [chance.getrandbits(64) for _ in range(4_500)]
        digests = chance.sample([*fresh, *chance.sample(sorted(known), 500)], 5_000)
        assert events.unseen(digests) == unseen_by_set(known, digests)
    assert len(events) == len(known) > 10 * seen._FRESH_LIMIT // 2
    one = stored[5]
    events.forget(one)
    assert events.unseen([one, one]) == [True, False]


def test_packed_digests_take_eight_bytes_each() -> None:
    assert pack([1, 2**64 - 1]) == bytes([1, 0, 0, 0, 0, 0, 0, 0]) + b"\xff" * 8
    assert pack([]) == b""

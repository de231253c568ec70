"""Stream ids are two integers; as text their order is wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from include.organism.stream import ZERO, StreamId

IDS = st.builds(StreamId, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(one=IDS)
def test_text_and_back(one: StreamId) -> None:
    assert StreamId.parse(str(one)) == one
    assert StreamId.parse(str(one).encode()) == one


def test_order() -> None:
    ordered = [ZERO, StreamId(9, 0), StreamId(9, 2), StreamId(9, 10), StreamId(10, 0), StreamId(100, 0)]
    assert sorted(ordered, reverse=True) == ordered[::-1]
    assert StreamId.parse("9-2") < StreamId.parse("9-10")


def test_an_id_without_sequence() -> None:
    assert StreamId.parse("17") == StreamId(17, 0)

"""Sentry's envelopes: items with and without a length, and broken ones."""

from __future__ import annotations

import pytest

from local.simulators.sentry import parse


def test_items_with_and_without_length() -> None:
    body = b'{"event_id": "e"}\n{"type": "event", "length": 9}\n{"a":\n"b}\n{"type": "session"}\n{"x": 1}\n\n'
    header, items = parse(body)
    assert header == {"event_id": "e"}
    assert items == [({"type": "event", "length": 9}, b'{"a":\n"b}'), ({"type": "session"}, b'{"x": 1}')]


def test_an_envelope_may_be_empty() -> None:
    assert parse(b"{}") == ({}, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{}\n{"type": "event", "length": 3}\nab',
        b'{}\n{"type": "event", "length": 1}\nab\n{}',
        b'{}\n{"type": "event", "length": -1}\nab',
        b'{}\n{"type": "event", "length": "2"}\nab',
    ],
)
def test_broken_envelopes(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(body)

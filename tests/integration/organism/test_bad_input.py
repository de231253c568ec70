"""M1: a message that cannot be used goes to the dead letters with a reason; the ones around it go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.operations.errors import InputRejected
from include.organism.deadletter import DeadLetters
from tests.faults.bad_messages import BAD, message
from tests.faults.world import World, event, events

pytestmark = pytest.mark.servers


def letters(world: World) -> DeadLetters:
    return DeadLetters(world.redis, world.settings)


@pytest.mark.parametrize("batch_size", [3, 5_000])
def test_every_bad_message_among_good_ones(make_world: Callable[..., World], batch_size: int) -> None:
    world = make_world(batch_size=batch_size)
    good = events(len(BAD))
    for before, bad in zip(good, BAD, strict=True):
        world.publish([before])
        world.publish_bad([bad.raw])
    result = world.run()["update"]
    assert (result["read"], result["dead"]) == (2 * len(BAD), len(BAD))
    world.check()
    found = {letter.original_id: letter for letter in world.letters()}
    for entry_id, bad in zip(world.bad, BAD, strict=True):
        letter = found[entry_id.decode()]
        assert (letter.code, letter.reason) == (bad.code, bad.reason)
        assert letter.dead_at > 1_700_000_000_000
        if not letter.truncated:
            assert list(letter.fields) == bad.raw


def test_a_very_large_field_is_cut_and_named(world: World) -> None:
    world.publish_bad([message(metadata="9" * 1_000_000), [b"f%d" % n for n in range(2_000)]])
    world.run()
    large, many = world.letters()
    assert large.truncated == "metadata (1000000 bytes)"
    assert large.fields[-1] == b"9" * 1_024
    assert many.truncated == "900 more fields"
    for letter in (large, many):
        with pytest.raises(InputRejected, match="cut when it was parked"):
            letters(world).replay(letter)
    assert len(world.letters()) == 2


def test_fields_with_our_names_come_back_as_they_were(world: World) -> None:
    raw = message(reason="mine", code="7", original_id="x", dead_at="y", truncated="z")
    world.publish_bad([raw])
    world.run()
    [letter] = world.letters()
    assert letter.code == "unknown_field"
    assert list(letter.fields) == raw
    assert letters(world).replay(letter)
    assert world.redis.xrevrange(world.stream, count=1)[0][1][b"reason"] == b"mine"


def test_a_letter_that_became_good_flows_when_replayed(make_world: Callable[..., World]) -> None:
    world = make_world(max_targets=2)
    wide = event(1, "ann", '["bob", "eve", "dan"]')
    world.publish_bad([[part.encode() for pair in wide.items() for part in pair]])
    world.publish([event(2, "ann", "bob")])
    world.run()
    world.check()
    [letter] = world.letters()
    assert letter.code == "too_many_targets"
    # The limit was wrong: replay after raising it. A second replay finds the letter gone.
    assert letters(world).replay(letter)
    assert not letters(world).replay(letter)
    [(entry_id, _)] = world.redis.xrevrange(world.stream, count=1)
    world.run(max_targets=3)
    world.valid[entry_id] = wide
    world.bad.clear()
    world.check_graph()
    assert (world.letters(), world.pending()) == ([], [])
    assert (world.ledger().totals.read, world.ledger().totals.dead) == (3, 1)


def test_a_letter_that_is_still_bad_comes_back_when_replayed(world: World) -> None:
    world.publish_bad([message(weight="101")])
    world.run()
    [letter] = world.letters()
    letters(world).replay(letter)
    world.run()
    [again] = world.letters()
    assert (again.code, again.fields) == (letter.code, letter.fields)
    assert again.original_id != letter.original_id


def test_a_discarded_letter_is_gone(world: World) -> None:
    world.publish_bad([message(weight="101"), message(weight="102")])
    world.run()
    first, second = world.letters()
    assert letters(world).discard(first, reason="test", who="me")
    assert not letters(world).discard(first, reason="test", who="me")
    assert not letters(world).replay(first)
    assert world.letters() == [second]


def test_letters_are_read_by_page_and_by_id(world: World) -> None:
    world.publish_bad([message(weight="101")] * 1_203)
    world.run()
    found = world.letters()
    assert len(found) == letters(world).count() == 1_203
    assert [letter.original_id.encode() for letter in found] == list(world.bad)
    assert list(letters(world).letters(limit=1_001)) == found[:1_001]
    assert list(letters(world).letters([str(found[7].id)])) == [found[7]]
    with pytest.raises(InputRejected, match="no dead letter 1-1"):
        list(letters(world).letters(["1-1"]))

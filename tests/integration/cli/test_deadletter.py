"""`deadletter` on a real Redis: masked by default, nothing lost, nothing twice."""

import getpass
import json
import time
from datetime import datetime

import pytest

from include.organism.deadletter import DeadLetters
from include.organism.messages import InvalidMessageError
from include.organism.stream import Entry

pytestmark = pytest.mark.servers
CODES = ("missing_field", "bad_weight", "missing_field")


@pytest.fixture
def dead(redis, settings):
    """Three letters."""
    letters = DeadLetters(redis, settings)
    letters.park(
        [
            (
                Entry(b"%d-0" % number, [b"id", b"e%d" % number, b"source", b"alice", b"note", b"\x1b[2J"]),
                InvalidMessageError(code, f"reason {number}"),
            )
            for number, code in enumerate(CODES, start=1)
        ],
        1_700_000_000_000,
    )
    return letters


def ids(dead):
    return [str(letter.id) for letter in dead.letters()]


def live(redis, settings):
    return [fields.get(b"id") for _, fields in redis.xrange(settings.stream)]


def test_values_are_masked_unless_asked_for(cli, dead):
    for words in (["list"], ["list", "--json"]):
        out = cli("deadletter", *words).out
        assert "alice" not in out
        assert "reason 1" in out
    shown = cli("deadletter", "list", "--show-values").out
    assert "source=alice" in shown
    assert "\x1b" not in shown


def test_json_has_all_that_a_program_needs(cli, dead):
    done = json.loads(cli("deadletter", "list", "--json", "--show-values", "--limit", "1").out)
    assert done["total"] == 3
    (letter,) = done["letters"]
    assert letter == {
        "id": ids(dead)[0],
        "original_id": "1-0",
        "dead_at": "2023-11-14T22:13:20+00:00",
        "code": "missing_field",
        "reason": "reason 1",
        "truncated": "",
        "fields": [
            {"name": "id", "bytes": 2, "value": "e1"},
            {"name": "source", "bytes": 5, "value": "alice"},
            {"name": "note", "bytes": 4, "value": "\x1b[2J"},
        ],
    }


def test_list_by_code_and_limit(cli, dead):
    found = json.loads(cli("deadletter", "list", "--json", "--code", "missing_field", "--limit", "5").out)["letters"]
    assert [letter["original_id"] for letter in found] == ["1-0", "3-0"]
    assert len(json.loads(cli("deadletter", "list", "--json", "--limit", "2").out)["letters"]) == 2


def test_replay_by_id(cli, dead, redis, settings):
    first, second, third = ids(dead)
    assert cli("deadletter", "replay", first, third).out == "replayed 2 dead letters\n"
    assert live(redis, settings) == [b"e1", b"e3"]
    assert ids(dead) == [second]


def test_replay_by_code_and_all(cli, dead, redis, settings):
    cli("deadletter", "replay", "--code", "bad_weight")
    assert live(redis, settings) == [b"e2"]
    cli("deadletter", "replay", "--all")
    assert live(redis, settings) == [b"e2", b"e1", b"e3"]
    assert dead.count() == 0


def test_a_letter_that_dies_again_at_once_is_replayed_once(cli, dead, redis, settings, monkeypatch):
    replay = DeadLetters.replay

    def replay_and_die(self, letter):
        done = replay(self, letter)
        again = Entry(redis.xrevrange(settings.stream, count=1)[0][0], list(letter.fields))
        self.park([(again, InvalidMessageError(letter.code, "again"))], 1)
        return done

    monkeypatch.setattr(DeadLetters, "replay", replay_and_die)
    assert cli("deadletter", "replay", "--all").out == "replayed 3 dead letters\n"
    assert dead.count() == 3


def test_a_cut_letter_is_named_and_the_others_go(cli, dead, redis, settings):
    big = Entry(b"9-0", [b"id", b"e9", b"note", b"x" * 100_000])
    dead.park([(big, InvalidMessageError("field_too_large", "too large"))], 1)
    cut = ids(dead)[-1]
    assert "[cut]" in cli("deadletter", "list").out
    done = cli("deadletter", "replay", "--all")
    assert done.code == 1
    assert done.out == "replayed 3 dead letters\n"
    assert cut in done.err
    assert ids(dead) == [cut]


def test_an_unknown_id_stops_everything_before_anything_happens(cli, dead, redis, settings):
    done = cli("deadletter", "replay", ids(dead)[0], "7-7")
    assert done.code == 1
    assert "no dead letter 7-7" in done.err
    assert dead.count() == 3
    assert live(redis, settings) == []


def test_discard_asks_first(cli, dead):
    done = cli("deadletter", "discard", "--all", "--reason", "test", stdin="n\n")
    assert done.code == 1
    assert "Delete 3 dead letters for good?" in done.out
    assert dead.count() == 3
    assert cli("deadletter", "discard", "--all", "--reason", "test", stdin="y\n").code == 0
    assert dead.count() == 0


def test_discard_logs_the_reason(cli, dead, caplog):
    done = cli("deadletter", "discard", "--code", "missing_field", "--reason", "sent twice", "--yes")
    assert (done.code, done.out) == (0, "discarded 2 dead letters\n")
    assert 'dead_letters_discarded code=missing_field count=2 reason="sent twice"' in caplog.text
    assert dead.count() == 1


def test_a_lasting_record_says_who_discarded_what_and_why_and_holds_no_field_of_it(cli, dead, redis, settings):
    first, second, third = ids(dead)
    assert (
        cli("deadletter", "discard", second, "--reason", "by b@example.com", "--yes").out == "discarded 1 dead letter\n"
    )
    cli("deadletter", "discard", "--all", "--reason", "sent twice", "--yes")
    found = json.loads(cli("deadletter", "discarded", "--json").out)
    assert [(each["letter"], each["original_id"], each["code"]) for each in found] == [
        (third, "3-0", "missing_field"),
        (first, "1-0", "missing_field"),
        (second, "2-0", "bad_weight"),
    ]
    assert {each["who"] for each in found} == {getpass.getuser()}
    assert [each["reason"] for each in found[:2]] == ["sent twice"] * 2
    assert "example.com" not in found[2]["reason"]
    assert abs(datetime.fromisoformat(found[0]["at"]).timestamp() - time.time()) < 1_000
    kept = redis.xrange(f"{settings.dead_stream}:log")
    assert not any(word in repr(kept) for word in ("alice", "note"))
    assert len(json.loads(cli("deadletter", "discarded", "--json", "--limit", "1").out)) == 1
    assert "sent twice" in cli("deadletter", "discarded").out


def test_a_letter_that_is_gone_leaves_no_second_record(dead, redis, settings):
    (letter, *_) = dead.letters()
    assert dead.discard(letter, reason="x", who="me")
    assert not dead.discard(letter, reason="x", who="me")
    assert redis.xlen(f"{settings.dead_stream}:log") == 1
    assert dead.find(letter.original_id) is None


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "--all", "--code", "x"],
        ["replay", "1-1", "--all"],
        ["replay", "one"],
        ["discard", "--all"],
        ["discard", "--all", "--reason", " "],
        ["list", "--limit", "0"],
    ],
)
def test_unclear_orders_are_usage_errors(cli, dead, words):
    assert cli("deadletter", *words).code == 2
    assert dead.count() == 3

"""One entry of the stream: the contract, message by message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.organism.messages import Interaction, InvalidMessageError, Limits, Parser
from tests import oracle
from tests.faults.bad_messages import BAD, Bad, message

NOW_MS = 1_790_000_000_000
LIMITS = Limits(earliest_ms=0, latest_ms=NOW_MS + 86_400_000)


def parse(**fields: str | bytes | None) -> Interaction:
    return Parser(LIMITS).parse(message(**fields))


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_bad_messages_get_a_code_and_a_plain_reason(bad: Bad) -> None:
    parser = Parser(LIMITS)
    for _ in range(2):  # what was refused once is refused again
        with pytest.raises(InvalidMessageError) as caught:
            parser.parse(list(bad.raw))
        assert (caught.value.code, caught.value.reason) == (bad.code, bad.reason)


def test_every_bad_message_is_bad_in_one_way_only() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD)
    assert parse() == Interaction(b"x1", "ann", ("bob",), 1.0, 1_700_000_000_000)


@pytest.mark.parametrize(
    ("kind", "weight"), [("slack_message", 1), ("jira_action", 3), ("calendar_event", 5), ("email", 1), ("🐟", 1)]
)
def test_weight_by_type(kind: str, weight: float) -> None:
    assert parse(type=kind).weight == weight
    assert parse(type=kind, weight="0.25").weight == 0.25


@pytest.mark.parametrize(("text", "weight"), [("0", 0), ("100", 100), ("1e1", 10), (" 7 ", 7), ("+3", 3), ("-0.0", 0)])
def test_weights(text: str, weight: float) -> None:
    assert parse(weight=text).weight == weight


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000),
        ("1700000000.1234", 1_700_000_000_123),
        ("1.7e9", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-15T03:43:20.5+05:30", 1_700_000_000_500),
        ("2023-11-14 22:13:20+00:00", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        (str(NOW_MS / 1000 + 86_400), NOW_MS + 86_400_000),
    ],
)
def test_times(text: str, at_ms: int) -> None:
    assert parse(timestamp=text).at_ms == at_ms


def test_earliest_time_is_a_limit() -> None:
    limits = Limits(earliest_ms=1_600_000_000_000, latest_ms=NOW_MS)
    assert Parser(limits).parse(message(timestamp="1600000000")).at_ms == 1_600_000_000_000
    with pytest.raises(InvalidMessageError, match="before 2020-09-13"):
        Parser(limits).parse(message(timestamp="1599999999"))


@pytest.mark.parametrize(
    ("target", "people"),
    [
        ("bob", ("bob",)),
        ("bob, eve", ("bob, eve",)),
        ('["bob", "eve"]', ("bob", "eve")),
        ('["bob", "eve", "bob"]', ("bob", "eve")),
        ("[7, 8]", ("7", "8")),
        ('[7, "7"]', ("7",)),
        ("[ 9007199254740993 ]", ("9007199254740993",)),
        ('["山田 太郎", "\\u00e9"]', ("山田 太郎", "é")),
        ("x" * 100, ("x" * 100,)),
    ],
)
def test_targets(target: str, people: tuple[str, ...]) -> None:
    assert parse(target=target).targets == people


def test_the_largest_allowed() -> None:
    people = [f"person {number}" for number in range(1_000)]
    everybody = parse(target=str(people).replace("'", '"'), id="é" * 200, metadata='{"a": [1, {"b": null}]}')
    assert everybody.targets == tuple(people)
    assert everybody.event_id == "é".encode() * 200


def test_fields_in_any_order_and_with_the_optional_ones() -> None:
    fields = {"timestamp": "1", "metadata": "{}", "type": "t", "weight": "2", "target": "b", "event_type": "x"}
    raw = [part.encode() for pair in {**fields, "source": "a", "id": "1"}.items() for part in pair]
    assert Parser(LIMITS).parse(raw) == Interaction(b"1", "a", ("b",), 2.0, 1_000)


def test_values_are_remembered_by_what_they_are_for() -> None:
    parser = Parser(LIMITS)
    assert parser.parse(message(source="7", target="[7]", type="7")).targets == ("7",)
    assert parser.parse(message(source="[7]", target="7", type="jira_action")) == Interaction(
        b"x1", "[7]", ("7",), 3.0, 1_700_000_000_000
    )


FIELD = st.sampled_from([b"id", b"source", b"target", b"type", b"timestamp", b"weight", b"metadata", b"more"])
VALUE = st.binary(max_size=30) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))
SOME = st.lists(st.tuples(FIELD, VALUE | st.sampled_from([b"1", b"[1]", b"{}", b"-1"])), max_size=9)


@settings(max_examples=400)
@given(pairs=SOME, rest=st.booleans())
def test_whatever_comes_is_understood_or_refused_with_a_reason(pairs: list[tuple[bytes, bytes]], rest: bool) -> None:
    given = dict(pairs)
    whole = {b"id": b"1", b"source": b"a", b"target": b"b", b"type": b"t", b"timestamp": b"1"} if rest else {}
    raw = [part for pair in (whole | given).items() for part in pair]
    try:
        found = Parser(LIMITS).parse(raw)
    except InvalidMessageError as error:
        why = error
    else:
        assert 0 <= found.weight <= 100
        assert 0 <= found.at_ms <= LIMITS.latest_ms
        assert all(0 < len(person) <= 100 and person.isprintable() for person in (found.source, *found.targets))
        return
    assert why.code.replace("_", "").isalpha()
    assert 10 < len(why.reason) < 200


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2025, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_iso_and_epoch_agree(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    wanted = oracle.time_ms(moment.isoformat())
    assert parse(timestamp=moment.isoformat()).at_ms == wanted
    assert parse(timestamp=f"{wanted // 1000}.{wanted % 1000:03}").at_ms == wanted


def test_the_reason_never_holds_the_value_of_a_field() -> None:
    for bad in BAD:
        for value in bad.raw[1::2]:
            text = value.decode(errors="replace")
            assert len(text) < 6 or text[:50] not in bad.reason

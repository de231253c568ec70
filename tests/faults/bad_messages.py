"""Messages that cannot be used, each with the code and the reason that a person will read."""

from __future__ import annotations

import json
from typing import NamedTuple

Raw = list[bytes]
DEEP = "[" * 60_000
LISTED = "unknown field {!r}; the fields are id, source, target, type, timestamp, weight, metadata, event_type"
NO_TIME = "field 'timestamp' is neither epoch seconds nor an ISO-8601 time"
FUTURE = "field 'timestamp' lies in the future of the server's clock"
MILLISECONDS = "; epoch milliseconds instead of seconds?"
NO_NUMBER = "field 'weight' is not a finite number"
OUTSIDE = "field 'weight' is outside 0 to 100"
NO_LIST = "field 'target' starts with '[' but is not a valid JSON list"


class Bad(NamedTuple):
    name: str
    raw: Raw
    code: str
    reason: str


def message(**fields: str | bytes | None) -> Raw:
    """A valid message with some fields replaced; None leaves one out."""
    usual = {"id": "x1", "source": "ann", "target": "bob", "type": "slack_message", "timestamp": "1700000000"}
    return flat({**usual, **fields})


def flat(fields: dict[str, str | bytes | None]) -> Raw:
    given = [(name, value) for name, value in fields.items() if value is not None]
    return [part if isinstance(part, bytes) else part.encode() for pair in given for part in pair]


def _bad(name: str, code: str, reason: str, **fields: str | bytes | None) -> Bad:
    return Bad(name, message(**fields), code, reason)


def _missing(name: str) -> Bad:
    return _bad(f"no {name}", "missing_field", f"field {name!r} is missing", **{name: None})


def _target(name: str, target: object, reason: str, code: str = "bad_target") -> Bad:
    return _bad(f"target: {name}", code, reason, target=json.dumps(target))


BAD = [
    # names of fields
    *(_missing(name) for name in ("id", "source", "target", "type", "timestamp")),
    _bad("unknown field", "unknown_field", LISTED.format("text"), text="the words of a message"),
    _bad("wrong case", "unknown_field", LISTED.format("Source"), source=None, Source="ann"),
    Bad("name that is not UTF-8", [*message(), b"\xff", b"1"], "unknown_field", LISTED.format("\ufffd")),
    Bad("repeated field", [*message(), b"source", b"eve"], "repeated_field", "field 'source' appears twice"),
    Bad("nothing known", [b"hello", b"world"], "unknown_field", LISTED.format("hello")),
    Bad("a thousand fields", [b"f", b"1"] * 1_000, "unknown_field", LISTED.format("f")),
    # ids
    _bad("empty id", "empty_field", "field 'id' is empty", id=""),
    _bad("empty source", "empty_field", "field 'source' is empty", source=""),
    _bad("blank target", "empty_field", "field 'target' is empty", target="  "),
    _bad("empty type", "empty_field", "field 'type' is empty", type=""),
    _bad("source of 101", "too_long", "field 'source' has 101 characters, more than the 100 allowed", source="s" * 101),
    _bad("target of 101", "too_long", "field 'target' has 101 characters, more than the 100 allowed", target="é" * 101),
    _bad("id of 201", "too_long", "field 'id' has 201 characters, more than the 200 allowed", id="i" * 201),
    _bad("type of 51", "too_long", "field 'type' has 51 characters, more than the 50 allowed", type="t" * 51),
    _bad("NUL", "control_character", "field 'source' holds a control or invisible character", source="a\0b"),
    _bad("line end", "control_character", "field 'target' holds a control or invisible character", target="bob\n"),
    _bad("zero width", "control_character", "field 'id' holds a control or invisible character", id="x\u200b1"),
    _bad("not UTF-8", "bad_encoding", "field 'source' is not valid UTF-8 at byte 1", source=b"a\xff"),
    _bad("half a surrogate", "bad_encoding", "field 'target' is not valid UTF-8 at byte 0", target=b"\xed\xa0\x80"),
    _bad("Latin-1", "bad_encoding", "field 'type' is not valid UTF-8 at byte 1", type="Jürgen".encode("latin-1")),
    *(
        _bad(
            f"1 MB of {name}",
            "field_too_large",
            f"field {name!r} has 1000000 bytes, more than the 65536 allowed",
            **{name: "9" * 1_000_000},
        )
        for name in ("id", "source", "target", "type", "timestamp", "weight", "metadata")
    ),
    # lists of targets
    _target("empty list", [], "field 'target' is an empty list"),
    _target("list in a list", [["bob"]], "item 1 of field 'target' is not an id"),
    _target("object", ["eve", {"id": "bob"}], "item 2 of field 'target' is not an id"),
    _target("true", ["eve", "bob", True], "item 3 of field 'target' is not an id"),
    _target("null", [None], "item 1 of field 'target' is not an id"),
    _target("fraction", [7.0], "item 1 of field 'target' is not an id"),
    _target("empty name", ["eve", ""], "field 'target[2]' is empty", "empty_field"),
    _target("surrogate", ["\ud800"], "field 'target[1]' holds a control or invisible character", "control_character"),
    _target("item of 101", ["x" * 101], "field 'target[1]' has 101 characters, more than the 100 allowed", "too_long"),
    _target(
        "1,001 people",
        list(range(1_001)),
        "field 'target' names 1001 people, more than the 1000 allowed",
        "too_many_targets",
    ),
    _bad("target: cut off", "bad_target", NO_LIST, target='["eve", "bo'),
    _bad("target: Python's quotes", "bad_target", NO_LIST, target="['eve']"),
    _bad("target: two lists", "bad_target", NO_LIST, target='["eve"] ["bob"]'),
    _bad("target: deep", "bad_target", NO_LIST, target=DEEP),
    _bad("target: endless number", "bad_target", NO_LIST, target=f"[{'9' * 5_000}]"),
    # weights
    *(
        _bad(f"weight {text!r}", "bad_weight", NO_NUMBER, weight=text)
        for text in ("", "heavy", "nan", "NaN", "inf", "-Infinity", "1e999", "1_0", "0x10", "1,5", "1 2", "٣", "true")
    ),
    *(
        _bad(f"weight {text!r}", "bad_weight", OUTSIDE, weight=text)
        for text in ("-1", "-0.0001", "100.0001", "101", "1e99")
    ),
    # times
    *(
        _bad(f"timestamp {text!r}", "bad_timestamp", NO_TIME, timestamp=text)
        for text in (
            "",
            "yesterday",
            "nan",
            "inf",
            "1_700_000_000",
            "2023-13-01",
            "2023-02-30T00:00:00Z",
            "17:00",
            "0x1",
        )
    ),
    _bad("a million digits of time", "bad_timestamp", NO_TIME, timestamp="2023-01-01T" + "9" * 60_000),
    _bad(
        "milliseconds",
        "future_timestamp",
        f"{FUTURE}; epoch milliseconds instead of seconds?",
        timestamp="1700000000000",
    ),
    _bad("year 2999", "future_timestamp", FUTURE, timestamp="2999-01-01T00:00:00Z"),
    _bad("year 9999", "future_timestamp", FUTURE, timestamp="9999-12-31T23:59:59-23:00"),
    _bad("end of all time", "future_timestamp", FUTURE, timestamp="1e300"),
    _bad("before 1970", "past_timestamp", "field 'timestamp' lies before 1970-01-01", timestamp="-1"),
    _bad("year 1", "past_timestamp", "field 'timestamp' lies before 1970-01-01", timestamp="0001-01-01T00:00:00+23:00"),
    # metadata
    _bad("metadata: no JSON", "bad_metadata", "field 'metadata' is not valid JSON", metadata="{channel: dev}"),
    _bad("metadata: empty", "bad_metadata", "field 'metadata' is not valid JSON", metadata=""),
    _bad("metadata: deep", "bad_metadata", "field 'metadata' is not valid JSON", metadata='{"a":' * 10_000),
    _bad("metadata: list", "bad_metadata", "field 'metadata' is not a JSON object", metadata="[]"),
    _bad("metadata: number", "bad_metadata", "field 'metadata' is not a JSON object", metadata="7"),
    _bad("metadata: bytes", "bad_encoding", "field 'metadata' is not valid UTF-8 at byte 2", metadata=b'{"\xff":1}'),
]

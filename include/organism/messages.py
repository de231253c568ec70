"""From the fields of one stream entry to an interaction, or to the reason why not.

The contract of the stream is in `docs/contracts.md`. Nothing here talks to a server.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_ID = 100
MAX_EVENT_ID = 200
MAX_TYPE = 50
MAX_WEIGHT = 100.0
DEFAULT_WEIGHTS = {"slack_message": 1.0, "jira_action": 3.0, "calendar_event": 5.0}
SYSTEM = "SYSTEM"
REQUIRED = ("id", "source", "target", "type", "timestamp")
OPTIONAL = ("weight", "metadata", "event_type")
_KNOWN = frozenset(REQUIRED + OPTIONAL)


class InvalidMessageError(Exception):
    """One entry cannot be used.

    Attributes:
        code: short machine-readable reason, for counting (`missing_field`, `bad_weight`, ...).
        reason: one plain sentence for the person who mends the producer. It names fields and
            limits, never the value of a person's field.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that depend on settings or on the server's clock.

    Attributes:
        earliest_ms: first acceptable event time, epoch milliseconds.
        latest_ms: last acceptable event time, epoch milliseconds (server time + tolerance).
        max_targets: most people one entry may name as target.
        max_field_bytes: largest acceptable field.
    """

    earliest_ms: int
    latest_ms: int
    max_targets: int = 1_000
    max_field_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Interaction:
    """One valid entry: `source` did something with each of `targets` at `at_ms` (epoch milliseconds)."""

    event_id: str
    source: str
    targets: tuple[str, ...]
    weight: float
    at_ms: int


def parse(raw: list[bytes], limits: Limits) -> Interaction:
    """Check one entry's flat `[name, value, name, value, ...]` list against the contract.

    Raises:
        InvalidMessageError: the entry belongs into the dead letters.
    """
    fields = _text_fields(raw, limits)
    event_id = _identifier(fields, "id", MAX_EVENT_ID)
    source = _identifier(fields, "source", MAX_ID)
    targets = _targets(fields, limits)
    kind = _identifier(fields, "type", MAX_TYPE)
    weight = _weight(fields.get("weight"), kind)
    at_ms = _time_ms(fields["timestamp"], limits)
    if "metadata" in fields:
        _check_metadata(fields["metadata"])
    return Interaction(event_id, source, targets, weight, at_ms)


def _text_fields(raw: list[bytes], limits: Limits) -> dict[str, str]:
    fields: dict[str, str] = {}
    for position in range(0, len(raw), 2):
        value = raw[position + 1]
        try:
            name = raw[position].decode()
        except UnicodeDecodeError:
            raise InvalidMessageError("bad_encoding", "a field name is not valid UTF-8") from None
        if name not in _KNOWN:
            known = ", ".join(REQUIRED + OPTIONAL)
            raise InvalidMessageError("unknown_field", f"unknown field {name[:40]!r}; the fields are {known}")
        if name in fields:
            raise InvalidMessageError("repeated_field", f"field {name!r} appears twice")
        if len(value) > limits.max_field_bytes:
            raise InvalidMessageError(
                "field_too_large",
                f"field {name!r} has {len(value)} bytes, more than the {limits.max_field_bytes} allowed",
            )
        try:
            fields[name] = value.decode()
        except UnicodeDecodeError as error:
            raise InvalidMessageError(
                "bad_encoding", f"field {name!r} is not valid UTF-8 at byte {error.start}"
            ) from None
    for name in REQUIRED:
        if name not in fields:
            raise InvalidMessageError("missing_field", f"field {name!r} is missing")
    return fields


def _identifier(fields: dict[str, str], name: str, longest: int) -> str:
    value = fields[name]
    _check_identifier(value, f"field {name!r}", longest)
    return value


def _check_identifier(value: str, what: str, longest: int) -> None:
    if not value or value.isspace():
        raise InvalidMessageError("empty_field", f"{what} is empty")
    if len(value) > longest:
        raise InvalidMessageError("too_long", f"{what} has {len(value)} characters, more than the {longest} allowed")
    if not value.isprintable():
        raise InvalidMessageError("control_character", f"{what} holds a control or invisible character")


def _targets(fields: dict[str, str], limits: Limits) -> tuple[str, ...]:
    value = fields["target"]
    if not value.startswith("["):
        return (_identifier(fields, "target", MAX_ID),)
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidMessageError("bad_target", "field 'target' starts with '[' but is not a valid JSON list") from None
    if not items:
        raise InvalidMessageError("bad_target", "field 'target' is an empty list")
    if len(items) > limits.max_targets:
        raise InvalidMessageError(
            "too_many_targets", f"field 'target' names {len(items)} people, more than the {limits.max_targets} allowed"
        )
    people = []
    for position, item in enumerate(items, start=1):
        person = str(item) if isinstance(item, int) and not isinstance(item, bool) else item
        if not isinstance(person, str):
            raise InvalidMessageError("bad_target", f"item {position} of field 'target' is not an id")
        _check_identifier(person, f"item {position} of field 'target'", MAX_ID)
        people.append(person)
    return tuple(dict.fromkeys(people))


def _number(text: str, name: str) -> float:
    # float() also takes "1_000", which no producer means.
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidMessageError(f"bad_{name}", f"field {name!r} is not a finite number")
    return number


def _weight(text: str | None, kind: str) -> float:
    if text is None:
        return DEFAULT_WEIGHTS.get(kind, 1.0)
    weight = _number(text, "weight")
    if not 0.0 <= weight <= MAX_WEIGHT:
        raise InvalidMessageError("bad_weight", f"field 'weight' is outside 0 to {MAX_WEIGHT:g}")
    return weight


def _time_ms(text: str, limits: Limits) -> int:
    try:
        seconds = _number(text, "timestamp")
    except InvalidMessageError:
        seconds = _iso_seconds(text)
    # Compared as floats first: 1e300 seconds must not become an integer of 300 digits.
    if seconds * 1000 > limits.latest_ms:
        hint = "; epoch milliseconds instead of seconds?" if 1e12 < seconds <= limits.latest_ms else ""
        raise InvalidMessageError(
            "future_timestamp", f"field 'timestamp' lies in the future of the server's clock{hint}"
        )
    if seconds * 1000 < limits.earliest_ms:
        earliest = datetime.fromtimestamp(limits.earliest_ms / 1000, UTC).date()
        raise InvalidMessageError("past_timestamp", f"field 'timestamp' lies before {earliest}")
    return round(seconds * 1000)


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        reason = "field 'timestamp' is neither epoch seconds nor an ISO-8601 time"
        raise InvalidMessageError("bad_timestamp", reason) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Not .timestamp(): it overflows for year 1 with an offset.
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _check_metadata(text: str) -> None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessageError("bad_metadata", "field 'metadata' is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidMessageError("bad_metadata", "field 'metadata' is not a JSON object")

"""From the fields of one stream entry to an interaction, or to the reason why not.

The contract of the stream is in `docs/contracts.md`. Nothing here talks to a server.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from include.organism.privacy.pseudonym import Pseudonyms

MAX_ID = 100
MAX_EVENT_ID = 200
MAX_TYPE = 50
MAX_WEIGHT = 100.0
DEFAULT_WEIGHTS = {"slack_message": 1.0, "jira_action": 3.0, "calendar_event": 5.0}
SYSTEM = "SYSTEM"
REQUIRED = (b"id", b"source", b"target", b"type", b"timestamp")
OPTIONAL = (b"weight", b"metadata", b"event_type")
_REQUIRED = frozenset(REQUIRED)
_KNOWN = frozenset(REQUIRED + OPTIONAL)
# Remembered values of one kind; then the memory starts anew.
_MOST_KNOWN = 100_000
T = TypeVar("T")


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


class Interaction(NamedTuple):
    """One valid entry: `source` did something with each of `targets` at `at_ms` (epoch milliseconds).

    People are named as in the graph: by pseudonyms where there is a key.
    """

    event_id: bytes
    source: str
    targets: tuple[str, ...]
    weight: float
    at_ms: int


class Parser:
    """Checks entries against the contract. Ids and types that were valid once are remembered.

    A batch of thousands of entries names few people, and the graph waits for this code.
    """

    def __init__(self, limits: Limits, pseudonyms: Pseudonyms | None = None) -> None:
        self._limits = limits
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._targets: dict[bytes, tuple[str, ...]] = {}
        self._sources: dict[bytes, str] = {}
        self._weights: dict[bytes, float] = {}

    def parse(self, raw: list[bytes]) -> Interaction:
        """Check one entry's flat `[name, value, name, value, ...]` list.

        Raises:
            InvalidMessageError: the entry belongs into the dead letters.
        """
        if tuple(raw[::2]) == REQUIRED:
            event_id, source, target, kind, moment = raw[1::2]
            given = metadata = None
        else:
            fields = self._fields(raw)
            event_id, source, target, kind, moment = (fields[name] for name in REQUIRED)
            given, metadata = fields.get(b"weight"), fields.get(b"metadata")
        self._check_identifier(event_id, "id", MAX_EVENT_ID)
        person = self._sources.get(source) or self._source(source)
        people = self._targets.get(target) or self._target(target)
        weight = self._weights.get(kind)
        if weight is None:
            weight = self._default_weight(kind)
        if given is not None:
            weight = _weight(given)
        at_ms = self._time_ms(moment)
        if metadata is not None:
            _check_metadata(metadata)
        return Interaction(event_id, person, people, weight, at_ms)

    def _fields(self, raw: list[bytes]) -> dict[bytes, bytes]:
        fields = dict(zip(raw[::2], raw[1::2], strict=True))
        if 2 * len(fields) != len(raw) or not _REQUIRED <= fields.keys() <= _KNOWN:
            raise _wrong_names(raw)
        for name, value in fields.items():
            self._check_size(value, name.decode())
        return fields

    def _check_size(self, value: bytes, name: str) -> None:
        largest = self._limits.max_field_bytes
        if len(value) > largest:
            reason = f"field {name!r} has {len(value)} bytes, more than the {largest} allowed"
            raise InvalidMessageError("field_too_large", reason)

    def _check_identifier(self, value: bytes, name: str, longest: int) -> str:
        self._check_size(value, name)
        return _check_identifier(_text(value, name), name, longest)

    def _source(self, value: bytes) -> str:
        return _remember(self._sources, value, self._name(self._check_identifier(value, "source", MAX_ID)))

    def _target(self, value: bytes) -> tuple[str, ...]:
        self._check_size(value, "target")
        if value.startswith(b"["):
            people = tuple(map(self._name, _people(value, self._limits.max_targets)))
        else:
            people = (self._name(self._check_identifier(value, "target", MAX_ID)),)
        return _remember(self._targets, value, people)

    def _name(self, person: str) -> str:
        return person if person == SYSTEM else self._pseudonyms.of(person)

    def _default_weight(self, value: bytes) -> float:
        kind = self._check_identifier(value, "type", MAX_TYPE)
        return _remember(self._weights, value, DEFAULT_WEIGHTS.get(kind, 1.0))

    def _time_ms(self, value: bytes) -> int:
        self._check_size(value, "timestamp")
        seconds = epoch_seconds(value)
        # Compared as floats first: 1e300 seconds must not become an integer of 300 digits.
        limits = self._limits
        if limits.earliest_ms <= seconds * 1000 <= limits.latest_ms:
            return round(seconds * 1000)
        if seconds * 1000 > limits.latest_ms:
            hint = "; epoch milliseconds instead of seconds?" if 1e12 < seconds <= limits.latest_ms else ""
            reason = f"field 'timestamp' lies in the future of the server's clock{hint}"
            raise InvalidMessageError("future_timestamp", reason)
        earliest = datetime.fromtimestamp(limits.earliest_ms / 1000, UTC).date()
        raise InvalidMessageError("past_timestamp", f"field 'timestamp' lies before {earliest}")


def epoch_seconds(value: bytes) -> float:
    """Read a field `timestamp`: epoch seconds, or an ISO-8601 time, which is UTC without an offset.

    Raises:
        InvalidMessageError: it is neither.
    """
    try:
        return _number(value, "timestamp")
    except InvalidMessageError:
        return _iso_seconds(_text(value, "timestamp"))


def _remember(known: dict[bytes, T], value: bytes, meaning: T) -> T:
    if len(value) <= MAX_ID:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[value] = meaning
    return meaning


def _wrong_names(raw: list[bytes]) -> InvalidMessageError:
    names = raw[::2]
    for name in names:
        if name not in _KNOWN:
            known = ", ".join(field.decode() for field in REQUIRED + OPTIONAL)
            shown = name[:40].decode(errors="replace")
            return InvalidMessageError("unknown_field", f"unknown field {shown!r}; the fields are {known}")
    for name in REQUIRED:
        if name not in names:
            return InvalidMessageError("missing_field", f"field {name.decode()!r} is missing")
    repeated = next(name.decode() for name in names if names.count(name) > 1)
    return InvalidMessageError("repeated_field", f"field {repeated!r} appears twice")


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        reason = f"field {name!r} is not valid UTF-8 at byte {error.start}"
        raise InvalidMessageError("bad_encoding", reason) from None


def _check_identifier(text: str, name: str, longest: int) -> str:
    if not text or text.isspace():
        raise InvalidMessageError("empty_field", f"field {name!r} is empty")
    if len(text) > longest:
        reason = f"field {name!r} has {len(text)} characters, more than the {longest} allowed"
        raise InvalidMessageError("too_long", reason)
    if not text.isprintable():
        raise InvalidMessageError("control_character", f"field {name!r} holds a control or invisible character")
    return text


def _people(value: bytes, most: int) -> tuple[str, ...]:
    try:
        items = json.loads(_text(value, "target"))
    except (ValueError, RecursionError):
        reason = "field 'target' starts with '[' but is not a valid JSON list"
        raise InvalidMessageError("bad_target", reason) from None
    if not items:
        raise InvalidMessageError("bad_target", "field 'target' is an empty list")
    if len(items) > most:
        reason = f"field 'target' names {len(items)} people, more than the {most} allowed"
        raise InvalidMessageError("too_many_targets", reason)
    people = []
    for position, item in enumerate(items, start=1):
        person = str(item) if isinstance(item, int) and not isinstance(item, bool) else item
        if not isinstance(person, str):
            raise InvalidMessageError("bad_target", f"item {position} of field 'target' is not an id")
        people.append(_check_identifier(person, f"target[{position}]", MAX_ID))
    return tuple(dict.fromkeys(people))


def _number(value: bytes, name: str) -> float:
    # float() also takes "1_000", which no producer means.
    try:
        number = math.nan if b"_" in value else float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidMessageError(f"bad_{name}", f"field {name!r} is not a finite number")
    return number


def _weight(value: bytes) -> float:
    weight = _number(value, "weight")
    if not 0.0 <= weight <= MAX_WEIGHT:
        raise InvalidMessageError("bad_weight", f"field 'weight' is outside 0 to {MAX_WEIGHT:g}")
    return weight


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


def _check_metadata(value: bytes) -> None:
    try:
        content: Any = json.loads(_text(value, "metadata"))
    except (ValueError, RecursionError):
        raise InvalidMessageError("bad_metadata", "field 'metadata' is not valid JSON") from None
    if not isinstance(content, dict):
        raise InvalidMessageError("bad_metadata", "field 'metadata' is not a JSON object")

"""Literals of a query as values to compare stored ones with."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from local.salesforce import ids
from local.salesforce.errors import ApiError
from local.salesforce.metadata import IDS, NUMBERS, FieldMeta
from local.salesforce.soql.errors import at
from local.salesforce.soql.tree import Value

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
# So many days are more than a calendar has.
_MOST_DIGITS = 6
_EXPECTED = {"boolean": "boolean", "date": "date", "datetime": "dateTime", "int": "int", "double": "double"}
Comparable = str | float | int | None
DayRange = tuple[str, str]


def string(text: str, value: Value) -> str:
    """Return what a quoted string stands for."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2].lower() in _PLAIN:
            return _PLAIN[found[2].lower()]
        raise _bad_escape(text, value, found[0])

    return _ESCAPE.sub(one, value.text)


def like_pattern(text: str, value: Value) -> str:
    """Return the pattern of LIKE for SQL, escaped by a backslash: `%` and `_` match unless they were escaped."""

    def one(found: re.Match[str]) -> str:
        if found[2] in ("%", "_"):
            return f"\\{found[2]}"
        plain = chr(int(found[1], 16)) if found[1] else _PLAIN.get(found[2].lower())
        if plain is None:
            raise _bad_escape(text, value, found[0])
        return f"\\{plain}" if plain in "\\%_" else plain

    return _ESCAPE.sub(one, value.text)


def _bad_escape(text: str, value: Value, escape: str) -> ApiError:
    message = f"Invalid string literal '{value.text}'. Illegal character sequence '{escape}' in string literal."
    return at(text, value.position, "INVALID_QUERY_FILTER_OPERATOR", message)


def comparable(text: str, meta: FieldMeta, value: Value) -> Comparable:
    """Return a literal as the field's values are stored; None for null and for ''. Raises ApiError for a wrong type."""
    if value.kind == "null":
        return None
    if value.kind == "string":
        plain = string(text, value)
        if not plain:
            return None
        if meta.type in IDS:
            return _id(text, value, plain)
        if meta.is_text:
            return plain
    if meta.type == "boolean" and value.kind == "boolean":
        return int(value.text.lower() == "true")
    if meta.type in NUMBERS and value.kind == "number":
        return float(value.text)
    try:
        if meta.type == "date" and value.kind == "date":
            return date.fromisoformat(value.text).isoformat()
        if meta.type == "datetime" and value.kind == "datetime":
            moment = datetime.fromisoformat(value.text.upper()).astimezone(UTC)
            return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    except (ValueError, OverflowError):
        raise at(text, value.position, "INVALID_FIELD", f"Invalid {value.kind}: {value.text}") from None
    raise _wrong_type(text, meta, value)


def days(text: str, meta: FieldMeta, value: Value, now: datetime) -> DayRange:
    """Return the first moment of a range of days like TODAY, and the first after it (UTC), as they are stored."""
    if meta.type not in ("date", "datetime"):
        raise _wrong_type(text, meta, value)
    word, _, count = value.text.upper().partition(":")
    if len(count) > _MOST_DIGITS:
        raise at(text, value.position, "INVALID_FIELD", "Invalid number of days")
    many = int(count or 0)
    first, after = {
        "TODAY": (0, 1),
        "YESTERDAY": (-1, 0),
        "TOMORROW": (1, 2),
        "LAST_N_DAYS": (-many, 1),
        "NEXT_N_DAYS": (1, many + 1),
    }[word]
    today = datetime.combine(now.date(), time(), UTC)
    try:
        ends = tuple(today + timedelta(days=n) for n in (first, after))
    except OverflowError:
        raise at(text, value.position, "INVALID_FIELD", "Invalid number of days") from None
    if meta.type == "date":
        return ends[0].date().isoformat(), ends[1].date().isoformat()
    return f"{ends[0]:%Y-%m-%dT%H:%M:%S.000Z}", f"{ends[1]:%Y-%m-%dT%H:%M:%S.000Z}"


def _id(text: str, value: Value, plain: str) -> str:
    try:
        return ids.to_18(plain)
    except ValueError:
        message = f"invalid ID field: {plain}"
        raise at(text, value.position, "INVALID_QUERY_FILTER_OPERATOR", message) from None


def _wrong_type(text: str, meta: FieldMeta, value: Value) -> ApiError:
    expected = "double" if meta.type in NUMBERS - {"int"} else _EXPECTED.get(meta.type, "string")
    quotes = "should be enclosed in quotes" if expected == "string" else "should not be enclosed in quotes"
    message = f"value of filter criterion for field '{meta.name}' must be of type {expected} and {quotes}"
    return at(text, value.position, "INVALID_FIELD", message)

"""Values as the store keeps them: text (never empty), numbers, 0 and 1 for booleans, `2013-05-20T20:49:32.000Z`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from local.salesforce import ids
from local.salesforce.clock import parse, stamp
from local.salesforce.errors import ApiError
from local.salesforce.metadata import IDS, NUMBERS, FieldMeta

Stored = str | int | float | None
_TRUE_FALSE = {"true": 1, "false": 0}


class ValueFormatError(ApiError):
    """A value does not have its field's type; the message does not show it."""

    def __init__(self, meta: FieldMeta) -> None:
        super().__init__("JSON_PARSER_ERROR", f"{meta.name}: not a value of type {meta.type}", fields=(meta.name,))


def stored(meta: FieldMeta, value: Any) -> Stored:
    """Return a value as the store keeps it. Raises ValueFormatError.

    Whatever is longer than the field's length is kept: organisations have such values, and users must meet them.
    """
    if value is None or value == "":
        return None
    try:
        return _READERS.get(meta.type, _text)(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueFormatError(meta) from error


def shown(meta: FieldMeta, value: Stored) -> Any:
    """Return a stored value as JSON answers show it."""
    if meta.type == "boolean":
        return bool(value)
    if value is not None and meta.type == "datetime":
        return f"{str(value)[:-1]}+0000"
    return value


def name_of(parts: Mapping[str, Any]) -> str | None:
    """Return a person's Name: first, middle, last name and suffix."""
    names = (parts.get(n) for n in ("FirstName", "MiddleName", "LastName", "Suffix"))
    return " ".join(str(n) for n in names if n) or None


def _text(value: Any) -> str:
    if isinstance(value, bool | dict | list):
        raise TypeError
    return str(value)


def _boolean(value: Any) -> int:
    if value not in (0, 1) and str(value).lower() not in _TRUE_FALSE:
        raise ValueError
    return _TRUE_FALSE[value.lower()] if isinstance(value, str) else int(value)


def _integer(value: Any) -> int:
    number = int(str(value)) if isinstance(value, str) else value
    if isinstance(number, bool) or int(number) != number:
        raise ValueError
    return int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        raise TypeError
    day = value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
    return day.isoformat()


def _datetime(value: Any) -> str:
    if isinstance(value, str) and len(value) == 24 and value.endswith(".000Z"):
        return value  # already as we keep it: bulk loads bring millions of them
    return stamp(value if isinstance(value, datetime) else parse(str(value)))


def _id(value: Any) -> str:
    text = _text(value)
    # A reference that is no id is a defect someone wants to see in the data.
    return ids.to_18(text) if len(text) == 15 and ids.is_valid(text) else text


_READERS: dict[str, Callable[[Any], Stored]] = {
    "boolean": _boolean,
    "int": _integer,
    "date": _date,
    "datetime": _datetime,
    **dict.fromkeys(IDS, _id),
    **dict.fromkeys(NUMBERS - {"int"}, _number),
}

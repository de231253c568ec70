"""SOQL texts: the one place where values become literals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from include.operations.errors import InputRejected

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?")
_ID: Final = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")
_ESCAPES: Final = str.maketrans(
    {"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f", "\0": ""}
)


def text(value: str) -> str:
    """Return a string literal that ends where it should, whatever is in it."""
    return f"'{value.translate(_ESCAPES)}'"


def moment(value: datetime) -> str:
    """Return a datetime literal, UTC with milliseconds; SOQL datetimes have no quotes."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def name(value: str) -> str:
    """Return the API name of a field or object.

    Raises:
        InputRejected: it is none.
    """
    if not _NAME.fullmatch(value):
        raise InputRejected(f"{value!r} is not an API name.", what_to_do="Correct the object's module.")
    return value


def record_id(value: str) -> str:
    """Return a record id, unquoted.

    Raises:
        InputRejected: it is none. Anything else in its place would be part of the query.
    """
    if not _ID.fullmatch(value):
        raise InputRejected(
            "A record id must have 15 or 18 letters and digits.", what_to_do="Name records by their Salesforce ids."
        )
    return value


def ids(values: Iterable[str]) -> str:
    """Return the list of an IN."""
    return "(" + ",".join(text(record_id(value)) for value in values) + ")"


def select(fields: Sequence[str], sobject: str, conditions: Iterable[str] = (), *, limit: int | None = None) -> str:
    """Return a query.

    Args:
        fields: API names.
        sobject: API name of the object.
        conditions: all must hold; empty ones are left out. Each is put into parentheses, since SOQL takes no mix of
            AND and OR without them.
        limit: rows at most. Not for Bulk, where it would switch chunking off.
    """
    end = f" LIMIT {int(limit)}" if limit is not None else ""
    return f"SELECT {','.join(map(name, fields))}{_from(sobject, conditions)}{end}"


def count(sobject: str, conditions: Iterable[str] = ()) -> str:
    """Return the query that counts rows; its reply has them in `totalSize`."""
    return f"SELECT COUNT(){_from(sobject, conditions)}"


def _from(sobject: str, conditions: Iterable[str]) -> str:
    said = " AND ".join(f"({condition})" for condition in conditions if condition)
    return f" FROM {name(sobject)}" + (f" WHERE {said}" if said else "")

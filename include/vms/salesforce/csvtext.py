"""Records of REST as the CSV that Bulk would send, so that both go the same way into PostgreSQL."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from include.operations.errors import InputRejected


def encode(records: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> bytes:
    """Return records as CSV with a header row; null is empty.

    Raises:
        InputRejected: a record lacks a field that was selected.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(fields)
    paths = [tuple(name.split(".")) for name in fields]
    for record in records:
        writer.writerow([_text(record, path) for path in paths])
    # Half of a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark.
    return text.getvalue().encode(errors="replace")


def _text(record: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value: Any = record
    for name in path:
        if value is None:
            # The parent is not there.
            return ""
        try:
            value = value[name]
        except (KeyError, TypeError):
            value = _by_other_case(value, name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _by_other_case(value: Any, name: str) -> Any:
    """Salesforce names fields as the org spells them, and takes them in any case."""
    if isinstance(value, Mapping):
        for key, found in value.items():
            if key.casefold() == name.casefold():
                return found
    raise InputRejected(
        f"A record came without the field {name}, which was selected.",
        what_to_do="Look at the object's fields in Salesforce: it may have been removed a moment ago.",
    )

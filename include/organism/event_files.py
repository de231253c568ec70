"""Events in a file, one row each: CSV with a header, JSON lines, or `source target timestamp` text.

A row that can be read is never judged here: what is wrong with its values the pipeline says, in the dead letters.
Texts for people name lines and columns, never a value.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from include.operations.errors import InputRejected
from include.organism.messages import OPTIONAL, REQUIRED

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"
# Columns without which a table holds no interactions at all.
_ESSENTIAL = frozenset({b"source", b"target", b"timestamp"})
# An empty cell of one of these means that the event has none; of any other field, that it is empty.
_MAY_LACK = frozenset({b"id", *OPTIONAL})
# A quote that is never closed would otherwise take in the rest of the file as one field.
_LONGEST_FIELD = 16 * 1024 * 1024


class Format(StrEnum):
    """How the rows are written; `auto` looks at the first one."""

    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"
    TEXT = "text"


class Row(NamedTuple):
    """One row of the input.

    Attributes:
        line: line of the file it begins in, from 1.
        fields: field name to value; empty when the row cannot be read.
        size: bytes or characters it takes in the file.
        problem: why it cannot be read.
    """

    line: int
    fields: dict[bytes, bytes]
    size: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of a file; `first` (number, text) has been read already to see how they are written."""

    first: tuple[int, bytes]
    rest: BinaryIO

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        number = self.first[0]
        return chain([self.first], enumerate(self.rest, start=number + 1))


def read_rows(stream: BinaryIO, written: Format = Format.AUTO, event_type: str = "email") -> Iterator[Row]:
    """Read the rows one by one; memory stays flat.

    Rows without an id get one made of their line and content: the same file gives the same ids. `event_type` is the
    type of text rows, which cannot name one.

    Raises:
        InputRejected: the input as a whole is none of the formats.
    """
    lines = _begin(stream)
    if lines is None:
        return iter(())
    if written is Format.AUTO:
        written = _detect(lines.first[1])
    if written is Format.CSV:
        return _csv_rows(lines)
    return _json_rows(lines) if written is Format.JSONL else _text_rows(lines, event_type.encode())


def event_seconds(row: Row) -> float | None:
    """The row's event time in epoch seconds; None when it has none that can be read."""
    text = row.fields.get(b"timestamp", b"")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def last_event(rows: Iterable[Row]) -> float | None:
    """The latest event time of all rows in epoch seconds; None when no row has one."""
    times = (event_seconds(row) for row in rows)
    # A NaN is no time and would win or lose every comparison by its place.
    return max((seconds for seconds in times if seconds is not None and seconds == seconds), default=None)


def _begin(stream: BinaryIO) -> _Lines | None:
    """Find the first line that says something."""
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(_BOM) if number == 1 else line
        if not _is_void(text):
            return _Lines((number, text), stream)
    return None


def _is_void(line: bytes) -> bool:
    """Whether a line is blank or a comment: `# text`, `% text`. A name like #channel begins no comment."""
    words = line.split(maxsplit=1)
    return not words or not words[0].strip(b"#%")


def _detect(line: bytes) -> Format:
    if line.lstrip().startswith(b"{"):
        return Format.JSONL
    if line.lstrip().startswith(b"["):
        raise InputRejected("the input is a JSON list.", what_to_do="write one JSON object a line")
    if set(_header(line)) >= _ESSENTIAL:
        return Format.CSV
    if len(line.split()) == len(_ESSENTIAL):
        return Format.TEXT
    raise InputRejected(
        "the first line is neither a CSV header with source, target and timestamp, nor a JSON object, nor "
        "`source target timestamp`.",
        what_to_do="correct it, or name the format with --format",
    )


# --- text -------------------------------------------------------------------------
def _text_rows(lines: _Lines, event_type: bytes) -> Iterator[Row]:
    for number, line in lines:
        words = line.split()
        if _is_void(line):
            continue
        if len(words) == 3:
            source, target, timestamp = words
            fields = {
                b"id": _identity(number, line.strip()),
                b"source": source,
                b"target": target,
                b"type": event_type,
                b"timestamp": timestamp,
            }
            yield Row(number, fields, len(line))
        else:
            yield Row(number, {}, len(line), f"{len(words)} words instead of source, target and timestamp")


# --- JSON lines --------------------------------------------------------------------
def _json_rows(lines: _Lines) -> Iterator[Row]:
    for number, line in lines:
        if stripped := line.strip():
            yield _json_row(number, stripped)


def _json_row(number: int, line: bytes) -> Row:
    try:
        item = json.loads(line)
    except UnicodeDecodeError:
        return Row(number, {}, len(line), "not valid UTF-8")
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return Row(number, {}, len(line), f"not valid JSON{where}")
    if not isinstance(item, dict):
        return Row(number, {}, len(line), "not a JSON object")
    fields = {_json_bytes(name): _json_bytes(value) for name, value in item.items() if value is not None}
    if b"id" not in fields:
        fields = {b"id": _identity(number, line), **fields}
    return Row(number, fields, len(line))


def _json_bytes(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair becomes bytes that the pipeline refuses as bad UTF-8.
    return text.encode("utf-8", "surrogatepass")


# --- CSV ---------------------------------------------------------------------------
def _csv_rows(lines: _Lines) -> Iterator[Row]:
    first, header_line = lines.first
    delimiter, names = _delimiter(header_line), _header(header_line)
    _check_header(names)
    csv.field_size_limit(_LONGEST_FIELD)
    # Bytes that are no UTF-8 pass through unchanged.
    text = io.TextIOWrapper(lines.rest, encoding="utf-8", errors="surrogateescape", newline="")
    # Strict: a quote that is never closed would otherwise take in all rows behind it unseen.
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = first + 1 + reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            # The caller's stream, which it may want to read again, is not ours to close.
            text.detach()
            return
        except csv.Error:
            yield Row(
                line, {}, 0, f"not valid CSV (an open quote?), or a field of more than {_LONGEST_FIELD} characters"
            )
            continue
        if values:
            yield _csv_row(line, names, values)


def _csv_row(line: int, names: Sequence[bytes], values: Sequence[str]) -> Row:
    size = sum(map(len, values))
    if len(values) != len(names):
        return Row(line, {}, size, f"{len(values)} columns, the header has {len(names)}")
    cells = [value.encode("utf-8", "surrogateescape") for value in values]
    fields = {name: cell for name, cell in zip(names, cells, strict=True) if cell or name not in _MAY_LACK}
    if b"id" not in fields:
        fields = {b"id": _identity(line, b"\x1f".join(cells)), **fields}
    return Row(line, fields, size)


def _delimiter(line: bytes) -> str:
    return max(_DELIMITERS, key=lambda mark: line.count(mark.encode()))


def _header(line: bytes) -> list[bytes]:
    row = next(csv.reader([line.decode("utf-8", "replace")], delimiter=_delimiter(line)), [])
    return [name.strip().lower().encode() for name in row]


def _check_header(names: list[bytes]) -> None:
    if missing := sorted(_ESSENTIAL - set(names)):
        raise InputRejected(
            f"the CSV header lacks {b', '.join(missing).decode()}.",
            what_to_do=f"name the columns in the first line: {b', '.join(REQUIRED + OPTIONAL).decode()}",
        )
    if len(set(names)) < len(names):
        raise InputRejected("the CSV header names a column twice.", what_to_do="give each column a name of its own")


def _identity(line: int, content: bytes) -> bytes:
    return hashlib.blake2b(b"%d\0%b" % (line, content), digest_size=16).hexdigest().encode()

"""Events in a file, one row each: CSV with a header, JSON lines, or `source target timestamp` text.

A row that can be read is never judged here: what is wrong with its values the pipeline says, in the dead letters. Only
what is too large for the stream stays out. Texts for people name lines and columns, never a value.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple

from include.operations.errors import InputRejected
from include.operations.words import counted
from include.organism.event_lines import Lines, is_void
from include.organism.messages import OPTIONAL, REQUIRED

_DELIMITERS = ",;\t"
# Columns without which a table holds no interactions at all.
_ESSENTIAL = frozenset({b"source", b"target", b"timestamp"})
# An empty cell of one of these means that the event has none; of any other field, that it is empty.
_MAY_LACK = frozenset({b"id", *OPTIONAL})
# A line, and a CSV row of several lines, may be so many times as long as a field: there are several fields, and JSON
# may write a character with six. A quote that is never closed takes in no more than this.
_FIELDS_A_LINE = 16


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


def read_rows(
    stream: BinaryIO, written: Format = Format.AUTO, event_type: str = "email", max_field_bytes: int = 65_536
) -> Iterator[Row]:
    """Read the rows one by one; memory stays flat, however long a line is.

    Rows without an id get one made of their line and content: the same file gives the same ids. Rows without a type get
    `event_type`. Lines of more than 16 times `max_field_bytes`, and rows with a field above it, cannot be read.

    Raises:
        InputRejected: the input as a whole is none of the formats.
    """
    lines = Lines(stream, _FIELDS_A_LINE * max_field_bytes)
    first = lines.first()
    if not first:
        return iter(())
    if written is Format.AUTO:
        written = _detect(first)
    make = _Maker(event_type.encode(), max_field_bytes)
    if written is Format.CSV:
        if lines.cut:
            raise InputRejected("the CSV header is too long.", what_to_do="check that this is a file of events")
        return _csv_rows(first, lines, make)
    return _json_rows(first, lines, make) if written is Format.JSONL else _text_rows(first, lines, make)


class _Maker(NamedTuple):
    """Makes rows of fields: fills in what may be missing, and refuses what is too large."""

    event_type: bytes
    max_field: int

    def row(self, line: int, fields: dict[bytes, bytes], content: bytes, size: int) -> Row:
        """Make a row; `content` gives it an identity when it has no id."""
        for name, value in fields.items():
            if max(len(name), len(value)) > self.max_field:
                shown = name[:40].decode(errors="replace")
                return Row(line, {}, size, f"field {shown!r} has more than the {self.max_field:,} bytes allowed")
        if b"id" not in fields:
            fields = {b"id": _identity(line, content), **fields}
        if not fields.get(b"type"):
            fields[b"type"] = self.event_type
        return Row(line, fields, size)


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
def _text_rows(line: bytes, lines: Lines, make: _Maker) -> Iterator[Row]:
    while line:
        words = line.split()
        if lines.cut:
            yield _too_long(lines)
        elif is_void(line):
            pass
        elif len(words) == 3:
            source, target, timestamp = words
            # In the order in which the pipeline checks fastest.
            fields = {
                b"id": _identity(lines.number, line.strip()),
                b"source": source,
                b"target": target,
                b"type": make.event_type,
                b"timestamp": timestamp,
            }
            yield make.row(lines.number, fields, line, len(line))
        else:
            why = f"{counted(len(words), 'word')} instead of source, target and timestamp"
            yield Row(lines.number, {}, len(line), why)
        line = lines.read()


def _too_long(lines: Lines) -> Row:
    return Row(lines.number, {}, lines.longest, f"longer than the {lines.longest:,} bytes allowed")


# --- JSON lines --------------------------------------------------------------------
def _json_rows(line: bytes, lines: Lines, make: _Maker) -> Iterator[Row]:
    while line:
        if lines.cut:
            yield _too_long(lines)
        elif stripped := line.strip():
            yield _json_row(lines.number, stripped, make)
        line = lines.read()


def _json_row(number: int, line: bytes, make: _Maker) -> Row:
    try:
        item = json.loads(line)
        if not isinstance(item, dict):
            return Row(number, {}, len(line), "not a JSON object")
        fields = {_json_bytes(name): _json_bytes(value) for name, value in item.items() if value is not None}
    except UnicodeDecodeError:
        return Row(number, {}, len(line), "not valid UTF-8")
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return Row(number, {}, len(line), f"not valid JSON{where}")
    return make.row(number, fields, line, len(line))


def _json_bytes(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair becomes bytes that the pipeline refuses as bad UTF-8.
    return text.encode("utf-8", "surrogatepass")


# --- CSV ---------------------------------------------------------------------------
class _RowTooLongError(Exception):
    """One row takes more than a line may have."""


class _CsvLines(Iterator[str]):
    """What csv.reader reads: goes on behind a line that is too long, and keeps a row from taking in the whole file."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._size = 0

    def begin_row(self) -> int:
        """Number of the line in which the next row begins."""
        self._size = 0
        return self._lines.number + 1

    def __next__(self) -> str:
        line = self._lines.read()
        if not line:
            raise StopIteration
        self._size += len(line)
        if self._size > self._lines.longest or self._lines.cut:
            raise _RowTooLongError
        # Bytes that are no UTF-8 pass through unchanged.
        return line.decode("utf-8", "surrogateescape")


def _csv_rows(header_line: bytes, lines: Lines, make: _Maker) -> Iterator[Row]:
    delimiter, names = _delimiter(header_line), _header(header_line)
    _check_header(names)
    csv.field_size_limit(lines.longest)
    source = _CsvLines(lines)
    # Strict: a quote that is never closed would otherwise take in all rows behind it unseen.
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        line = source.begin_row()
        try:
            values = next(reader)
        except StopIteration:
            return
        except (csv.Error, _RowTooLongError):
            yield _too_long(lines) if lines.cut and line == lines.number else _no_csv(line, lines.number)
            continue
        if values:
            yield _csv_row(line, names, values, make)


def _no_csv(first: int, last: int) -> Row:
    why = "not valid CSV (an open quote, or a carriage return inside the line?)"
    return Row(first, {}, 0, f"{why}; lost with it: the lines up to {last}" if last > first else why)


def _csv_row(line: int, names: Sequence[bytes], values: Sequence[str], make: _Maker) -> Row:
    size = sum(map(len, values))
    if len(values) != len(names):
        return Row(line, {}, size, f"{counted(len(values), 'column')}, the header has {len(names)}")
    cells = [value.encode("utf-8", "surrogateescape") for value in values]
    fields = {name: cell for name, cell in zip(names, cells, strict=True) if cell or name not in _MAY_LACK}
    return make.row(line, fields, b"\x1f".join(cells), size)


def _delimiter(line: bytes) -> str:
    return max(_DELIMITERS, key=lambda mark: line.count(mark.encode()))


def _header(line: bytes) -> list[bytes]:
    try:
        row = next(csv.reader([line.decode("utf-8", "replace")], delimiter=_delimiter(line)), [])
    except csv.Error:
        return []
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

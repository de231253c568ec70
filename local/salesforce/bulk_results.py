"""The result of a Bulk query job: a CSV file made once, and pages of it.

The file is written when the job runs and never changes, as a locator of Salesforce never does. Where each row starts is
remembered, so that a page of any size is a range of the file: serving it costs no more than reading it.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_BLOCK_ROWS = 2000
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Dialect:
    """How a job wants its CSV: every field is quoted, a null is an empty field."""

    delimiter: str = "COMMA"
    line_ending: str = "LF"

    def lines(self, rows: Iterable[Sequence[object]]) -> list[bytes]:
        """Return each row as a line of CSV, its ending included."""
        lines: list[str] = []
        csv.writer(
            _Sink(lines),
            delimiter=DELIMITERS[self.delimiter],
            lineterminator=LINE_ENDINGS[self.line_ending],
            quoting=csv.QUOTE_ALL,
        ).writerows(rows)
        return [line.encode() for line in lines]

    def rows(self, content: bytes) -> list[list[str]]:
        """Read lines of CSV, without regard to what the fields hold."""
        return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=DELIMITERS[self.delimiter]))


class _Sink:
    """What `csv.writer` writes to: it calls `write` once for each row."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


@dataclass(frozen=True)
class Snapshot:
    """A finished result: `starts[n]` is where row n starts in the file, the last entry where it ends."""

    path: Path
    columns: tuple[str, ...]
    dialect: Dialect
    starts: array[int]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.starts) - 1

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.starts[-1]

    @property
    def header(self) -> bytes:
        """The header row, which every page starts with."""
        return self.dialect.lines([self.columns])[0]

    def chunks(self, first: int, end: int) -> Iterator[bytes]:
        """Read the lines of the rows from `first` to before `end`, piece by piece."""
        position, stop = self.starts[first], self.starts[end]
        if position == stop:
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            while position < stop:
                chunk = os.pread(descriptor, min(_CHUNK_BYTES, stop - position), position)
                if not chunk:
                    raise OSError(f"{self.path.name} ends before row {end}")
                yield chunk
                position += len(chunk)
        finally:
            os.close(descriptor)

    def read(self, first: int, end: int) -> list[list[str]]:
        """Return the fields of some rows."""
        return self.dialect.rows(b"".join(self.chunks(first, end)))


def write_snapshot(path: Path, columns: Sequence[str], dialect: Dialect, rows: Iterable[Sequence[object]]) -> Snapshot:
    """Write the rows of a query to a file of its own. Values are texts, numbers or None; booleans are texts already."""
    starts = array("Q", [0])
    source = iter(rows)
    with path.open("wb") as file:
        while block := list(islice(source, _BLOCK_ROWS)):
            lines = dialect.lines(block)
            ends = accumulate(map(len, lines), initial=starts.pop())
            starts.extend(ends)
            file.write(b"".join(lines))
    return Snapshot(path, tuple(columns), dialect, starts)


@dataclass(frozen=True)
class Range:
    """The rows of a page, as a locator names them: from `first`, to before `end` where the locator fixes it."""

    first: int
    end: int | None = None

    @property
    def locator(self) -> str:
        """Salesforce's form: base64 of the row number without padding (`MTAwMDA` is 10000)."""
        text = str(self.first) if self.end is None else f"{self.first}-{self.end}"
        return base64.b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, locator: str) -> Range:
        """Read a locator. Raises ValueError when it is none."""
        try:
            text = base64.b64decode(locator + "=" * (-len(locator) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError("not a locator") from error
        first, _, end = text.partition("-")
        return cls(int(first), int(end) if end else None)

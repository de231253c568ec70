"""A file about people, CSV or JSON, becomes rows of known fields, or refusals that say why a row cannot be used.

Reasons name fields and limits, never a value. A column nobody knows is named by its place: in a file without a header
its name would be a person's data.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from include.operations.errors import InputRejected
from include.organism.messages import MAX_ID, SYSTEM

if TYPE_CHECKING:
    import psycopg

# As many refusals as a person reads; the warehouse has them all.
SHOWN_REFUSALS = 20
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
_LARGEST = 64 * 2**20
_DELIMITERS = ",;\t"
Cells = Mapping[str, Any]
T = TypeVar("T")


class Format(StrEnum):
    """How a file is written; `auto` looks at how it begins."""

    AUTO = "auto"
    CSV = "csv"
    JSON = "json"


class Refusal(NamedTuple):
    """Why a row is not used.

    Attributes:
        row: row of the table, the header being row 1 of a CSV; item of the list of a JSON, from 1.
        field: field at fault; empty for the row as a whole.
        code: short reason, for counting.
        reason: plain sentence without any value of the row.
    """

    row: int
    field: str
    code: str
    reason: str


class FieldError(Exception):
    """One value cannot be used."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Row = tuple[int, Cells | Refusal]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file of one kind may hold.

    Attributes:
        what: what it is called in messages, e.g. `roster`.
        aliases: other names of each field.
        list_name: key of the list, in a JSON object that holds one.
        hint: what to do about a field that is not understood.
        required: fields without which no row can be used.
    """

    what: str
    aliases: Mapping[str, Sequence[str]]
    list_name: str
    hint: str
    required: tuple[str, ...]

    def rows(self, given: str | list[Any], written: Format) -> Iterator[Row]:
        """Rows with the names of this layout, or why one cannot be used.

        Args:
            given: the file's text, or the items of a JSON list.
            written: its format.

        Raises:
            InputRejected: it is no such file as a whole, or its header names a column that is not understood.
        """
        if isinstance(given, list):
            return self._json_rows(given)
        text = given.removeprefix("\ufeff")
        if written is Format.AUTO:
            written = Format.JSON if text.lstrip().startswith(("[", "{")) else Format.CSV
        return self._csv_rows(text) if written is Format.CSV else self._json_rows(self._json_list(text))

    def _json_list(self, text: str) -> list[Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise InputRejected(f"the {self.what} is not valid JSON{where}", what_to_do="correct the file") from None
        if isinstance(value, dict) and isinstance(value.get(self.list_name), list):
            value = value[self.list_name]
        if not isinstance(value, list):
            raise InputRejected(f"the {self.what} is not a JSON list", what_to_do=self.hint)
        return value

    def _json_rows(self, items: Iterable[Any]) -> Iterator[Row]:
        for number, item in enumerate(items, start=1):
            if not isinstance(item, dict):
                yield number, Refusal(number, "", "not_an_object", "the item is not a JSON object")
                continue
            names = [self._field(name) for name in item]
            if None in names:
                why = f"field {names.index(None) + 1} of the object is not understood; {self.hint}"
                yield number, Refusal(number, "", "unknown_field", why)
            elif len(set(names)) < len(names):
                yield number, Refusal(number, "", "repeated_field", "two fields of the object mean the same")
            else:
                yield number, dict(zip((name for name in names if name), item.values(), strict=True))

    def _csv_rows(self, text: str) -> Iterator[Row]:
        # Spreadsheets of many countries write semicolons.
        first_line = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first_line.count)
        # Strict: a quote that is never closed would otherwise take in all rows behind it.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            names = self._header(next(reader, []))
            for number, values in enumerate(reader, start=2):
                if not any(value.strip() for value in values):
                    continue
                if len(values) == len(names):
                    yield number, dict(zip(names, values, strict=True))
                else:
                    why = f"the row has {len(values)} columns, the header has {len(names)}"
                    yield number, Refusal(number, "", "wrong_width", why)
        except csv.Error:
            raise InputRejected(
                f"the {self.what} is not valid CSV at line {reader.line_num}",
                what_to_do="correct the file: an open quote?",
            ) from None

    def _header(self, cells: list[str]) -> list[str]:
        """The fields of the columns. An unknown column is refused for all rows: it may be a misspelt opt-out."""
        names = [self._field(cell) for cell in cells]
        unknown = [str(place) for place, name in enumerate(names, start=1) if name is None]
        if not cells or len(unknown) == len(names):
            raise InputRejected(f"the {self.what} has no header", what_to_do=self.hint)
        if unknown:
            raise InputRejected(
                f"the {self.what}'s header names what is not understood in column {', '.join(unknown)}",
                what_to_do=f"{self.hint}; take other columns out",
            )
        known = [name for name in names if name]
        missing = [name for name in self.required if name not in known]
        if missing or len(set(known)) < len(known):
            raise InputRejected(
                f"the {self.what}'s header lacks the column {', '.join(missing) or 'id'}, or two columns mean the same",
                what_to_do=self.hint,
            )
        return known

    def _field(self, name: str) -> str | None:
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        return next((field for field, others in self.aliases.items() if plain in (field, *others)), None)


def given_text(params: Mapping[str, Any], what: str) -> str | list[Any]:
    """The content of the one source that a run's parameters `path` and `inline` name.

    Raises:
        InputRejected: there is not exactly one, or the file is not UTF-8 or too large to be one.
        OSError: the file cannot be read.
    """
    path, inline = params["path"], params["inline"]
    if (path is None) == (inline is None):
        raise InputRejected(f"the {what} comes from `path` or from `inline`", what_to_do="give exactly one of them")
    if path is None:
        return inline  # type: ignore[no-any-return]
    with Path(path).open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputRejected(
            f"the {what} is larger than {_LARGEST // 2**20} MiB", what_to_do="check `path`, or give it in parts"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputRejected(
            f"the {what} is not UTF-8 at byte {error.start}", what_to_do="save the file as UTF-8 (in Excel: CSV UTF-8)"
        ) from None


def keep_refusals(connection: psycopg.Connection, table: str, run: str, refusals: Sequence[Refusal]) -> None:
    """Replace a run's rows of a table of refusals in the schema `organism`."""
    from psycopg import sql

    name = sql.Identifier("organism", table)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("delete from {} where run_id = %s").format(name), (run,))
        into = sql.SQL("copy {} (run_id, row_number, field, code, reason) from stdin").format(name)
        with cursor.copy(into) as copy:
            for refusal in refusals:
                copy.write_row((run, *refusal))


def collect(
    row: int, readers: Mapping[str, Callable[[Any], Any]], cells: Cells
) -> tuple[dict[str, Any], list[Refusal]]:
    """Values of a row by field, and all that is wrong with it at once, so that it is mended at once."""
    values: dict[str, Any] = {}
    refusals: list[Refusal] = []
    for name, value in cells.items():
        try:
            values[name] = readers[name](value)
        except FieldError as why:
            refusals.append(Refusal(row, name, why.code, why.reason))
    return values, refusals


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def unless_empty(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """A reader that makes None of an empty cell."""
    return lambda value: None if is_empty(value) else read(value)


def text(value: Any, longest: int) -> str | None:
    """A printable text of at most so many characters; None for an empty cell."""
    if is_empty(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FieldError("not_text", "the value is not a text")
    found = str(value).strip()
    if len(found) > longest:
        raise FieldError("too_long", f"the value has {len(found)} characters, more than the {longest} allowed")
    if not found.isprintable():
        raise FieldError("control_character", "the value holds a control or invisible character")
    return found


def identifier(value: Any) -> str:
    """A person's id under the rules of the interactions' source and target."""
    found = text(value, MAX_ID)
    if found is None:
        raise FieldError("missing_id", "the person has no id")
    if found == SYSTEM:
        raise FieldError("reserved_id", f"{SYSTEM} is what the interactions call everybody and nobody")
    return found


def flag(value: Any) -> bool:
    """True/false, yes/no or 1/0."""
    found = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if found in _TRUE:
        return True
    if found in _FALSE:
        return False
    raise FieldError("bad_flag", "the value is none of true, false, yes, no, 1, 0")

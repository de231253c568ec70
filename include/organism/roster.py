"""A roster in CSV or JSON becomes people, and refusals that say why a row cannot be used.

| field | aliases | meaning |
|---|---|---|
| `id` | employee_id, emp_id, person_id | as in the interactions; required |
| `name` | full_name, employee_name, display_name | |
| `team` | department, group | |
| `role` | title, job_title, position | |
| `is_manager` | manager_flag | whether the person manages others; a boolean in the graph |
| `manager_id` | manager, reports_to, supervisor, supervisor_id | id of the person's manager |
| `on_leave` | leave | |
| `opted_out` | opt_out | whether the person wants to be left out of analyses |

A field that the file does not name leaves what the graph has. An empty text or manager clears it; an empty flag leaves
the flag as it is, so that only an explicit *no* takes an opt-out back. Flags are true/false, yes/no or 1/0.

Reasons name fields and limits, never a value. A column nobody knows is named by its place: in a file without a header
its name would be a person's data.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from include.operations.errors import InputRejected
from include.organism.messages import MAX_ID, SYSTEM

ALIASES = {
    "id": ("employee_id", "emp_id", "person_id"),
    "name": ("full_name", "employee_name", "display_name"),
    "team": ("department", "group"),
    "role": ("title", "job_title", "position"),
    "is_manager": ("manager_flag",),
    "manager_id": ("manager", "reports_to", "supervisor", "supervisor_id"),
    "on_leave": ("leave",),
    "opted_out": ("opt_out",),
}
TEXTS = {"name": 200, "team": 100, "role": 100}
FLAGS = ("is_manager", "on_leave", "opted_out")
_FIELD_OF = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
_DELIMITERS = ",;\t"
_HINT = f"use the fields {', '.join(ALIASES)}; docs/cli.md lists other names that are understood"


class Format(StrEnum):
    """How a roster is written; `auto` looks at how it begins."""

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


@dataclass(frozen=True, slots=True)
class Person:
    """One usable row.

    Attributes:
        row: see `Refusal`.
        id: the person.
        values: the properties the row names; None clears one.
        names_manager: whether the row says who the manager is, or that there is none.
        manager: the manager's id; None: nobody.
    """

    row: int
    id: str
    values: dict[str, str | bool | None]
    names_manager: bool
    manager: str | None


@dataclass(slots=True)
class Roster:
    """What a roster holds.

    Attributes:
        people: usable rows, one a person, in the order of the file.
        refusals: why the other rows are not used; a row may have several.
        rows: rows of the file.
        ids: every valid id of the file, also of rows that are refused.
    """

    people: list[Person] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    rows: int = 0
    ids: set[str] = field(default_factory=set)


class _FieldError(Exception):
    """One value cannot be used."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_Cells = Mapping[str, Any]
_Row = tuple[int, _Cells | Refusal]


def parse(text: str | list[Any], written: Format = Format.AUTO) -> Roster:
    """Read and check a roster; all that can be said without the graph.

    Args:
        text: the file's text, or the items of a JSON list.
        written: its format.

    Raises:
        InputRejected: it is no roster as a whole, or its header names a column that is not understood.
    """
    rows = _json_rows(text) if isinstance(text, list) else _rows(text.removeprefix("\ufeff"), written)
    roster = Roster()
    taken: dict[str, int] = {}
    for number, cells in rows:
        roster.rows += 1
        if isinstance(cells, Refusal):
            roster.refusals.append(cells)
            continue
        person, refusals = _check(number, cells, roster.ids)
        if person is not None and person.id in taken:
            why = f"the person is in row {taken[person.id]} already"
            refusals = [Refusal(number, "id", "duplicate_id", why)]
        roster.refusals += refusals
        if person is not None and not refusals:
            taken[person.id] = number
            roster.people.append(person)
    return roster


def _rows(text: str, written: Format) -> Iterator[_Row]:
    if written is Format.AUTO:
        written = Format.JSON if text.lstrip().startswith(("[", "{")) else Format.CSV
    if written is Format.CSV:
        return _csv_rows(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputRejected(f"the roster is not valid JSON{where}", what_to_do="correct the file") from None
    if isinstance(value, dict) and isinstance(value.get("employees"), list):
        value = value["employees"]
    if not isinstance(value, list):
        raise InputRejected("the roster is not a JSON list of people", what_to_do=_HINT)
    return _json_rows(value)


def _json_rows(items: Iterable[Any]) -> Iterator[_Row]:
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            yield number, Refusal(number, "", "not_an_object", "the item is not a JSON object")
            continue
        names = [_FIELD_OF.get(_plain(name)) for name in item]
        if None in names:
            place = names.index(None) + 1
            yield (
                number,
                Refusal(number, "", "unknown_field", f"field {place} of the object is not understood; {_HINT}"),
            )
        elif len(set(names)) < len(names):
            yield number, Refusal(number, "", "repeated_field", "two fields of the object mean the same")
        else:
            yield number, dict(zip((name for name in names if name), item.values(), strict=True))


def _csv_rows(text: str) -> Iterator[_Row]:
    # Spreadsheets of many countries write semicolons.
    first_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    # Strict: a quote that is never closed would otherwise take in all rows behind it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = _header(next(reader, []))
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
            f"the roster is not valid CSV at line {reader.line_num}", what_to_do="correct the file: an open quote?"
        ) from None


def _header(cells: list[str]) -> list[str]:
    """The fields of the columns. An unknown column is refused for all rows: it may be an opt-out that is misspelt."""
    names = [_FIELD_OF.get(_plain(cell)) for cell in cells]
    unknown = [str(place) for place, name in enumerate(names, start=1) if name is None]
    if not cells or len(unknown) == len(names):
        raise InputRejected("the roster has no header", what_to_do=_HINT)
    if unknown:
        raise InputRejected(
            f"the roster's header names what is not understood in column {', '.join(unknown)}",
            what_to_do=f"{_HINT}; take other columns out",
        )
    known = [name for name in names if name]
    if "id" not in known or len(set(known)) < len(known):
        raise InputRejected("the roster's header lacks the column id, or two columns mean the same", what_to_do=_HINT)
    return known


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _check(row: int, cells: _Cells, ids: set[str]) -> tuple[Person | None, list[Refusal]]:
    """One row's person, or what is wrong with the row: everything at once, so that it is mended at once."""
    refusals: list[Refusal] = []
    values: dict[str, str | bool | None] = {}
    person_id = manager = None
    for name, value in cells.items():
        try:
            if name == "id":
                person_id = _identifier(value)
                ids.add(person_id)
            elif name == "manager_id":
                manager = None if _is_empty(value) else _identifier(value)
            elif name in TEXTS:
                values[name] = _text(value, TEXTS[name])
            elif not _is_empty(value):
                values[name] = _flag(value)
        except _FieldError as why:
            refusals.append(Refusal(row, name, why.code, why.reason))
    if "id" not in cells:
        refusals.append(Refusal(row, "id", "missing_id", "the person has no id"))
    if manager is not None and manager == person_id:
        refusals.append(Refusal(row, "manager_id", "self_manager", "nobody reports to themselves"))
    if refusals or person_id is None:
        return None, refusals
    return Person(row, person_id, values, "manager_id" in cells, manager), []


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: Any, longest: int) -> str | None:
    if _is_empty(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _FieldError("not_text", "the value is not a text")
    text = str(value).strip()
    if len(text) > longest:
        raise _FieldError("too_long", f"the value has {len(text)} characters, more than the {longest} allowed")
    if not text.isprintable():
        raise _FieldError("control_character", "the value holds a control or invisible character")
    return text


def _identifier(value: Any) -> str:
    """An id under the rules of the interactions' source and target."""
    text = _text(value, MAX_ID)
    if text is None:
        raise _FieldError("missing_id", "the person has no id")
    if text == SYSTEM:
        raise _FieldError("reserved_id", f"{SYSTEM} is what the interactions call everybody and nobody")
    return text


def _flag(value: Any) -> bool:
    text = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _FieldError("bad_flag", "the value is none of true, false, yes, no, 1, 0")

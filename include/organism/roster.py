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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from include.organism.people_file import (
    Cells,
    Format,
    Layout,
    Refusal,
    collect,
    flag,
    identifier,
    text,
    unless_empty,
)

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
LAYOUT = Layout(
    what="roster",
    aliases=ALIASES,
    list_name="employees",
    hint=f"use the fields {', '.join(ALIASES)}; docs/cli.md lists other names that are understood",
    required=("id",),
)
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": identifier,
    "manager_id": unless_empty(identifier),
    **{name: partial(text, longest=longest) for name, longest in TEXTS.items()},
    **dict.fromkeys(FLAGS, unless_empty(flag)),
}


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


def parse(given: str | list[Any], written: Format = Format.AUTO) -> Roster:
    """Read and check a roster; all that can be said without the graph.

    Args:
        given: the file's text, or the items of a JSON list.
        written: its format.

    Raises:
        InputRejected: it is no roster as a whole, or its header names a column that is not understood.
    """
    roster = Roster()
    taken: dict[str, int] = {}
    for number, cells in LAYOUT.rows(given, written):
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


def _check(row: int, cells: Cells, ids: set[str]) -> tuple[Person | None, list[Refusal]]:
    values, refusals = collect(row, _READERS, cells)
    person_id, manager = values.pop("id", None), values.pop("manager_id", None)
    if person_id is not None:
        ids.add(person_id)
    if "id" not in cells:
        refusals.append(Refusal(row, "id", "missing_id", "the person has no id"))
    if manager is not None and manager == person_id:
        refusals.append(Refusal(row, "manager_id", "self_manager", "nobody reports to themselves"))
    if refusals or person_id is None:
        return None, refusals
    said = {name: value for name, value in values.items() if name in TEXTS or value is not None}
    return Person(row, person_id, said, "manager_id" in cells, manager), []

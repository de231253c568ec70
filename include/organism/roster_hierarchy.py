"""Which managers of a roster may be set so that REPORTS_TO stays without cycles."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from include.organism.people_file import Refusal
from include.organism.roster import Person

Managers = Mapping[str, Collection[str]]


def resolve(people: list[Person], known: Collection[str], current: Managers) -> tuple[list[Person], list[Refusal]]:
    """Split people into those whose row can be written as a whole, and refusals.

    Refused is a row whose manager nobody knows, and the row that closes a cycle: of all rows of the cycle the last one
    in the file. A row that is refused leaves the person's present manager, which may close another cycle; so it is
    repeated until nothing is refused any more. The same file and graph give the same answer.

    Args:
        people: usable rows in the order of the file, one a person.
        known: ids that are in the file or in the graph.
        current: person to managers, as the graph has it.
    """
    refusals = [
        Refusal(person.row, "manager_id", "unknown_manager", "the manager is neither in the roster nor in the graph")
        for person in people
        if person.manager is not None and person.manager not in known
    ]
    refused = {refusal.row for refusal in refusals}
    while closing := _closing_rows([person for person in people if person.row not in refused], current):
        why = "the manager reports to this person, directly or through others"
        refusals += [Refusal(row, "manager_id", "cycle", why) for row in closing]
        refused |= set(closing)
    return [person for person in people if person.row not in refused], refusals


def _closing_rows(people: Iterable[Person], current: Managers) -> list[int]:
    """Rows that would close a cycle when all of `people` are set over what the graph has."""
    new = [person for person in people if person.names_manager]
    managers: dict[str, Collection[str]] = {**current, **{person.id: () for person in new}}
    closing = []
    for person in new:
        if person.manager is None:
            continue
        if _reaches(person.manager, person.id, managers):
            closing.append(person.row)
        else:
            managers[person.id] = (person.manager,)
    return closing


def _reaches(start: str, goal: str, managers: Managers) -> bool:
    """Whether `goal` is `start` or one of the managers above."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        person = waiting.pop()
        if person == goal:
            return True
        if person not in seen:
            seen.add(person)
            waiting.extend(managers.get(person, ()))
    return False

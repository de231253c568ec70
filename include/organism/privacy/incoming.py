"""People in files that come in: named as the graph names them, without those who were erased."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from include.organism.people_file import Refusal
from include.organism.privacy import choices

if TYPE_CHECKING:
    import psycopg

    from include.organism.assessments.rows import Assessments
    from include.organism.privacy.graph import LeftOut
    from include.organism.privacy.pseudonym import Pseudonyms
    from include.organism.roster import Person, Roster

_WHY: Final = "the person's data were erased at their request: take them out of the file"


def admit_roster(roster: Roster, pseudonyms: Pseudonyms, left_out: LeftOut) -> Roster:
    """A roster with pseudonyms where there is a key, and then without names; erased people are refused."""
    from include.organism.roster import Roster

    admitted = Roster(
        refusals=list(roster.refusals), rows=roster.rows, ids={pseudonyms.of(each) for each in roster.ids}
    )
    for person in roster.people:
        named = _named(person, pseudonyms)
        if left_out.is_erased(named.id):
            admitted.refusals.append(Refusal(person.row, "id", "erased", _WHY))
            admitted.ids.discard(named.id)
        else:
            admitted.people.append(named)
    return admitted


def _named(person: Person, pseudonyms: Pseudonyms) -> Person:
    if not pseudonyms.are_made:
        return person
    values = {name: value for name, value in person.values.items() if name != "name"}
    manager = None if person.manager is None else pseudonyms.of(person.manager)
    return replace(person, id=pseudonyms.of(person.id), manager=manager, values=values)


def admit_assessments(connection: psycopg.Connection, given: Assessments, pseudonyms: Pseudonyms) -> Assessments:
    """Assessments with pseudonyms where there is a key; those of erased people are refused."""
    from include.organism.assessments.rows import Assessments

    erased = choices.erased(connection)
    admitted = Assessments(refusals=list(given.refusals), rows=given.rows)
    for assessment in given.usable:
        name = pseudonyms.of(assessment.person)
        if erased and pseudonyms.tombstone(name) in erased:
            admitted.refusals.append(Refusal(assessment.row, "id", "erased", _WHY))
        else:
            admitted.usable.append(replace(assessment, person=name))
    return admitted

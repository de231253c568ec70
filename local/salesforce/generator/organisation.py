"""A whole organisation from a seed: the same seed and percentage give the same records, and the same defects.

Where a record stands in its population decides its id and most of what it refers to, so that a million references
need no memory; rows are made one after another, from a random source of their own for each population.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from random import Random
from typing import NamedTuple

from local.salesforce.generator.defects import Change, Defect, Kind, Outcome, Plan, Value
from local.salesforce.generator.kinds import KINDS
from local.salesforce.generator.volumes import Volumes
from local.salesforce.ids import make_id

Row = dict[str, Value]
# The organisation's last moment. A fixed one: a seed says all.
NOW = datetime(2026, 5, 1, 6, tzinfo=UTC)
_START = int(datetime(2016, 8, 1, tzinfo=UTC).timestamp())
_DAY = 86_400
# Imports create this many records in one second, and nightly jobs touch thousands: SystemModstamp has long ties.
_IMPORTED_TOGETHER = 40
_NIGHTS = 60


class Population(NamedTuple):
    """Records of one kind that lie together in an object; `volume` names their number in `Volumes`."""

    object: str
    prefix: str
    volume: str


POPULATIONS = {
    "district": Population("Account", "001", "districts"),
    "school": Population("Account", "001", "schools"),
    "organization": Population("Account", "001", "organizations"),
    "household": Population("Account", "001", "households"),
    "volunteer": Population("Contact", "003", "volunteers"),
    "teacher": Population("Contact", "003", "teachers"),
    "student": Population("Contact", "003", "students"),
    "other": Population("Contact", "003", "others"),
    "class": Population("Class__c", "a0D", "classes"),
    "affiliation": Population("npe5__Affiliation__c", "a0C", "affiliations"),
    "session": Population("Session__c", "a0E", "sessions"),
    "volunteer_participant": Population("Session_Participant__c", "a0F", "volunteer_participants"),
    "student_participant": Population("Session_Participant__c", "a0F", "student_participants"),
    "pathway": Population("Pathway__c", "a0G", "pathways"),
    "pathway_participant": Population("Pathway_Participant__c", "a0H", "pathway_participants"),
    "pathway_session": Population("Pathway_Session__c", "a0J", "pathway_sessions"),
    "case": Population("Case", "500", "cases"),
    "task": Population("Task", "00T", "tasks"),
    "email": Population("EmailMessage", "02s", "emails"),
}


class Organisation:
    """The records of one seed at one percentage of the real volumes; `now` moves all dates, and nothing else."""

    def __init__(self, seed: int = 7, percent: float = 1, now: datetime = NOW) -> None:
        self.seed = seed
        self.volumes = Volumes.at(percent)
        self.sizes = {name: int(getattr(self.volumes, each.volume)) for name, each in POPULATIONS.items()}
        self.now = int(now.timestamp())
        # Of the affiliations only volunteers' are wrong: those of students are left out by most who read them.
        self.plan = Plan(KINDS, self.sizes | {"affiliation": self.sizes["volunteer"]}, seed)
        self._first: dict[str, int] = {}
        filled: dict[str, int] = {}
        for name, each in POPULATIONS.items():
            self._first[name] = filled.get(each.object, 0)
            filled[each.object] = self._first[name] + self.sizes[name]
        self._sound = {name: self.plan.sound(name, size) for name, size in self.sizes.items()}

    # --- who is who --------------------------------------------------------------------------------
    def record_id(self, population: str, index: int) -> str:
        """Return the id of the record that stands at this place in its population."""
        return make_id(POPULATIONS[population].prefix, self._first[population] + index)

    def sound(self, population: str) -> list[int]:
        """Return the places of the records that others refer to: not deleted, nor so wrong that no sync keeps them."""
        return self._sound[population]

    def class_school(self, index: int) -> int:
        """Return the place of the school of a class."""
        schools = self._sound["school"]
        return schools[index % len(schools)]

    @cached_property
    def student_classes(self) -> array[int]:
        """Place of each student's class."""
        rng = Random(f"{self.seed}/student classes")
        return array("I", rng.choices(self._sound["class"], k=self.sizes["student"]))

    @cached_property
    def employers(self) -> array[int]:
        """Place of the organisation of each volunteer; few employ many."""
        rng, found = Random(f"{self.seed}/employers"), self._sound["organization"]
        return array("I", (found[int(len(found) * rng.random() ** 2)] for _ in range(self.sizes["volunteer"])))

    @cached_property
    def teacher_schools(self) -> array[int]:
        """Place of each teacher's school."""
        rng = Random(f"{self.seed}/teacher schools")
        return array("I", rng.choices(self._sound["school"], k=self.sizes["teacher"]))

    def tie(self, index: int) -> tuple[str, int, str, int, int]:
        """Return whom an affiliation ties to what: population and place of both, and which tie of the person it is.

        A volunteer in five has two; all that remain are students', who go round until the number is reached.
        No two ties join the same pair.
        """
        volunteers, teachers, students = (self._sound[name] for name in ("volunteer", "teacher", "student"))
        if index < self._volunteer_ties:
            turn, place = divmod(index, len(volunteers))
            person, firms = volunteers[place], self._sound["organization"]
            firm = self.employers[person] if turn == 0 else firms[(place * 31 + 7) % len(firms)]
            if turn and firm == self.employers[person]:
                firm = firms[(place * 31 + 8) % len(firms)]
            return "volunteer", person, "organization", firm, turn
        index -= self._volunteer_ties
        if index < len(teachers):
            return "teacher", teachers[index], "school", self.teacher_schools[teachers[index]], 0
        turn, place = divmod(index - len(teachers), len(students))
        person, schools = students[place], self._sound["school"]
        here = self.student_classes[person] % len(schools)
        return "student", person, "school", schools[(here + turn) % len(schools)], turn

    def pair(self, index: int) -> tuple[str, str]:
        """Return the ids that a sound affiliation joins."""
        who, person, what, account, _ = self.tie(index)
        return self.record_id(who, person), self.record_id(what, account)

    @cached_property
    def _volunteer_ties(self) -> int:
        return len(self._sound["volunteer"]) * 6 // 5

    @cached_property
    def sound_volunteer_ties(self) -> list[int]:
        """Places of the volunteers' affiliations in which nothing is wrong."""
        wrong = self.plan.of("affiliation")
        return [index for index in range(self._volunteer_ties) if index not in wrong]

    # --- rows --------------------------------------------------------------------------------------
    def build(self, population: str, make: Callable[[int, Random], Row]) -> Iterator[Row]:
        """Yield the rows of a population: what `make` says of each place, with id, stamps and defects."""
        rng, wrong = Random(f"{self.seed}/{population}"), self.plan.of(population)
        prefix, first, size = POPULATIONS[population].prefix, self._first[population], self.sizes[population]
        for index in range(size):
            row = make(index, rng)
            row["Id"] = make_id(prefix, first + index)
            self._stamp(row, index, size, rng)
            for kind in wrong.get(index, ()):
                row.update(self._change(kind, index))
            yield row

    def defects(self) -> Iterator[Defect]:
        """Yield the manifest: everything that is wrong, by population and place."""
        for name, population in POPULATIONS.items():
            for index, kinds in sorted(self.plan.of(name).items()):
                for kind in kinds:
                    yield self._entry(population.object, name, index, kind)

    def _entry(self, object_name: str, population: str, index: int, kind: Kind) -> Defect:
        value = self._change(kind, index)[kind.field]
        if kind.outcome is Outcome.ALIAS:
            expected: Value = value
        else:
            expected = kind.expected(value) if kind.expected else None
        return Defect(
            object=object_name,
            record_id=self.record_id(population, index),
            population=population,
            field=kind.field,
            kind=kind.name,
            outcome=kind.outcome,
            code=kind.code,
            value=value,
            expected=expected,
            note=kind.note,
        )

    def _change(self, kind: Kind, index: int) -> Change:
        return kind.make(self, index, Random(f"{self.seed}/{kind.name}/{index}"))

    def _stamp(self, row: Row, index: int, size: int, rng: Random) -> None:
        """Set the three stamps: old records in groups of one second, half of them changed since then."""
        group = index - index % _IMPORTED_TOGETHER
        created = _START + int((self.now - _DAY - _START) * ((group + 1) / (size + 1)) ** 0.7)
        modified, chance = created, rng.random()
        if chance < 0.2:
            night = self.now - _DAY * (1 + int(rng.random() * _NIGHTS))
            modified = max(created, night - night % _DAY + 2 * 3600)
        elif chance < 0.5:
            modified += int((self.now - 3600 - created) * rng.random())
        touched = modified if chance > 0.05 else min(self.now - 1, modified + int(rng.random() * 30 * _DAY))
        row["CreatedDate"] = moment(created)
        row["LastModifiedDate"] = moment(modified)
        row["SystemModstamp"] = moment(touched)

    def day(self, ago: float) -> str:
        """Return the day that many days before the organisation's last moment."""
        return moment(int(self.now - ago * _DAY))[:10]


@lru_cache(maxsize=1024)
def moment(seconds: int) -> str:
    """Return epoch seconds as the store keeps times."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))

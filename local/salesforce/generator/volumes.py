"""How many records the simulated organisation has, at a percentage of the real one (vms-objects.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Volumes:
    """Records by population; the defaults are the whole organisation (100 %), about 630,000 records.

    Organisations, volunteers, teachers, students, affiliations, sessions and participants are the counts of the real
    organisation; the others are chosen to go with them.
    """

    districts: int = 64
    schools: int = 520
    organizations: int = 3_811
    households: int = 9_400
    volunteers: int = 12_643
    teachers: int = 2_470
    students: int = 159_000
    others: int = 900
    classes: int = 1_900
    affiliations: int = 354_000
    sessions: int = 3_450
    volunteer_participants: int = 20_180
    student_participants: int = 49_000
    pathways: int = 24
    pathway_participants: int = 2_400
    pathway_sessions: int = 600
    tasks: int = 9_000
    emails: int = 6_000
    cases: int = 400

    @classmethod
    def at(cls, percent: float) -> Volumes:
        """Scale to `percent` (above 0, at most 100) of the whole, but never below what every defect needs to occur.

        Raises:
            ValueError: the percentage is out of range.
        """
        if not 0 < percent <= 100:
            raise ValueError(f"percent must be above 0 and at most 100, not {percent}")
        whole = cls()
        return cls(
            **{
                field.name: max(_LEAST.get(field.name, 20), round(getattr(whole, field.name) * percent / 100))
                for field in fields(cls)
            }
        )

    @property
    def total(self) -> int:
        """All records together."""
        return sum(getattr(self, field.name) for field in fields(self))


# Every kind of defect takes two records at least, and twice as many sound ones should remain.
_LEAST = {
    "districts": 14,
    "schools": 24,
    "organizations": 60,
    "households": 40,
    "volunteers": 120,
    "teachers": 40,
    "students": 120,
    "classes": 24,
    "affiliations": 500,
    "sessions": 30,
    "volunteer_participants": 60,
    "student_participants": 60,
    "pathways": 3,
}

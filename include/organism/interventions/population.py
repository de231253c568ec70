"""Who is in a group, who must be left out, and who is held out. Person ids never leave these objects into texts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from include.operations.errors import InputRejected

if TYPE_CHECKING:
    import neo4j

    from include.organism.interventions.settings import Settings

_READ: Final = """
MATCH (e:Employee)
RETURN e.id, coalesce(e.team, ''), coalesce(e.role, ''), coalesce(e.is_manager, false),
  coalesce(e.on_leave, false), coalesce(e.opted_out, false)
"""
_FETCH: Final = 5_000


class Kind(StrEnum):
    """What a group is made by."""

    TEAM = "team"
    ROLE = "role"
    EVERYONE = "everyone"


class Target(NamedTuple):
    """A group: everyone of a team, of a role, or all."""

    kind: Kind
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}".rstrip()

    @classmethod
    def read(cls, kind: str, value: str) -> Target:
        """Check what was given.

        Raises:
            InputRejected: it names no group, or a person.
        """
        if kind not in set(Kind):
            raise InputRejected(
                "the target is no group: actions are for groups, never for a person",
                what_to_do=f"name one of {', '.join(Kind)}",
            )
        if (kind == Kind.EVERYONE) != (value == ""):
            raise InputRejected("the target is not complete", what_to_do="name the team or role; everyone has no name")
        return cls(Kind(kind), value)


class Person(NamedTuple):
    """A person of the graph."""

    id: str
    team: str
    role: str
    is_manager: bool
    on_leave: bool
    opted_out: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group as it is now.

    Attributes:
        size: everyone in it.
        complement: everyone else.
        treated: people the action is for: neither excluded nor held out.
        held_out: how many of the group are held out.
        excluded: how many of the group are left out: opted out, on leave, works council.
        council: whether the group itself is one that is never treated.
    """

    size: int
    complement: int
    treated: frozenset[str]
    held_out: int
    excluded: int
    council: bool


@dataclass(frozen=True)
class Population:
    """Everyone in the graph, and who of them chose not to take part.

    Attributes:
        people: everyone.
        unwilling: ids of people who opted out or are on leave by another record than the graph's own flags.
        settings: who is excluded, and how many are held out.
    """

    people: tuple[Person, ...]
    unwilling: frozenset[str]
    settings: Settings

    def __len__(self) -> int:
        return len(self.people)

    @cached_property
    def excluded(self) -> frozenset[str]:
        """People for whom nothing is done."""
        settings = self.settings
        return self.absent | {
            p.id for p in self.people if p.team in settings.excluded_teams or p.role in settings.excluded_roles
        }

    @cached_property
    def absent(self) -> frozenset[str]:
        """People of the graph who opted out or are on leave, so that nothing is measured of them."""
        return frozenset(p.id for p in self.people if p.opted_out or p.on_leave or p.id in self.unwilling)

    @cached_property
    def holdout(self) -> frozenset[str]:
        """People who are never treated, so that the treated can be compared with them; without the excluded."""
        salt, share = self.settings.holdout_salt, self.settings.holdout_share
        return frozenset(p.id for p in self.people if is_held_out(p.id, salt, share)) - self.excluded

    def group(self, target: Target) -> Group:
        """Look at a group."""
        members = frozenset(self._members(target))
        settings = self.settings
        return Group(
            size=len(members),
            complement=len(self.people) - len(members),
            treated=members - self.excluded - self.holdout,
            held_out=len(members & self.holdout),
            excluded=len(members & self.excluded),
            council=(target.kind is Kind.TEAM and target.value in settings.excluded_teams)
            or (target.kind is Kind.ROLE and target.value in settings.excluded_roles),
        )

    def teams(self) -> list[tuple[str, frozenset[str]]]:
        """Every team by name with its people."""
        sizes = Counter(p.team for p in self.people if p.team)
        return [(team, frozenset(p.id for p in self.people if p.team == team)) for team in sorted(sizes)]

    def _members(self, target: Target) -> Iterable[str]:
        for person in self.people:
            if (
                target.kind is Kind.EVERYONE
                or (target.kind is Kind.TEAM and person.team == target.value)
                or (target.kind is Kind.ROLE and person.role == target.value)
            ):
                yield person.id


def is_held_out(employee_id: str, salt: str, share: float) -> bool:
    """Whether a person is held out: the same answer always and everywhere, whoever joins or leaves.

    The first 64 bits of SHA-256 of `salt:id`, as a number from 0 to 1, are below `share`.
    """
    digest = hashlib.sha256(f"{salt}:{employee_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def read(driver: neo4j.Driver, database: str | None, settings: Settings, unwilling: Collection[str] = ()) -> Population:
    """Read everyone from the graph."""
    with driver.session(database=database, fetch_size=_FETCH) as session:
        people = tuple(Person(*record.values()) for record in session.run(_READ))
    return Population(people, frozenset(unwilling), settings)

"""Which sets of people a number may be published about, so that no subtraction tells about fewer than k of them.

A published number is about a *cohort*, a set of people, here a bit mask (bit i: person i). Two published means with
their counts give the sum over the one cohort minus the sum over the other: with equal values of everybody in both,
that is about the people in exactly one of them. So the rule is:

    any two published cohorts, of this run and of earlier ones, are equal or differ by at least k people,

where *published* are also the empty set (so a group has at least k people), all teams of a run together (so the whole
minus the teams is nobody or k people), and all audiences together. For the audiences, which cut through the teams,
sums of several teams can come near them; `nearest` gives the distance in closed form, and it is held to k, too.

A group that cannot be published as it is now may be published about slightly other people: those it was published
about last (a joiner waits until k people have changed; a mover is counted where they were), or without some people
drawn by lot, so that one leaver hides among k. Where nothing fits it is suppressed.

Source of the rule: complementary suppression (Willenborg, de Waal, "Elements of Statistical Disclosure Control", 2001,
ch. 4) and the minimum difference of queries that survey products enforce.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

WHOLE: Final = ""
EVERYONE: Final = "everyone"
TOO_FEW: Final = "too_few"
TOO_CLOSE: Final = "differs_too_little"
_LOTS: Final = 5

Label = tuple[str, str]
# Draws so many people out of a mask: (mask, how many, attempt) to the mask of those drawn.
Draw = Callable[[int, int, int], int]


@dataclass(frozen=True, slots=True)
class Group:
    """A group somebody would like a number about: its label (team, audience) and the people in it now."""

    label: Label
    members: int

    @property
    def is_team(self) -> bool:
        """Whether it is a team; else the whole organisation or one of its audiences."""
        return self.label[0] != WHOLE


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a group: a cohort to publish about, or the reason for none."""

    group: Group
    cohort: int | None
    reason: str | None = None


@dataclass(slots=True)
class Past:
    """What has been published.

    Attributes:
        cohorts: every cohort that anything was published about, unions included.
        latest: by label the cohort of its newest number; a repeated run finds its own here.
    """

    cohorts: Collection[int] = ()
    latest: Mapping[Label, int] = field(default_factory=dict)


def size(mask: int) -> int:
    """People in a set."""
    return mask.bit_count()


def is_apart(one: int, other: int, k: int) -> bool:
    """Whether two cohorts are equal or differ by at least k people."""
    return not 0 < (one ^ other).bit_count() < k


def nearest(cohort: int, teams: Collection[int], whole: int | None) -> int:
    """Fewest people that any weighted sum of `cohort`, the teams and the whole is about; 0: it tells nothing new.

    The teams are disjoint. In such a sum, with the cohort in it, people of one block (a team, or the rest of the whole)
    who are in the cohort and those who are not have different weights, so only one side of each block can vanish.
    """
    union = 0
    fewest = 0
    for team in teams:
        union |= team
        fewest += min(size(team & cohort), size(team & ~cohort))
    rest = (whole or 0) & ~union
    fewest += min(size(rest & cohort), size(rest & ~cohort))
    return fewest + size(cohort & ~union & ~rest)


def choose(groups: Collection[Group], past: Past, measured: int, k: int, draw: Draw) -> tuple[list[Choice], set[int]]:
    """Decide about every group of a run; the same input gives the same answer.

    Args:
        groups: teams, which are disjoint; the whole organisation; its audiences, which are disjoint.
        past: what has been published so far.
        measured: everybody who has a value now.
        k: least size and least difference.
        draw: draws lots.

    Returns:
        A choice for each group, and the cohorts that follow from the published ones and must be remembered as well.
    """
    board = _Board(past, measured, k)
    # Teams before the whole, which can leave out what they left out; large ones first, so that small ones give way.
    order = sorted(groups, key=lambda g: (not g.is_team, g.label[1] != EVERYONE, -size(g.members), g.label))
    return [board.decide(group, draw) for group in order], {mask for mask in board.unions.values() if mask}


class _Board:
    """What is on the board of this run so far."""

    def __init__(self, past: Past, measured: int, k: int) -> None:
        self.unions: dict[str, int] = {"teams": 0, "audiences": 0}
        self._past = past
        self._measured = measured
        self._k = k
        self._known = {0, *past.cohorts}
        self._teams: list[int] = []
        self._whole: int | None = None
        # People that a team left out by lot; the whole leaves them out as well.
        self._withheld = 0

    def decide(self, group: Group, draw: Draw) -> Choice:
        if size(group.members) < self._k:
            return Choice(group, None, TOO_FEW)
        for cohort in self._candidates(group, draw):
            if cohort and self._fits(group, cohort):
                self._put(group, cohort)
                return Choice(group, cohort)
        return Choice(group, None, TOO_CLOSE)

    def _candidates(self, group: Group, draw: Draw) -> Iterator[int]:
        now = group.members
        last = self._past.latest.get(group.label)
        if last is not None and not last & ~self._measured and size(last ^ now) < self._k:
            yield last
        yield now
        if last is not None and not last & ~self._measured and size(last & ~now) < self._k:
            yield last
        if not group.is_team:
            if self._withheld:
                yield now & ~self._withheld
            if self._whole is not None:
                yield now & self._whole
            if group.label[1] == EVERYONE and self.unions["teams"]:
                yield self.unions["teams"]
        lacking = self._k - min((size(now ^ known) for known in self._known if known != now), default=0)
        for attempt in range(_LOTS if lacking > 0 else 0):
            yield now & ~draw(now, lacking + attempt, attempt)

    def _fits(self, group: Group, cohort: int) -> bool:
        family = self._family(group)
        if family and cohort & self.unions[family]:
            return False
        others = self._known | {union for name, union in self.unions.items() if name != family}
        if not all(is_apart(cohort, other, self._k) for other in others):
            return False
        if family:
            union = self.unions[family] | cohort
            if not all(is_apart(union, other, self._k) for other in others | {cohort}):
                return False
        if family != "audiences":
            return True
        both = (cohort, cohort | self.unions[family])
        return not any(0 < nearest(each, self._teams, self._whole) < self._k for each in both)

    def _put(self, group: Group, cohort: int) -> None:
        family = self._family(group)
        if family:
            self.unions[family] |= cohort
        if group.is_team:
            self._teams.append(cohort)
            self._withheld |= group.members & ~cohort
        elif not family:
            self._whole = cohort
        self._known.add(cohort)

    @staticmethod
    def _family(group: Group) -> str | None:
        if group.is_team:
            return "teams"
        return None if group.label[1] == EVERYONE else "audiences"

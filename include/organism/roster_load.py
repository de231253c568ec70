"""Loads a roster: check, write, rescale, invalidate caches, and keep the refusals. Repeating it changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.organism import cache
from include.organism.people_file import SHOWN_REFUSALS, Refusal
from include.organism.roster import Roster
from include.organism.roster_graph import Plan, RosterGraph

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a roster.

    Attributes:
        rows: rows of the roster.
        loaded: people whose rows were used.
        created: of these, people that were not in the graph.
        unchanged: of these, people of whom the graph said all of it already, but for the manager.
        managers_changed: people who got another manager, a first one or none any more.
        rescaled: whether everyone's degree centrality was rescaled because the number of people changed.
        people_invalidated: people whose cached figures were deleted.
        refusals: every reason why a row was not used, in the order of the rows.
    """

    rows: int
    loaded: int
    created: int
    unchanged: int
    managers_changed: int
    rescaled: bool
    people_invalidated: int
    refusals: list[Refusal]

    @property
    def refused(self) -> int:
        """Rows that were not used."""
        return self.rows - self.loaded

    def as_manifest(self) -> dict[str, Any]:
        """The figures, and the first refusals; no personal data."""
        return {
            "rows": self.rows,
            "loaded": self.loaded,
            "refused": self.refused,
            "created": self.created,
            "unchanged": self.unchanged,
            "managers_changed": self.managers_changed,
            "rescaled": self.rescaled,
            "people_invalidated": self.people_invalidated,
            "refused_by_code": dict(sorted(Counter(refusal.code for refusal in self.refusals).items())),
            "refusals": [refusal._asdict() for refusal in self.refusals[:SHOWN_REFUSALS]],
        }


def load(client: redis.Redis, graph: RosterGraph, roster: Roster, run: str) -> Loaded:
    """Write a roster into the graph and delete the cached figures it makes wrong.

    People whom the roster does not name stay as they are.

    Raises:
        LeaseLost: a later load has begun; it will write what it holds.
    """
    epoch = graph.begin(run)
    plan = graph.write_hierarchy(epoch, roster)
    graph.write_people(epoch, plan.people)
    rescaled = graph.finish(epoch)
    invalidated, _ = cache.invalidate(client, graph.stale_people(plan.people))
    graph.mark_fresh(epoch)
    return _loaded(roster, plan, rescaled=rescaled, people_invalidated=invalidated)


def rehearse(graph: RosterGraph, roster: Roster) -> Loaded:
    """Say what `load` would do; writes nothing into graph or caches."""
    return _loaded(roster, graph.plan(roster), rescaled=False, people_invalidated=0)


def _loaded(roster: Roster, plan: Plan, *, rescaled: bool, people_invalidated: int) -> Loaded:
    return Loaded(
        rows=roster.rows,
        loaded=len(plan.people),
        created=plan.created,
        unchanged=plan.unchanged,
        managers_changed=len(plan.managers),
        rescaled=rescaled,
        people_invalidated=people_invalidated,
        refusals=sorted([*roster.refusals, *plan.refusals]),
    )

"""What was read of the people graph, as columns; unusable edges are counted and left out here, once for all metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class People:
    """The nodes. Position in these columns is a person's number everywhere else.

    Attributes:
        ids: the graph's ids, sorted.
        team: number of the team in `teams`; -1: none.
        teams: names of the teams, sorted.
        is_manager: the roster's flag; of people whom it does not name, false.
    """

    ids: list[str]
    team: Ints
    teams: list[str]
    is_manager: Flags

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Edges:
    """Directed edges, at most one for an ordered pair, no self loops.

    Attributes:
        source: number of the person who sent.
        target: number of the person who received.
        weight: sum of the interactions' weights, of all time.
        recency: the same decayed, as of `last_ms`.
        last_ms: time of the newest interaction, epoch milliseconds.
    """

    source: Ints
    target: Ints
    weight: Floats
    recency: Floats
    last_ms: Times

    def __len__(self) -> int:
        return len(self.source)

    def where(self, mask: Flags) -> Edges:
        """The edges of a mask."""
        return Edges(self.source[mask], self.target[mask], self.weight[mask], self.recency[mask], self.last_ms[mask])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The people graph as it was read.

    Attributes:
        people: nodes.
        edges: usable edges.
        dropped: edges left out, by reason: `self_loop`, `unusable` (a weight or time that is none), `unknown_person`
            (an end that is no measured person: left out, or newer than the list of people), `doubled`.
        half_life_ms: half-life of `Edges.recency`.
    """

    people: People
    edges: Edges
    half_life_ms: float
    dropped: Counter[str] = field(default_factory=Counter)

    def as_of(self, measured_at: datetime) -> int:
        """The moment that weights and windows are counted back from, epoch milliseconds.

        The run's logical time; but when the newest interaction is older (a replay of old data, a stream that stands
        still), that one's time, so that a graph does not fade away for want of news. How old it is is part of a run's
        facts.
        """
        moment = int(measured_at.astimezone(UTC).timestamp() * 1000)
        return min(moment, int(self.edges.last_ms.max())) if len(self.edges) else moment


def snapshot(people: People, edges: Edges, half_life_ms: float, unknown: int = 0) -> Snapshot:
    """Clean what was read.

    Args:
        people: nodes.
        edges: as stored; `source` or `target` -1 stands for somebody who is not in `people`.
        half_life_ms: half-life of the recency weights.
        unknown: edges left out while reading, because an end is not in `people`.
    """
    dropped: Counter[str] = Counter()
    keep = np.ones(len(edges), bool)

    def drop(reason: str, mask: Flags) -> None:
        nonlocal keep
        dropped[reason] += int((mask & keep).sum())
        keep &= ~mask

    dropped["unknown_person"] += unknown
    drop("unknown_person", (edges.source < 0) | (edges.target < 0))
    drop("self_loop", edges.source == edges.target)
    usable = np.isfinite(edges.weight) & np.isfinite(edges.recency) & (edges.weight >= 0) & (edges.recency >= 0)
    drop("unusable", ~usable | (edges.last_ms < 0))
    pair = edges.source.astype(np.int64) * max(len(people), 1) + edges.target
    kept = np.flatnonzero(keep)
    _, first = np.unique(pair[kept], return_index=True)
    doubled = np.ones(len(edges), bool)
    doubled[kept[first]] = False
    drop("doubled", doubled)
    return Snapshot(people, edges.where(keep), half_life_ms, +dropped)

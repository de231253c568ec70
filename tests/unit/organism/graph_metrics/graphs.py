"""Made-up people graphs, as a snapshot and as networkx sees them."""

from __future__ import annotations

import networkx as nx
import numpy as np

from include.organism.graph_metrics.snapshot import Edges, People, Snapshot, snapshot

HALF_LIFE_MS = 14 * 86_400_000.0
DAY = 86_400_000
NOW = 1_700_000_000_000
# Differences of the order of summation; the values lie within 0 and 1.
SAME = 1e-9


def people(count: int, teams: int = 0) -> People:
    """Persons p000, p001...; every third one without a team."""
    team = [-1 if not teams or n % 3 == 2 else n % teams for n in range(count)]
    names = [f"t{n}" for n in range(teams)]
    ids = [f"p{n:03}" for n in range(count)]
    return People(ids, np.array(team, np.int32), names, np.array([n % 5 == 0 for n in range(count)], bool))


def edges(rows: list[tuple[int, int, float, float, int]]) -> Edges:
    """Rows of source, target, weight, recency, last_ms."""
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 5
    kinds = (np.int32, np.int32, np.float64, np.float64, np.int64)
    return Edges(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def random_snapshot(count: int = 60, seed: int = 0, *, days: int = 60, teams: int = 4) -> Snapshot:
    """Directed edges of random age and weight, some of weight zero; the last four people know nobody."""
    rng = np.random.default_rng(seed)
    rows = []
    for a in range(count - 4):
        for b in range(count - 4):
            if a != b and rng.random() < 0.08:
                weight = float(rng.integers(0, 9)) / 2
                last = NOW - int(rng.integers(0, days * DAY))
                rows.append((a, b, weight, weight * float(rng.random()), last))
    rows.append((0, 1, 4.0, 3.0, NOW))
    rows = list({(a, b): row for row in rows for a, b in [row[:2]]}.values())
    return snapshot(people(count, teams), edges(rows), HALF_LIFE_MS)


def directed(found: Snapshot, as_of: int = NOW, window_days: float = 0) -> nx.DiGraph:
    """The active graph by other means: loops over dictionaries."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(found.people)))
    columns = found.edges
    for at in range(len(columns)):
        last = int(columns.last_ms[at])
        if window_days and last <= as_of - window_days * DAY:
            continue
        age = max(as_of - last, 0)
        weight = float(columns.recency[at]) * 0.5 ** (age / found.half_life_ms)
        graph.add_edge(int(columns.source[at]), int(columns.target[at]), weight=weight, all=float(columns.weight[at]))
    return graph


def undirected(graph: nx.DiGraph) -> nx.Graph:
    """Weights of both directions added."""
    made = nx.Graph()
    made.add_nodes_from(graph)
    for a, b, weight in graph.edges(data="weight"):
        both = weight + (made.edges[a, b]["weight"] if made.has_edge(a, b) else 0.0)
        made.add_edge(a, b, weight=both)
    return made

"""The graphs that metrics are computed on, as CSR matrices made of one snapshot.

* *ever*: undirected, who has ever interacted with whom.
* *active*: edges with an interaction within the window before the snapshot's `as_of`; their weight is the recency
  weight at `as_of`: recency * 2^(-(as_of - last_at) / half_life).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from include.organism.graph_metrics.snapshot import Edges, Floats, Ints, Snapshot, Times

DAY_MS = 86_400_000
# Distances of ties by strength: a tie worth one chat message is 100 long. Constants, and not the graph's own maximum,
# so that a new heaviest tie changes nobody else's value and runs can be compared.
UNIT_DISTANCE = 100
LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Csr:
    """Neighbours of each node, sorted, with a weight each; without self loops and duplicates."""

    indptr: Times
    indices: Ints
    weights: Floats

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.indptr) - 1

    @property
    def degree(self) -> Times:
        """Neighbours of each node."""
        return np.diff(self.indptr)

    def tails(self) -> Ints:
        """The node that each entry belongs to."""
        return np.repeat(np.arange(self.nodes, dtype=np.int32), self.degree)

    def row_sums(self, values: Floats | None = None) -> Floats:
        """Sum of the weights, or of other values of the entries, by node."""
        return np.bincount(self.tails(), self.weights if values is None else values, self.nodes).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Ties:
    """The graphs of one snapshot.

    Attributes:
        ever: undirected, all time; weight = sum of the weights of both directions.
        directed: active, sender to receiver; weight = recency weight at `as_of`.
        undirected: active; weight = sum of both directions'.
        as_of: epoch milliseconds.
        window_ms: length of the window; 0: all time.
    """

    ever: Csr
    directed: Csr
    undirected: Csr
    as_of: int
    window_ms: int


def ties(snapshot: Snapshot, as_of: int, window_days: float) -> Ties:
    """Make the graphs of a snapshot; a window of 0 days is all time."""
    edges, nodes = snapshot.edges, len(snapshot.people)
    window_ms = round(window_days * DAY_MS)
    active = edges.where(edges.last_ms > as_of - window_ms) if window_ms else edges
    # An event may be newer than the run's logical time; its weight does not grow towards it.
    age = np.maximum(as_of - active.last_ms, 0)
    weight = active.recency * np.exp2(-age / snapshot.half_life_ms)
    return Ties(
        ever=_undirected(edges, edges.weight, nodes),
        directed=csr(active.source, active.target, weight, nodes),
        undirected=_undirected(active, weight, nodes),
        as_of=as_of,
        window_ms=window_ms,
    )


def csr(source: Ints, target: Ints, weight: Floats, nodes: int) -> Csr:
    """Sorted CSR of edges; weights of equal pairs are added."""
    # Not by adding two matrices: scipy then leaves out sums that are zero, and a tie of weight zero is a tie.
    matrix = sparse.coo_array((weight, (source, target)), shape=(nodes, nodes)).tocsr()
    matrix.sum_duplicates()
    return Csr(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float64))


def distances(graph: Csr) -> Ints:
    """Integer length of each tie from its weight: 100 / weight, rounded, from 1 to 1000.

    A weight of 1 is one chat message just now; meetings weigh more and make a tie shorter. Integers make equally long
    paths equal whatever the order of their edges.
    """
    with np.errstate(divide="ignore"):
        raw = np.rint(UNIT_DISTANCE / graph.weights)
    return np.clip(raw, 1, LONGEST).astype(np.int32)


def _undirected(edges: Edges, weight: Floats, nodes: int) -> Csr:
    source, target = np.concatenate([edges.source, edges.target]), np.concatenate([edges.target, edges.source])
    return csr(source, target, np.concatenate([weight, weight]), nodes)

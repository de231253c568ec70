"""The loops: Brandes' accumulation over hops and over integer distances, triangles, Burt's constraint.

Graphs are CSR: the neighbours of node v are `indices[indptr[v]:indptr[v + 1]]`, without self loops and duplicates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.organism.graph_metrics.compiled import compiled

Ints = NDArray[np.int32]
Offsets = NDArray[np.int64]
Floats = NDArray[np.float64]


@compiled
def dependencies_by_hops(indptr: Offsets, indices: Ints, sources: Ints) -> tuple[Floats, Floats]:
    """Sum the dependencies of `sources` on every node, each edge one step long.

    Brandes, "A faster algorithm for betweenness centrality", J. Math. Sociol. 25 (2001), algorithm 1. Back from the
    farthest node, the dependency of a source on v is sigma(v) times the sum of (1 + dependency(w)) / sigma(w) over v's
    successors w: read from v's own neighbours, that needs no lists of predecessors.

    Returns:
        For each node the sum of the dependencies, and of their squares.
    """
    n = len(indptr) - 1
    scores, squares = np.zeros(n), np.zeros(n)
    distance = np.full(n, -1, np.int32)
    paths, carried = np.zeros(n), np.zeros(n)
    order = np.empty(n, np.int32)
    for source in sources:
        order[0] = source
        distance[source] = 0
        paths[source] = 1.0
        begin, tail, level = 0, 1, 0
        head = 0
        while head < tail:
            begin, head, level = head, tail, level + 1
            for at in range(begin, head):
                v = order[at]
                for place in range(indptr[v], indptr[v + 1]):
                    w = indices[place]
                    known = distance[w]
                    if known < 0:
                        distance[w] = level
                        paths[w] = paths[v]
                        order[tail] = w
                        tail += 1
                    else:
                        # Without a branch: whether it is so is a coin toss, and a wrong guess costs most of the time.
                        paths[w] += paths[v] if known == level else 0.0
        # Nothing lies beyond the last level.
        for at in range(begin, tail):
            carried[order[at]] = 1.0 / paths[order[at]]
        for back in range(begin - 1, 0, -1):
            v = order[back]
            following = distance[v] + 1
            total = 0.0
            for place in range(indptr[v], indptr[v + 1]):
                w = indices[place]
                total += carried[w] if distance[w] == following else 0.0
            dependency = total * paths[v]
            carried[v] = (1.0 + dependency) / paths[v]
            scores[v] += dependency
            squares[v] += dependency * dependency
        for place in range(tail):
            distance[order[place]] = -1
    return scores, squares


@compiled
def _take_out(first: Ints, after: Ints, before: Ints, bucket: int, node: int) -> None:
    """Take a node out of its bucket, a doubly linked list."""
    if before[node] >= 0:
        after[before[node]] = after[node]
    else:
        first[bucket] = after[node]
    if after[node] >= 0:
        before[after[node]] = before[node]


@compiled
def _put_in(first: Ints, after: Ints, before: Ints, bucket: int, node: int) -> None:
    """Put a node in front of a bucket."""
    after[node] = first[bucket]
    before[node] = -1
    if first[bucket] >= 0:
        before[first[bucket]] = node
    first[bucket] = node


@compiled
def dependencies_by_distance(indptr: Offsets, indices: Ints, lengths: Ints, sources: Ints) -> tuple[Floats, Floats]:
    """Do the same with edges of integer length from 1: shortest paths by Dial's buckets.

    Integers, because sums of floats make two paths of one length unequal, and libraries disagree about them.
    Dial, "Algorithm 360: shortest-path forest with topological ordering", CACM 12 (1969).
    """
    n = len(indptr) - 1
    scores, squares = np.zeros(n), np.zeros(n)
    # A tentative distance is at most the longest edge ahead, so that many buckets serve in a ring.
    ring = lengths.max() + 1 if len(lengths) > 0 else 1
    first = np.full(ring, -1, np.int32)
    after, before = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    distance = np.full(n, -1, np.int64)
    paths, carried = np.zeros(n), np.zeros(n)
    order = np.empty(n, np.int32)
    for source in sources:
        distance[source] = 0
        paths[source] = 1.0
        _put_in(first, after, before, 0, source)
        waiting, settled, current = 1, 0, 0
        while waiting > 0:
            v = first[current % ring]
            if v < 0:
                current += 1
                continue
            _take_out(first, after, before, current % ring, v)
            waiting -= 1
            order[settled] = v
            settled += 1
            for place in range(indptr[v], indptr[v + 1]):
                w = indices[place]
                found = current + lengths[place]
                if distance[w] == found:
                    paths[w] += paths[v]
                elif distance[w] < 0 or found < distance[w]:
                    if distance[w] < 0:
                        waiting += 1
                    else:
                        _take_out(first, after, before, distance[w] % ring, w)
                    distance[w] = found
                    paths[w] = paths[v]
                    _put_in(first, after, before, found % ring, w)
        for back in range(settled - 1, 0, -1):
            v = order[back]
            total = 0.0
            for place in range(indptr[v], indptr[v + 1]):
                w = indices[place]
                if distance[w] == distance[v] + lengths[place]:
                    total += carried[w]
            dependency = total * paths[v]
            carried[v] = (1.0 + dependency) / paths[v]
            scores[v] += dependency
            squares[v] += dependency * dependency
        for place in range(settled):
            distance[order[place]] = -1
    return scores, squares


@compiled
def triangles(indptr: Offsets, indices: Ints) -> Offsets:
    """Count the triangles through each node of an undirected graph (each edge is there in both directions)."""
    n = len(indptr) - 1
    found = np.zeros(n, np.int64)
    near = np.full(n, -1, np.int32)
    for v in range(n):
        for place in range(indptr[v], indptr[v + 1]):
            near[indices[place]] = v
        for place in range(indptr[v], indptr[v + 1]):
            w = indices[place]
            for further in range(indptr[w], indptr[w + 1]):
                if near[indices[further]] == v:
                    found[v] += 1
    return found // 2


@compiled
def constraint(indptr: Offsets, indices: Ints, share: Floats) -> Floats:
    """Return Burt's constraint of each node; NaN where there is no weight.

    Sum over neighbours v of (p_uv + sum over w of p_uw p_wv)^2. `share` has p_uv, v's share of u's weight, of each
    entry. Shares of zero do not count: networkx says so for a whole graph (of single nodes it says otherwise).
    """
    n = len(indptr) - 1
    result = np.full(n, np.nan)
    near = np.full(n, -1, np.int32)
    reached = np.zeros(n)
    for u in range(n):
        for place in range(indptr[u], indptr[u + 1]):
            if share[place] > 0.0:
                near[indices[place]] = u
                reached[indices[place]] = share[place]
                result[u] = 0.0
        for place in range(indptr[u], indptr[u + 1]):
            w = indices[place]
            for further in range(indptr[w], indptr[w + 1]):
                if near[indices[further]] == u:
                    reached[indices[further]] += share[place] * share[further]
        for place in range(indptr[u], indptr[u + 1]):
            if share[place] > 0.0:
                result[u] += reached[indices[place]] ** 2
    return result


def compile_all() -> None:
    """Compile every loop for the types it is called with, or load what an earlier process compiled."""
    indptr, ends, one = np.array([0, 1, 2]), np.array([1, 0], np.int32), np.array([0], np.int32)
    dependencies_by_hops(indptr, ends, one)
    dependencies_by_distance(indptr, ends, np.ones(2, np.int32), one)
    triangles(indptr, ends)
    constraint(indptr, ends, np.ones(2))

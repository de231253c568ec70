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
Bits = NDArray[np.uint8]
Found = tuple[Ints, Bits, Offsets]

# Sources worked on at once; eight numbers are one line of the processor's cache.
LANES = 8
# So many edges pulled cost as much as one pushed.
PULL = 4


@compiled
def dependencies_by_hops(indptr: Offsets, indices: Ints, sources: Ints) -> tuple[Floats, Floats]:
    """Sum the dependencies of `sources` on every node of an undirected graph, each edge one step long.

    Brandes, "A faster algorithm for betweenness centrality", J. Math. Sociol. 25 (2001), algorithm 1, for eight sources
    at a time, as Then et al., "The more the merrier: efficient multi-source graph traversal", PVLDB 8 (2014), search:
    the sources meet the same nodes in the same few levels, and eight numbers of a node cost one look into the memory.

    Returns:
        For each node the sum of the dependencies, and of their squares.
    """
    n = len(indptr) - 1
    scores, squares = np.zeros(n), np.zeros(n)
    paths, now, following = np.zeros((n, LANES)), np.zeros((n, LANES)), np.zeros((n, LANES))
    # A node is listed once for each level in which some source finds it, with the lanes of those sources as bits.
    order, lanes = np.empty(n * LANES, np.int32), np.empty(n * LANES, np.uint8)
    level = np.empty(n + 2, np.int64)
    for begin in range(0, len(sources), LANES):
        some = sources[begin : begin + LANES]
        depth, now, following = _search(indptr, indices, some, (order, lanes, level), paths, now, following)
        _carry_back(indptr, indices, depth, (order, lanes, level), paths, now, following, scores, squares)
        paths[:], now[:], following[:] = 0.0, 0.0, 0.0
    return scores, squares


@compiled
def _search(
    indptr: Offsets, indices: Ints, sources: Ints, found: Found, paths: Floats, now: Floats, following: Floats
) -> tuple[int, Floats, Floats]:
    """Count the shortest paths from each source to each node, level by level.

    `paths`, `now` and `following` come as zeros. On return `now` holds the last level's part of `paths`, and
    `following` zeros.

    Returns:
        The number of levels; `now`; `following`.
    """
    order, lanes, level = found
    n = len(indptr) - 1
    missing = np.full(n, (1 << len(sources)) - 1, np.uint8)
    for lane in range(len(sources)):
        source = sources[lane]
        missing[source] -= 1 << lane
        paths[source, lane] = now[source, lane] = 1.0
        order[lane], lanes[lane] = source, 1 << lane
    unfinished, waiting, left = np.empty(n, np.int32), 0, 0
    for v in range(n):
        unfinished[waiting] = v
        waiting += indptr[v] < indptr[v + 1]
        left += indptr[v + 1] - indptr[v]
    level[0], level[1] = 0, len(sources)
    depth = 1
    while True:
        begin, tail = level[depth - 1], level[depth]
        edges = 0
        for at in range(begin, tail):
            edges += indptr[order[at] + 1] - indptr[order[at]]
        if edges * PULL < left:
            tail = _push(indptr, indices, begin, found, missing, paths, now, following, tail)
        else:
            tail, waiting = _pull(indptr, indices, unfinished[:waiting], found, missing, paths, now, following, tail)
        if tail == level[depth]:
            return depth, now, following
        for at in range(begin, level[depth]):
            now[order[at], :] = 0.0
        for at in range(level[depth], tail):
            if missing[order[at]] == 0:
                left -= indptr[order[at] + 1] - indptr[order[at]]
        now, following = following, now
        depth += 1
        level[depth] = tail


@compiled
def _settle(v: int, sums: Floats, missing: Bits, paths: Floats, following: Floats) -> int:
    """Note the paths of those sources that had not found a node before; returns their lanes."""
    new = 0
    for lane in range(LANES):
        first = sums[lane] > 0.0 and (missing[v] >> lane) & 1
        if first:
            new |= 1 << lane
            paths[v, lane] = sums[lane]
        following[v, lane] = sums[lane] if first else 0.0
    missing[v] -= new
    return new


@compiled
def _push(
    indptr: Offsets,
    indices: Ints,
    begin: int,
    found: Found,
    missing: Bits,
    paths: Floats,
    now: Floats,
    following: Floats,
    tail: int,
) -> int:
    """Go on from each node of the level that begins at `begin`; returns where the next one ends."""
    order, lanes, _ = found
    first = tail
    for at in range(begin, first):
        w = order[at]
        for place in range(indptr[w], indptr[w + 1]):
            v = indices[place]
            if missing[v] == 0:
                continue
            known = 0.0
            for lane in range(LANES):
                known += following[v, lane]
                following[v, lane] += now[w, lane]
            if known == 0.0:
                order[tail] = v
                tail += 1
    kept = first
    for at in range(first, tail):
        v = order[at]
        new = _settle(v, following[v], missing, paths, following)
        if new:
            order[kept], lanes[kept] = v, new
            kept += 1
    return kept


@compiled
def _pull(
    indptr: Offsets,
    indices: Ints,
    unfinished: Ints,
    found: Found,
    missing: Bits,
    paths: Floats,
    now: Floats,
    following: Floats,
    tail: int,
) -> tuple[int, int]:
    """Look from each unfinished node at its neighbours, when many are in the level.

    Returns:
        Where the next level ends; how many nodes are unfinished, which are then the first of the list.
    """
    order, lanes, _ = found
    sums = np.empty(LANES)
    kept = 0
    for at in range(len(unfinished)):
        v = unfinished[at]
        if missing[v] == 0:
            continue
        _neighbours(indptr, indices, v, now, sums)
        new = _settle(v, sums, missing, paths, following)
        if new:
            order[tail], lanes[tail] = v, new
            tail += 1
        unfinished[kept] = v
        kept += missing[v] != 0
    return tail, kept


@compiled
def _neighbours(indptr: Offsets, indices: Ints, v: int, rows: Floats, sums: Floats) -> None:
    """Add up the rows of a node's neighbours."""
    sums[:] = 0.0
    for place in range(indptr[v], indptr[v + 1]):
        w = indices[place]
        for lane in range(LANES):
            sums[lane] += rows[w, lane]


@compiled
def _carry_back(
    indptr: Offsets,
    indices: Ints,
    depth: int,
    found: Found,
    paths: Floats,
    now: Floats,
    following: Floats,
    scores: Floats,
    squares: Floats,
) -> None:
    """Add each source's dependencies on every node, from the farthest level to the nearest.

    The dependency of a source on v is paths(v) times the sum of (1 + dependency(w)) / paths(w) over v's neighbours w of
    the level beyond: `now` gets these shares of that level, `following` those of v's.
    """
    order, lanes, level = found
    sums = np.empty(LANES)
    for at in range(level[depth - 1], level[depth]):
        for lane in range(LANES):
            if (lanes[at] >> lane) & 1:
                now[order[at], lane] = 1.0 / paths[order[at], lane]
    for back in range(depth - 2, 0, -1):
        for at in range(level[back], level[back + 1]):
            v = order[at]
            _neighbours(indptr, indices, v, now, sums)
            for lane in range(LANES):
                if (lanes[at] >> lane) & 1:
                    dependency = sums[lane] * paths[v, lane]
                    following[v, lane] = (1.0 + dependency) / paths[v, lane]
                    scores[v] += dependency
                    squares[v] += dependency * dependency
        for at in range(level[back + 1], level[back + 2]):
            now[order[at], :] = 0.0
        now, following = following, now


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

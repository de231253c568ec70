"""Betweenness: exact while the time allows, else from as many random pivots as it allows, with the error stated.

Sources are taken in blocks of a seeded random order, by threads (the compiled loops run without the GIL). When the time
is up, the sources done so far are a uniform sample without replacement: their mean estimates the whole. Blocks are
added in their order, so that the sum is the same for any number of threads. Disjoint lists of sources can be worked on
in several processes or tasks, and their parts added: `accumulate` and `combine`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from include.organism.graph_metrics import kernels
from include.organism.graph_metrics.snapshot import Floats, Ints, Times
from include.organism.graph_metrics.ties import Csr

# A block takes two milliseconds at 2,000 people, and half a second at 100,000.
BLOCK = 32
# Chance that any person's error is beyond the guaranteed bound.
DELTA = 0.1
_TOP_SHARE = 0.01
# Between two others there is room in three.
_LEAST_BETWEEN = 3


@dataclass(frozen=True, slots=True)
class Part:
    """What a list of sources adds: by node the sum of dependencies and of their squares, and the sources done."""

    scores: Floats
    squares: Floats
    sources: Ints


@dataclass(frozen=True, slots=True)
class Betweenness:
    """Normalised betweenness, as networkx defines it, and how good it is.

    Attributes:
        values: by node, 0 to 1.
        k: sources used.
        population: nodes with a neighbour: all sources that can add anything.
        standard_error: by node, of `values`; zeros when exact.
        bound: additive error that no value exceeds, with a chance of 1 - `DELTA`; 0 when exact.
    """

    values: Floats
    k: int
    population: int
    standard_error: Floats
    bound: float

    @property
    def exact(self) -> bool:
        """Whether every source was used."""
        return self.k == self.population

    def facts(self) -> dict[str, float]:
        """The error in figures: the bound, the largest standard error, and the median relative one of the top 1 %."""
        if self.exact:
            return {"error_bound": 0.0}
        top = np.argsort(-self.values)[: max(1, math.ceil(len(self.values) * _TOP_SHARE))]
        top = top[self.values[top] > 0]
        relative = float(np.median(self.standard_error[top] / self.values[top])) if len(top) else 0.0
        return {
            "error_bound": self.bound,
            "error_bound_chance": 1 - DELTA,
            "standard_error_max": float(self.standard_error.max()),
            "top_relative_standard_error": relative,
        }


def sources_of(graph: Csr, seed: int) -> Ints:
    """Every node with a neighbour, in the order in which they are to be used."""
    nodes = np.flatnonzero(graph.degree).astype(np.int32)
    return np.random.default_rng(seed).permutation(nodes)


def shards(sources: Ints, count: int) -> list[Ints]:
    """Disjoint lists of sources whose beginnings are, together, a random sample, too."""
    return [sources[first::count] for first in range(min(count, len(sources)) or 1)]


def accumulate(
    graph: Csr,
    sources: Ints,
    *,
    lengths: Ints | None,
    budget_s: float,
    threads: int,
    clock: Callable[[], float] = time.monotonic,
) -> Part:
    """Work through sources until they or the time are used up; one block a thread at least.

    Args:
        graph: undirected; with lengths, also directed.
        sources: nodes, from the front.
        lengths: integer length of each entry of the graph; None: each is one.
        budget_s: seconds after which no block is begun.
        threads: how many work at once.
        clock: seconds.
    """
    indptr, indices, lengths, rename = _by_degree(graph, lengths)
    renamed = rename[sources]

    def work(block: Ints) -> tuple[Floats, Floats]:
        if lengths is None:
            return kernels.dependencies_by_hops(indptr, indices, block)
        return kernels.dependencies_by_distance(indptr, indices, lengths, block)

    blocks = iter([renamed[at : at + BLOCK] for at in range(0, len(renamed), BLOCK)])
    scores, squares = np.zeros(graph.nodes), np.zeros(graph.nodes)
    done, until = 0, clock() + budget_s
    flying: deque[tuple[int, Future[tuple[Floats, Floats]]]] = deque()
    with ThreadPoolExecutor(threads, "betweenness") as pool:
        flying.extend((len(block), pool.submit(work, block)) for block in islice(blocks, threads))
        try:
            while flying:
                size, future = flying.popleft()
                added, squared = future.result()
                scores += added
                squares += squared
                done += size
                if clock() < until:
                    flying.extend((len(block), pool.submit(work, block)) for block in islice(blocks, 1))
        finally:
            # The task's time-out may strike in the wait: what has not begun is not begun.
            pool.shutdown(wait=False, cancel_futures=True)
    return Part(scores[rename], squares[rename], sources[:done])


def combine(parts: Iterable[Part], nodes: int, population: int) -> Betweenness:
    """Add parts of disjoint sources, scale to the population, and normalise by (n - 1)(n - 2).

    A node's value rests on the sources other than itself, drawn from population - 1; networkx scales its pivots in the
    same way. Divided by n - 2, each dependency lies within 0 and 1. The standard error is that of a mean drawn without
    replacement; the bound is Hoeffding's ("Probability inequalities for sums of bounded random variables", JASA 58,
    1963, theorem 2; section 6 for draws without replacement), for all nodes at once.
    """
    scores, squares, drawn = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes, bool)
    for part in parts:
        scores += part.scores
        squares += part.squares
        drawn[part.sources] = True
    k = int(drawn.sum())
    if nodes < _LEAST_BETWEEN or k == 0:
        return Betweenness(np.zeros(nodes), k, population, np.zeros(nodes), 0.0)
    norm = 1 / ((nodes - 1) * (nodes - 2))
    if k == population:
        return Betweenness(scores * norm, k, population, np.zeros(nodes), 0.0)
    others = population - 1
    draws = np.maximum(k - drawn, 1)
    mean = scores / draws
    variance = np.maximum(squares - scores * mean, 0.0) / np.maximum(draws - 1, 1)
    error = np.sqrt(variance / draws * (1 - draws / others))
    bound = others / (nodes - 1) * math.sqrt(math.log(2 * nodes / DELTA) / (2 * max(k - 1, 1)))
    return Betweenness(mean * others * norm, k, population, error * others * norm, bound)


def betweenness(
    graph: Csr,
    *,
    lengths: Ints | None = None,
    seed: int = 0,
    budget_s: float = math.inf,
    threads: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Betweenness:
    """Betweenness of every node, exact if the budget allows it."""
    sources = sources_of(graph, seed)
    part = accumulate(graph, sources, lengths=lengths, budget_s=budget_s, threads=threads, clock=clock)
    return combine([part], graph.nodes, len(sources))


def _by_degree(graph: Csr, lengths: Ints | None) -> tuple[Times, Ints, Ints | None, Ints]:
    """Number the nodes anew, those with most neighbours first: what is looked at most lies together in the cache."""
    order = np.argsort(-graph.degree, kind="stable")
    rename = np.empty(graph.nodes, np.int32)
    rename[order] = np.arange(graph.nodes, dtype=np.int32)
    tails = rename[graph.tails()]
    places = np.argsort(tails, kind="stable")
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(graph.degree[order])])
    indices = rename[graph.indices[places]]
    return indptr, indices, None if lengths is None else lengths[places], rename

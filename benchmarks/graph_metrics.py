"""Betweenness and clustering beside networkx, and a graph too large to be exact within its budget.

networkx works through part of the sources only, and its time is scaled up to all of them (its time for a source does
not depend on how many there are): the line says from how many. Processor seconds are what a busy machine falsifies
least; wall seconds show the threads.

    python -m benchmarks.graph_metrics [--nodes 2000 10000] [--large 100000] [--budget 180]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from include.organism.graph_metrics import kernels, local
from include.organism.graph_metrics.betweenness import Part, betweenness, combine
from include.organism.graph_metrics.measure import measure
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.graph_metrics.snapshot import Edges, People, Snapshot, snapshot
from include.organism.graph_metrics.ties import Csr, csr

# Exponent of the degrees' power law; the mean degree is that of the platform's own example, 15,000 edges at 2,000.
_EXPONENT = 2.3
_DEGREE = {2_000: 15}
_USUAL_DEGREE = 20
# Sources that networkx works through.
_PEER_SOURCES = {2_000: 200, 10_000: 20}
_NOW_MS = 1_700_000_000_000
_AGREE = 1e-9


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> tuple[Any, Took]:
    """Result and seconds; the processor's are of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Took(time.perf_counter() - wall, time.process_time() - cpu)


def power_law(nodes: int, seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Ends of the undirected edges of a graph with expected degrees after a power law (Chung and Lu 2002)."""
    rng = np.random.default_rng(seed)
    edges = nodes * _DEGREE.get(nodes, _USUAL_DEGREE) // 2
    weight = (np.arange(nodes) + 10.0) ** (-1 / (_EXPONENT - 1))
    weight /= weight.sum()
    found = np.empty(0, np.int64)
    while len(found) < edges:
        a, b = rng.choice(nodes, edges, p=weight), rng.choice(nodes, edges, p=weight)
        pairs = (np.minimum(a, b).astype(np.int64) * nodes + np.maximum(a, b))[a != b]
        found = np.unique(np.concatenate([found, pairs]))
    a, b = np.divmod(rng.permutation(found)[:edges], nodes)
    names = rng.permutation(nodes).astype(np.int32)
    return names[a], names[b]


def undirected(nodes: int) -> Csr:
    """The same as CSR."""
    a, b = power_law(nodes)
    return csr(np.concatenate([a, b]), np.concatenate([b, a]), np.ones(2 * len(a)), nodes)


def directed(nodes: int) -> Snapshot:
    """The same as a people graph: 55 % of the ties answered, weights and ages spread, 50 people a team."""
    a, b = power_law(nodes)
    rng = np.random.default_rng(1)
    answered = rng.random(len(a)) < 0.55
    source, target = np.concatenate([a, b[answered]]), np.concatenate([b, a[answered]])
    weight = 1.0 + np.minimum(np.floor(rng.pareto(1.2, len(source))), 5_000)
    last = _NOW_MS - rng.integers(0, 28 * 86_400_000, len(source))
    teams = max(nodes // 50, 1)
    people = People(
        [f"p{number:07}" for number in range(nodes)],
        rng.integers(0, teams, nodes).astype(np.int32),
        [f"t{number}" for number in range(teams)],
        rng.random(nodes) < 0.1,
    )
    return snapshot(people, Edges(source, target, weight, weight, last), 14 * 86_400_000.0)


def beside_networkx(nodes: int, threads: int) -> None:
    """Print both, and check that they agree on the sources that networkx worked through."""
    graph = undirected(nodes)
    made: nx.Graph[int] = nx.Graph()
    made.add_nodes_from(range(nodes))
    made.add_edges_from(zip(graph.tails().tolist(), graph.indices.tolist(), strict=True))
    ours, between = timed(lambda: betweenness(graph, threads=threads))
    clustered, clustering = timed(lambda: local.clustering(graph))
    count = _PEER_SOURCES.get(nodes, 20)
    theirs, part = timed(lambda: nx.betweenness_centrality(made, k=count, seed=0))
    theirs_clustered, peer = timed(lambda: nx.clustering(made))
    _check(graph, random.Random(0).sample(range(nodes), count), theirs)
    off = np.abs(clustered - np.array([theirs_clustered[node] for node in range(nodes)])).max()
    if off > _AGREE or not ours.exact:
        raise SystemExit(f"they do not agree about clustering: {off:g}")
    scale = nodes / count
    cpu = part.cpu * scale + peer.cpu, between.cpu + clustering.cpu
    wall = part.wall * scale + peer.wall, between.wall + clustering.wall
    print(f"{nodes:,} nodes, {len(graph.indices) // 2:,} ties: betweenness (exact) + clustering")
    print(f"  ours, {threads} threads: {wall[1]:.2f} s wall, {cpu[1]:.2f} s of processor")
    print(
        f"  networkx, extrapolated from {count} of {nodes:,} sources: {wall[0]:.1f} s wall, {cpu[0]:.1f} s of processor"
    )
    print(f"  ours is {wall[0] / wall[1]:.0f} times faster by wall, {cpu[0] / cpu[1]:.0f} times by processor seconds")


def _check(graph: Csr, pivots: list[int], theirs: dict[int, float]) -> None:
    """Compare the sums over the pivots; networkx scales to all nodes, we to those that have a neighbour."""
    scores, squares = kernels.dependencies_by_hops(graph.indptr, graph.indices, np.array(pivots, np.int32))
    found = combine([Part(scores, squares, np.array(pivots, np.int32))], graph.nodes, graph.nodes)
    off = np.abs(found.values - np.array([theirs[node] for node in range(graph.nodes)])).max()
    if off > _AGREE:
        raise SystemExit(f"they do not agree about betweenness: {off:g}")


def within_budget(nodes: int, budget_s: float, threads: int) -> None:
    """Print how far the whole measurement of a large graph gets, and how good it is."""
    found = directed(nodes)
    settings = MetricSettings(metrics_budget_s=budget_s, metrics_threads=threads)
    measured, took = timed(lambda: measure(found, datetime.fromtimestamp(_NOW_MS / 1000, UTC), settings))
    between = measured.facts["betweenness_centrality"]
    print(f"{nodes:,} nodes, {len(found.edges):,} directed edges, all metrics, budget {budget_s:g} s for betweenness")
    print(f"  {took.wall:.1f} s wall, {took.cpu:.1f} s of processor; by phase: {measured.seconds}")
    print(f"  betweenness from {between['k']:,} of {between['sources']:,} sources; {_error(between)}")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def _error(facts: dict[str, Any]) -> str:
    if not facts["error_bound"]:
        return "exact"
    return (
        f"of the top 1 % the standard error is {facts['top_relative_standard_error']:.1%} in the median, "
        f"no value is off by more than {facts['error_bound']:.2g} (chance 90 %)"
    )


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[2_000, 10_000])
    parser.add_argument("--large", type=int, default=100_000, help="0: leave it out")
    parser.add_argument("--budget", type=float, default=MetricSettings().metrics_budget_s)
    options = parser.parse_args()
    threads = MetricSettings().threads
    _, took = timed(kernels.compile_all)
    print(
        f"compiling, or loading what was compiled: {took.wall:.1f} s; load {os.getloadavg()[0]:.1f} on {threads} cores"
    )
    for nodes in options.nodes:
        beside_networkx(nodes, threads)
    if options.large:
        within_budget(options.large, options.budget, threads)


if __name__ == "__main__":
    main()

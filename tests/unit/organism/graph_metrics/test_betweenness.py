"""Sharding, budgets and pivots; time is a clock that the test turns."""

import itertools
import math
import random
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest

from include.organism.graph_metrics.betweenness import (
    BLOCK,
    DELTA,
    accumulate,
    betweenness,
    combine,
    shards,
    sources_of,
)
from include.organism.graph_metrics.ties import csr


@pytest.fixture(scope="module")
def graph():
    made = nx.barabasi_albert_graph(400, 3, seed=1)
    source, target = (np.array(column, np.int32) for column in zip(*made.edges, strict=True))
    both = np.concatenate([source, target]), np.concatenate([target, source])
    return csr(*both, np.ones(2 * len(source)), 420)


def part(graph, sources, **arguments):
    return accumulate(graph, sources, **{"lengths": None, "budget_s": math.inf, "threads": 2, **arguments})


def steps(seconds):
    """A clock that goes on by so much at every look."""
    ticks = itertools.count(0, seconds)
    return lambda: next(ticks)


def test_isolated_nodes_are_no_sources(graph):
    assert sorted(sources_of(graph, 3)) == list(range(400))
    assert list(sources_of(graph, 3)) != list(sources_of(graph, 4))


def test_the_same_to_the_last_bit_with_any_number_of_threads(graph):
    sources = sources_of(graph, 3)
    one = part(graph, sources, threads=1)
    for threads in (2, 5):
        many = part(graph, sources, threads=threads)
        assert np.array_equal(one.scores, many.scores)
        assert np.array_equal(one.squares, many.squares)


@pytest.mark.parametrize("count", [1, 3, 7, 1000])
def test_disjoint_shards_add_up(graph, count):
    sources = sources_of(graph, 3)
    lists = shards(sources, count)
    assert sorted(np.concatenate(lists)) == list(range(400))
    whole = betweenness(graph, seed=3)
    added = combine([part(graph, each) for each in lists], graph.nodes, len(sources))
    assert added.exact
    assert np.abs(added.values - whole.values).max() < 1e-15
    assert added.facts() == {"error_bound": 0.0}


def test_no_block_begins_after_the_budget(graph):
    # Looked at once at the start, and after each block: the fourth look is at 6 s, when the budget of 5 s is gone.
    found = part(graph, sources_of(graph, 3), threads=1, budget_s=5, clock=steps(2))
    assert found.sources.tolist() == sources_of(graph, 3)[: 3 * BLOCK].tolist()


def test_some_block_is_done_however_short_the_time(graph):
    assert part(graph, sources_of(graph, 3), threads=1, budget_s=0, clock=steps(1)).sources.size == BLOCK


def test_pivots_are_unbiased_and_their_error_is_stated(graph):
    """Over many seeds: the mean is the true value, the stated error the true spread, the bound is never broken."""
    whole = betweenness(graph).values
    found = []
    for seed in range(60):
        sources = sources_of(graph, seed)
        one = combine([part(graph, sources[:BLOCK], threads=1)], graph.nodes, len(sources))
        assert not one.exact
        assert one.k == BLOCK
        assert np.abs(one.values - whole).max() <= one.bound
        found.append(one)
    values = np.array([each.values for each in found])
    stated = np.sqrt(np.mean([each.standard_error**2 for each in found], axis=0))
    top = np.argsort(-whole)[:40]
    spread = values[:, top].std(axis=0, ddof=1)
    assert np.abs(values[:, top].mean(axis=0) - whole[top]).max() < 5 * (spread / math.sqrt(60)).max()
    assert np.median(stated[top] / spread) == pytest.approx(1, abs=0.2)
    facts = found[0].facts()
    assert facts["error_bound"] == found[0].bound > facts["standard_error_max"] > 0
    assert facts["error_bound_chance"] == 1 - DELTA
    assert 0 < facts["top_relative_standard_error"] < 1


def test_pivots_are_scaled_as_networkx_scales_them():
    made = nx.barabasi_albert_graph(150, 2, seed=5)
    source, target = (np.array(column, np.int32) for column in zip(*made.edges, strict=True))
    graph = csr(np.concatenate([source, target]), np.concatenate([target, source]), np.ones(2 * len(source)), 150)
    pivots = np.array(random.Random(9).sample(list(made), 20), np.int32)
    found = combine([part(graph, pivots)], 150, 150)
    expected = nx.betweenness_centrality(made, k=20, seed=random.Random(9))
    assert np.abs(found.values - np.array([expected[node] for node in range(150)])).max() < 1e-15


def test_the_bound_is_that_of_the_paper(graph):
    sources = sources_of(graph, 0)
    one = combine([part(graph, sources[:200], threads=1)], graph.nodes, len(sources))
    assert one.bound == pytest.approx(399 / 419 * math.sqrt(math.log(2 * 420 / 0.1) / (2 * 199)))


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_too_small_to_lie_between(nodes):
    none = np.zeros(0, np.int32)
    found = betweenness(csr(none, none, np.zeros(0), nodes))
    assert found.values.tolist() == [0.0] * nodes
    assert found.exact


def test_an_error_in_a_thread_is_raised(graph, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr("include.organism.graph_metrics.kernels.dependencies_by_hops", refuse)
    with pytest.raises(MemoryError):
        part(graph, sources_of(graph, 3))


def test_nothing_new_begins_when_the_task_is_interrupted(graph, monkeypatch):
    """A time-out of the task is raised in the thread that waits."""
    begun = []
    submit = ThreadPoolExecutor.submit

    def counted(self, *arguments):
        begun.append(1)
        return submit(self, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", counted)

    looks = itertools.count()

    def clock():
        if next(looks) == 2:
            raise TimeoutError
        return 0.0

    with pytest.raises(TimeoutError):
        part(graph, sources_of(graph, 3), threads=2, clock=clock)
    assert len(begun) == 3

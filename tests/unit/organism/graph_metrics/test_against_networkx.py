"""Every metric is what networkx says of the graph that its definition names."""

from datetime import UTC, datetime

import networkx as nx
import numpy as np
import pytest

from include.organism.graph_metrics import kernels
from include.organism.graph_metrics.betweenness import betweenness
from include.organism.graph_metrics.measure import measure
from include.organism.graph_metrics.settings import Distance, MetricSettings
from include.organism.graph_metrics.ties import csr, distances, ties
from tests.unit.organism.graph_metrics.graphs import NOW, SAME, directed, random_snapshot, undirected

WHEN = datetime.fromtimestamp(NOW / 1000, UTC)
SETTINGS = MetricSettings(metrics_threads=2)


def values(found):
    return np.array([np.nan if each is None else each for each in found.values()], float)


def weighted(value, weight):
    return {"weight": weight} if value else {}


@pytest.fixture(scope="module")
def world():
    found = random_snapshot()
    active = directed(found, window_days=SETTINGS.metrics_window_days)
    return measure(found, WHEN, SETTINGS), found, active, undirected(active)


def test_degree_centrality_of_all_time(world):
    measured, found, _, _ = world
    expected = nx.degree_centrality(directed(found).to_undirected())
    assert np.abs(measured.values["degree_centrality"] - values(expected)).max() < SAME


def test_strength_of_all_time(world):
    measured, found, _, _ = world
    expected = dict(directed(found).degree(weight="all"))
    assert np.abs(measured.values["strength"] - values(expected)).max() < SAME


def test_betweenness_by_hops(world):
    measured, _, _, both = world
    assert np.abs(measured.values["betweenness_centrality"] - values(nx.betweenness_centrality(both))).max() < SAME


def test_betweenness_by_strength(world):
    _, found, _, both = world
    for _, _, data in both.edges(data=True):
        data["length"] = 1000 if data["weight"] == 0 else min(max(round(100 / data["weight"]), 1), 1000)
    by_strength = MetricSettings(metrics_threads=2, metrics_distance=Distance.STRENGTH)
    measured = measure(found, WHEN, by_strength)
    expected = nx.betweenness_centrality(both, weight="length")
    assert np.abs(measured.values["betweenness_centrality"] - values(expected)).max() < SAME
    assert measured.facts["betweenness_centrality"]["definition"].endswith("-strength")


def test_clustering(world):
    measured, _, _, both = world
    assert np.abs(measured.values["clustering_coefficient"] - values(nx.clustering(both))).max() < SAME


def test_pagerank(world):
    measured, _, active, _ = world
    expected = nx.pagerank(active, alpha=0.85, tol=1e-15, max_iter=1000)
    assert np.abs(measured.values["pagerank"] - values(expected)).max() < SAME


def test_constraint(world):
    measured, _, active, _ = world
    found, expected = measured.values["burt_constraint"], values(nx.constraint(active, weight="weight"))
    assert np.nanmax(np.abs(found - expected)) < SAME
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found).any()


def test_reciprocity(world):
    measured, _, active, _ = world
    found, expected = measured.values["reciprocity"], values(nx.reciprocity(active, active.nodes))
    assert np.nanmax(np.abs(found - expected)) < SAME
    assert np.array_equal(np.isnan(found), np.isnan(expected))


def test_communities_are_networkx_own_partition(world):
    measured, _, _, both = world
    heavy = nx.Graph()
    heavy.add_weighted_edges_from((a, b, w) for a, b, w in sorted(both.edges(data="weight")) if w > 0)
    label = measured.community
    groups = [set(np.flatnonzero(label == number).tolist()) for number in range(label.max() + 1)]
    assert set().union(*groups) == set(heavy)
    assert [len(group) for group in groups] == sorted((len(group) for group in groups), reverse=True)
    facts = measured.facts["community"]
    assert facts["modularity"] == pytest.approx(nx.community.modularity(heavy, groups), abs=SAME)
    assert facts["modularity"] > 0.1
    assert np.array_equal(measure(random_snapshot(), WHEN, SETTINGS).community, label)


def test_out_of_team_share(world):
    measured, found, _, both = world
    team = found.people.team
    for person, share in enumerate(measured.values["out_of_team_share"]):
        known = {other: data["weight"] for other, data in both[person].items() if team[other] >= 0}
        total = sum(known.values())
        if team[person] < 0 or total == 0:
            assert np.isnan(share)
        else:
            outside = sum(weight for other, weight in known.items() if team[other] != team[person])
            assert share == pytest.approx(outside / total, abs=SAME)


@pytest.mark.parametrize(
    "made",
    [
        nx.path_graph(75),
        nx.star_graph(40),
        nx.grid_2d_graph(9, 13),
        nx.complete_graph(20),
        nx.disjoint_union_all([nx.barbell_graph(9, 12), nx.cycle_graph(30), nx.balanced_tree(2, 4), nx.empty_graph(5)]),
    ],
    ids=["path", "star", "grid", "complete", "parts"],
)
def test_betweenness_of_shapes(made):
    """Deep ones are searched by pushing, dense ones by pulling; eight sources at a time, and those that are left."""
    graph, _ = of_networkx(made)
    found = betweenness(graph, seed=3)
    assert found.exact
    expected = nx.betweenness_centrality(nx.convert_node_labels_to_integers(made, ordering="sorted"))
    assert np.abs(found.values - [expected[node] for node in range(len(made))]).max() < SAME


@pytest.mark.parametrize(("kind", "length"), [(nx.Graph, None), (nx.Graph, "length"), (nx.DiGraph, "length")])
def test_betweenness_of_graphs_of_either_kind(kind, length):
    made = nx.gnp_random_graph(120, 0.04, seed=3, directed=kind is nx.DiGraph)
    rng = np.random.default_rng(4)
    # Few lengths, so that many paths are equally long.
    nx.set_edge_attributes(made, {edge: int(rng.integers(1, 4)) for edge in made.edges}, "length")
    rows = [(a, b, w) for a, b, w in made.edges(data="length")]
    rows += [] if made.is_directed() else [(b, a, w) for a, b, w in rows]
    source, target, weight = (np.array(column) for column in zip(*rows, strict=True))
    graph = csr(source.astype(np.int32), target.astype(np.int32), weight.astype(float), len(made))
    found = betweenness(graph, lengths=None if length is None else graph.weights.astype(np.int32), seed=7)
    assert found.exact
    assert np.abs(found.values - values(nx.betweenness_centrality(made, weight=length))).max() < SAME


def test_equal_paths_of_unequal_parts_are_equal():
    """With lengths .1 + .2 and .15 + .15 libraries disagree who lies on the shortest path; as integers both do."""
    rows = [(0, 1, 10.0), (1, 3, 5.0), (0, 2, 100 / 15), (2, 3, 100 / 15)]
    source, target, weight = (
        np.array(column) for column in zip(*[*rows, *[(b, a, w) for a, b, w in rows]], strict=True)
    )
    graph = csr(source.astype(np.int32), target.astype(np.int32), weight.astype(float), 4)
    lengths = distances(graph)
    assert sorted(set(lengths.tolist())) == [10, 15, 20]
    found = betweenness(graph, lengths=lengths)
    assert found.values[1] == found.values[2] > 0


# --- published numbers --------------------------------------------------------------


def of_networkx(made):
    made = nx.convert_node_labels_to_integers(made, ordering="sorted", label_attribute="name")
    rows = [pair for a, b in made.edges for pair in ((a, b), (b, a))]
    source, target = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    names = [made.nodes[node]["name"] for node in sorted(made)]
    return csr(source, target, np.ones(len(rows)), len(made)), names


def test_florentine_families():
    """Jackson, "Social and Economic Networks" (2008), section 1.2.1, on Padgett and Ansell's marriages."""
    graph, names = of_networkx(nx.florentine_families_graph())
    found = dict(zip(names, betweenness(graph).values, strict=True))
    assert found["Medici"] == pytest.approx(0.522, abs=5e-4)
    assert found["Guadagni"] == pytest.approx(0.255, abs=5e-4)
    assert found["Strozzi"] == pytest.approx(0.103, abs=5e-4)


def test_karate_club():
    """Zachary's club as the network repositories describe it: 45 triangles, average clustering .5706."""
    graph, _ = of_networkx(nx.karate_club_graph())
    counted = kernels.triangles(graph.indptr, graph.indices)
    assert counted.sum() / 3 == 45
    pairs = graph.degree * (graph.degree - 1) / 2
    assert (counted / np.maximum(pairs, 1)).mean() == pytest.approx(0.5706, abs=5e-5)
    # Freeman's betweenness of the instructor and the president, as in networkx' own documentation.
    found = betweenness(graph).values
    assert found[[0, 33]] == pytest.approx([0.4376, 0.3041], abs=5e-5)


def test_ties_of_weight_zero_are_ties():
    found = random_snapshot()
    assert (found.edges.recency == 0).any()
    graphs = ties(found, NOW, 0)
    assert len(graphs.directed.indices) == len(found.edges)

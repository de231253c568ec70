"""E-mails of a research institution (SNAP), from the folder of shared data: published statistics, and networkx's.

`email-Eu-core.txt` is SNAP's static network. The file that is usually there, `email-Eu-core-temporal-subset.txt`, holds
a quarter of the e-mails of another of its data sets under other numbers, so nothing published is true of it: networkx
says what is.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components, shortest_path

from include.organism.graph_metrics import kernels
from include.organism.graph_metrics.measure import measure
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.graph_metrics.snapshot import Edges, snapshot
from include.organism.graph_metrics.ties import ties
from tests.unit.organism.graph_metrics.graphs import HALF_LIFE_MS, NOW, SAME, directed, people, undirected

WHEN = datetime.fromtimestamp(NOW / 1000, UTC)
SETTINGS = MetricSettings(metrics_threads=2)


def rows(name):
    folder = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[5] / "shared" / "data")
    if not (folder / name).is_file():
        pytest.skip(f"no {name}: set SHARED_DATA to the folder that holds it")
    return np.loadtxt(folder / name, np.int64)


def of_pairs(source, target, weight):
    """A snapshot in which everything has happened just now."""
    known, ends = np.unique(np.concatenate([source, target]), return_inverse=True)
    source, target = np.split(ends.astype(np.int32), 2)
    weight = weight.astype(float)
    columns = Edges(source, target, weight, weight, np.full(len(source), NOW))
    return snapshot(people(len(known), teams=12), columns, HALF_LIFE_MS)


def test_what_snap_publishes():
    """snap.stanford.edu/data/email-Eu-core.html, each to its last digit."""
    source, target = rows("email-Eu-core.txt").T
    found = of_pairs(source, target, np.ones(len(source)))
    assert (len(found.people), len(found.edges) + found.dropped["self_loop"]) == (1_005, 25_571)
    assert set(found.dropped) == {"self_loop"}
    graphs = ties(found, NOW, 0)
    for kind, nodes, edges in (("weak", 986, 25_552), ("strong", 803, 24_729)):
        matrix = sparse.csr_array((graphs.directed.weights, graphs.directed.indices, graphs.directed.indptr))
        label = connected_components(matrix, directed=True, connection=kind)[1]
        largest = label == np.bincount(label).argmax()
        assert largest.sum() == nodes
        # SNAP counts self loops, too.
        ends = np.searchsorted(np.unique(np.concatenate([source, target])), [source, target])
        assert largest[ends].all(axis=0).sum() == edges
    measured = measure(found, WHEN, SETTINGS)
    assert round(measured.values["clustering_coefficient"].mean(), 4) == 0.3994
    triangles = kernels.triangles(graphs.undirected.indptr, graphs.undirected.indices).sum() / 3
    assert triangles == 105_461
    pairs = (graphs.undirected.degree * (graphs.undirected.degree - 1) / 2).sum()
    # A triangle closes three pairs of neighbours. SNAP counts it once: closed / (closed + open).
    assert round(triangles / (triangles + pairs - 3 * triangles), 4) == 0.1085
    matrix = sparse.csr_array((graphs.undirected.weights, graphs.undirected.indices, graphs.undirected.indptr))
    hops = shortest_path(matrix, unweighted=True)
    assert hops[np.isfinite(hops)].max() == 7


@pytest.fixture(scope="module")
def mails():
    pairs, count = np.unique(rows("email-Eu-core-temporal-subset.txt")[:, :2], axis=0, return_counts=True)
    found = of_pairs(*pairs.T, count)
    active = directed(found)
    return found, measure(found, WHEN, SETTINGS), active, undirected(active)


def test_what_is_known_of_the_mails(mails):
    found, measured, *_ = mails
    assert (len(found.people), len(found.edges), dict(found.dropped)) == (816, 11_685, {})
    assert measured.values["strength"].sum() == 2 * 83_083


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("betweenness_centrality", lambda _, both: nx.betweenness_centrality(both)),
        ("clustering_coefficient", lambda _, both: nx.clustering(both)),
        ("pagerank", lambda one_way, _: nx.pagerank(one_way, tol=1e-15, max_iter=1_000)),
        ("burt_constraint", lambda one_way, _: nx.constraint(one_way, weight="weight")),
        ("reciprocity", lambda one_way, _: nx.reciprocity(one_way, one_way.nodes)),
    ],
)
def test_networkx_says_the_same_of_the_mails(mails, name, theirs):
    _, measured, one_way, both = mails
    expected = theirs(one_way, both)
    assert np.abs(measured.values[name] - [expected[node] for node in both]).max() < SAME

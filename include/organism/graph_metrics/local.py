"""Metrics of a person's own ties. Definitions and sources: `definitions.py`."""

from __future__ import annotations

import numpy as np

from include.organism.graph_metrics import kernels
from include.organism.graph_metrics.snapshot import Floats, Ints
from include.organism.graph_metrics.ties import Csr

NO_TEAM = -1


def degree_centrality(graph: Csr) -> Floats:
    """Neighbours / (n - 1); 0 for a lone node."""
    return graph.degree / max(graph.nodes - 1, 1)


def clustering(graph: Csr) -> Floats:
    """Share of a node's pairs of neighbours that are neighbours themselves; 0 below two neighbours."""
    degree = graph.degree
    pairs = degree * (degree - 1) / 2
    return kernels.triangles(graph.indptr, graph.indices) / np.maximum(pairs, 1)


def constraint(graph: Csr) -> Floats:
    """Burt's constraint; NaN without weight."""
    total = graph.row_sums()
    share = graph.weights / np.where(total > 0, total, 1.0)[graph.tails()]
    return kernels.constraint(graph.indptr, graph.indices, share)


def reciprocity(directed: Csr) -> Floats:
    """Share of a node's directed ties that are answered; NaN without ties."""
    n = directed.nodes
    tails, heads = directed.tails().astype(np.int64), directed.indices.astype(np.int64)
    answered = np.isin(tails * n + heads, heads * n + tails)
    mutual = np.bincount(tails[answered], minlength=n)
    total = directed.degree + np.bincount(heads, minlength=n)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * mutual / np.where(total > 0, total, np.nan))


def out_of_team_share(undirected: Csr, team: Ints) -> Floats:
    """Share of a node's weight that goes to other teams, of the weight to people whose team is known.

    NaN for people without a team, or without weight to such people.
    """
    own, others = team[undirected.tails()], team[undirected.indices]
    known = np.where(others != NO_TEAM, undirected.weights, 0.0)
    total = undirected.row_sums(known)
    outside = undirected.row_sums(np.where(others != own, known, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = outside / total
    return np.where((team != NO_TEAM) & (total > 0), share, np.nan)

"""Communities by Louvain's method."""

from __future__ import annotations

import numpy as np

from include.organism.graph_metrics.snapshot import Ints
from include.organism.graph_metrics.ties import Csr

NONE = -1


def communities(undirected: Csr, seed: int) -> tuple[Ints, float]:
    """Number of each node's community, the largest first, and the modularity; -1 for nodes without weight.

    Louvain's method (Blondel et al., J. Stat. Mech. 2008) as networkx has it, seeded. The numbers mean nothing across
    runs. Ties of weight zero hold nothing together.
    """
    import networkx as nx

    graph: nx.Graph[int] = nx.Graph()
    tails = undirected.tails()
    once = (tails < undirected.indices) & (undirected.weights > 0)
    rows = zip(tails[once].tolist(), undirected.indices[once].tolist(), undirected.weights[once].tolist(), strict=True)
    graph.add_weighted_edges_from(rows)
    label = np.full(undirected.nodes, NONE, np.int32)
    if not graph:
        return label, 0.0
    found = nx.community.louvain_communities(graph, weight="weight", seed=seed)
    found.sort(key=lambda members: (-len(members), min(members)))
    for number, members in enumerate(found):
        label[list(members)] = number
    return label, float(nx.community.modularity(graph, found, weight="weight"))

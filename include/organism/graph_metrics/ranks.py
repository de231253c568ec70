"""PageRank of the directed, weighted graph."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import sparse

from include.organism.graph_metrics.snapshot import Floats
from include.organism.graph_metrics.ties import Csr

DAMPING: Final = 0.85
# Each step shrinks the error by the damping: 0.85^200 is 8e-15, so there is nothing to converge to beyond.
_MOST_STEPS: Final = 200
_ENOUGH: Final = 1e-14


def pagerank(directed: Csr) -> Floats:
    """PageRank with damping 0.85; who sends nothing is taken to send to everybody alike. Sums to 1.

    Source: Brin and Page 1998; the treatment of dangling nodes is networkx's default.
    """
    n = directed.nodes
    sent = directed.row_sums()
    share = directed.weights / np.where(sent > 0, sent, 1.0)[directed.tails()]
    pull = sparse.csr_array((share, directed.indices, directed.indptr), shape=(n, n)).T.tocsr()
    dangling = sent == 0
    rank = np.full(n, 1 / n)
    for _ in range(_MOST_STEPS):
        following = DAMPING * (pull @ rank + rank[dangling].sum() / n) + (1 - DAMPING) / n
        change = np.abs(following - rank).sum()
        rank = following
        if change < _ENOUGH:
            break
    return np.asarray(rank / rank.sum())

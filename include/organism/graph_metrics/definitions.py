"""What each metric means: graph, formula, source. Stored with every run, so that a number never travels without it.

`revision` is raised whenever a formula or its graph changes: numbers of two revisions are not comparable.
The page for people is docs/graph-metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVER: Final = "undirected, unweighted, all interactions ever"
ACTIVE: Final = "undirected, unweighted, ties with an interaction within the window"
ACTIVE_WEIGHTED: Final = "undirected, recency-weighted (both directions added), ties active within the window"
ACTIVE_DIRECTED: Final = "directed, recency-weighted, edges active within the window"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    Attributes:
        graph: which graph it is computed on.
        formula: how, n being all people of the snapshot.
        source: who defined it, and which function of networkx gives the same.
        method: how it is worked out here.
        engine: the library that does the work.
        revision: counts changes of the meaning.
    """

    graph: str
    formula: str
    source: str
    method: str
    engine: str = "numba"
    revision: int = 1


DEFINITIONS: Final[dict[str, Definition]] = {
    "degree_centrality": Definition(
        EVER,
        "distinct people interacted with in either direction / (n - 1)",
        "Freeman 1978; networkx.degree_centrality",
        "counted",
        "numpy",
    ),
    "strength": Definition(
        "directed, weighted, all interactions ever",
        "sum of the weights of the edges in both directions",
        "Barrat et al. 2004; networkx degree(weight='weight')",
        "summed",
        "numpy",
    ),
    "betweenness_centrality": Definition(
        ACTIVE,
        "sum over ordered pairs of the share of their shortest paths through the person / ((n - 1)(n - 2))",
        "Freeman 1977, Brandes 2001; networkx.betweenness_centrality(normalized=True)",
        "Brandes, all sources",
    ),
    "clustering_coefficient": Definition(
        ACTIVE,
        "triangles through the person / (d (d - 1) / 2), d = neighbours; 0 for d < 2",
        "Watts and Strogatz 1998; networkx.clustering",
        "triangles counted",
    ),
    "pagerank": Definition(
        ACTIVE_DIRECTED,
        "stationary distribution of a walk that follows an edge by its weight with 0.85, else jumps anywhere",
        "Brin and Page 1998; networkx.pagerank(alpha=0.85, weight='weight')",
        "power iteration to 1e-14",
        "scipy",
    ),
    "burt_constraint": Definition(
        ACTIVE_WEIGHTED,
        "sum over neighbours v of (p_uv + sum_w p_uw p_wv)^2, p_uv = share of u's weight that goes to v; null: no tie",
        "Burt 1992; networkx.constraint(weight='weight')",
        "summed over neighbours of neighbours",
    ),
    "community": Definition(
        ACTIVE_WEIGHTED,
        "number of the community, 0 the largest; null: no weight. Numbers mean nothing across runs",
        "Blondel et al. 2008; networkx.community.louvain_communities",
        "Louvain, seeded",
        "networkx",
    ),
    "reciprocity": Definition(
        "directed, unweighted, edges active within the window",
        "2 x edges that are answered / (edges out + edges in); null: no edge",
        "networkx.reciprocity(nodes)",
        "counted",
        "numpy",
    ),
    "out_of_team_share": Definition(
        ACTIVE_WEIGHTED,
        "weight to people of other teams / weight to people whose team is known; null: no team, or no such weight",
        "the external share of Krackhardt and Stern's E-I index (1988)",
        "summed",
        "numpy",
    ),
}
HOPS_TO_STRENGTH: Final = (
    "undirected, ties active within the window, length of a tie = round(100 / recency weight) from 1 to 1000"
)

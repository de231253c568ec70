"""All metrics of a snapshot, each computed once from the same edge list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from include.organism.graph_metrics import local
from include.organism.graph_metrics.betweenness import Betweenness, Part, accumulate, combine, sources_of
from include.organism.graph_metrics.communities import NONE, communities
from include.organism.graph_metrics.definitions import DEFINITIONS, HOPS_TO_STRENGTH
from include.organism.graph_metrics.ranks import pagerank
from include.organism.graph_metrics.settings import Distance, MetricSettings
from include.organism.graph_metrics.snapshot import Floats, Ints, Snapshot
from include.organism.graph_metrics.ties import Ties, distances, ties

if TYPE_CHECKING:
    import polars as pl

    from include.organism.graph_metrics.snapshot import People


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of a snapshot.

    Attributes:
        people: whose they are.
        values: by metric, one value a person; NaN where it is not defined.
        community: one number a person; -1: none.
        facts: by metric how it was made: definition, graph, formula, source, method, k, seed, engine, version, error;
            under `graph` what was read.
        seconds: by phase.
    """

    people: People
    values: dict[str, Floats]
    community: Ints
    facts: dict[str, dict[str, Any]]
    seconds: dict[str, float]

    def frame(self) -> pl.DataFrame:
        """One row a person, columns as in `organism.employee_metrics`; undefined values are null."""
        import polars as pl

        names = pl.Series([*self.people.teams, None], dtype=pl.String)
        # -1 is the last one: no team.
        team = names.gather(np.where(self.people.team < 0, len(names) - 1, self.people.team))
        return pl.DataFrame(
            {
                "employee_id": pl.Series(self.people.ids, dtype=pl.String),
                "team": team,
                "is_manager": self.people.is_manager,
                "community": pl.Series(self.community).replace(NONE, None),
                **{name: pl.Series(values).fill_nan(None) for name, values in self.values.items()},
            }
        )

    def summary(self) -> dict[str, Any]:
        """Figures of the graph as a whole."""
        graph, people = self.facts["graph"], len(self.people)
        pairs = people * (people - 1)
        return {
            "people": people,
            "edges": graph["edges"],
            "active_ties": graph["active_ties"],
            "density": graph["edges"] / pairs if pairs else 0.0,
            "average_clustering": float(self.values["clustering_coefficient"].mean()),
            "communities": self.facts["community"]["communities"],
            "modularity": self.facts["community"]["modularity"],
        }


def measure(
    snapshot: Snapshot,
    measured_at: datetime,
    settings: MetricSettings,
    *,
    parts: list[Part] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Compute all metrics.

    Args:
        snapshot: at least one person.
        measured_at: logical time of the run.
        settings: budget, threads, window, seed, distance.
        parts: of betweenness, when they were worked out elsewhere; they cover the list of sources disjointly.
        clock: seconds.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(phase: str) -> Iterator[None]:
        start = clock()
        yield
        seconds[phase] = round(clock() - start, 3)

    with timed("graphs"):
        graphs = ties(snapshot, snapshot.as_of(measured_at), settings.metrics_window_days)
    with timed("betweenness"):
        between = _betweenness(graphs, settings, parts, clock)
    with timed("local"):
        values = {
            "degree_centrality": local.degree_centrality(graphs.ever),
            "strength": graphs.ever.row_sums(),
            "betweenness_centrality": between.values,
            "clustering_coefficient": local.clustering(graphs.undirected),
            "pagerank": pagerank(graphs.directed),
            "burt_constraint": local.constraint(graphs.undirected),
            "reciprocity": local.reciprocity(graphs.directed),
            "out_of_team_share": local.out_of_team_share(graphs.undirected, snapshot.people.team),
        }
    with timed("communities"):
        community, modularity = communities(graphs.undirected, settings.metrics_seed)
    facts = _facts(between, settings)
    facts["community"] |= {"communities": int(community.max(initial=NONE)) + 1, "modularity": modularity}
    facts["graph"] = _graph_facts(snapshot, graphs, measured_at)
    return Measured(snapshot.people, values, community, facts, seconds)


def lengths_of(graphs: Ties, distance: Distance) -> Ints | None:
    """Integer lengths of the undirected ties; None: each is one."""
    return distances(graphs.undirected) if distance is Distance.STRENGTH else None


def _betweenness(
    graphs: Ties, settings: MetricSettings, parts: list[Part] | None, clock: Callable[[], float]
) -> Betweenness:
    sources = sources_of(graphs.undirected, settings.metrics_seed)
    if parts is None:
        parts = [
            accumulate(
                graphs.undirected,
                sources,
                lengths=lengths_of(graphs, settings.metrics_distance),
                budget_s=settings.metrics_budget_s,
                threads=settings.threads,
                clock=clock,
            )
        ]
    return combine(parts, graphs.undirected.nodes, len(sources))


def _facts(between: Betweenness, settings: MetricSettings) -> dict[str, dict[str, Any]]:
    versions = {engine: version(engine) for engine in {each.engine for each in DEFINITIONS.values()}}
    facts: dict[str, dict[str, Any]] = {
        name: {
            "definition": f"{name}/{each.revision}",
            "graph": each.graph,
            "formula": each.formula,
            "source": each.source,
            "method": each.method,
            "engine": each.engine,
            "version": versions[each.engine],
            "k": None,
            "seed": None,
            "error_bound": 0.0,
        }
        for name, each in DEFINITIONS.items()
    }
    facts["community"]["seed"] = settings.metrics_seed
    stated = facts["betweenness_centrality"]
    stated |= {"k": between.k, "sources": between.population, "seed": settings.metrics_seed, **between.facts()}
    if not between.exact:
        stated["method"] = "Brandes, k sources drawn without replacement, scaled"
    if settings.metrics_distance is Distance.STRENGTH:
        stated |= {"graph": HOPS_TO_STRENGTH, "definition": f"{stated['definition']}-strength"}
    return facts


def _graph_facts(snapshot: Snapshot, graphs: Ties, measured_at: datetime) -> dict[str, Any]:
    as_of = datetime.fromtimestamp(graphs.as_of / 1000, UTC)
    return {
        "people": len(snapshot.people),
        "edges": len(snapshot.edges),
        "active_edges": len(graphs.directed.indices),
        "active_ties": len(graphs.undirected.indices) // 2,
        "as_of": as_of.isoformat(),
        "behind_s": round((measured_at - as_of).total_seconds(), 3),
        "window_days": graphs.window_ms / 86_400_000,
        "half_life_days": snapshot.half_life_ms / 86_400_000,
        "dropped": dict(snapshot.dropped),
    }

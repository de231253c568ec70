"""Measurements for tests."""

from datetime import UTC, datetime, timedelta

import polars as pl

from include.organism.metric_store import writer

# A Monday.
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
FACTS = {"betweenness_centrality": {"method": "exact", "engine": "own", "version": "1", "definition": "networkx"}}


def people(count=3, *, teams=1, scale=1.0, **columns):
    """A frame of people p0, p1, ...; `columns` replaces whole columns."""
    base = {
        "employee_id": [f"p{number}" for number in range(count)],
        "team": [f"team {number % teams}" for number in range(count)],
        "is_manager": [number % 10 == 0 for number in range(count)],
        "degree_centrality": [scale * number / 10 for number in range(count)],
        "strength": [scale * number for number in range(count)],
        "betweenness_centrality": [scale * 0.1 + 0.2 for _ in range(count)],
        "clustering_coefficient": [0.25] * count,
        "pagerank": [1.0 / max(count, 1)] * count,
        "community": list(range(count)),
        "burt_constraint": [float("nan") if number == 0 else 0.5 for number in range(count)],
    }
    columns = {**base, **columns}
    kinds = {"employee_id": pl.String, "team": pl.String, "is_manager": pl.Boolean, "community": pl.Int32}
    return pl.DataFrame(columns, schema={name: kinds.get(name, pl.Float64) for name in columns})


def run(connection, frame, at=NOON, hours=0, edges=7):
    """Write a run; returns what was written."""
    moment = at + timedelta(hours=hours)
    epoch = writer.begin(connection, moment, "run")
    return writer.write(connection, writer.MetricRun(moment, epoch, edges, FACTS, {"total": 1.5}), frame)

"""One refresh of the metrics: read once, compute, store, write back, fill the caches.

Every step may be repeated, and every writer is fenced: a run's rows belong to its logical time, and an earlier try of
it that wakes up late writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import neo4j
import psycopg
import redis

from include.operations.errors import InputRejected
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism import cache
from include.organism.graph_metrics import shards
from include.organism.graph_metrics.measure import Measured, measure
from include.organism.graph_metrics.nodes import MetricNodes
from include.organism.graph_metrics.read import read_snapshot
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.metric_store import writer

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)
Manifest = dict[str, Any]

_EXCLUDED = "select employee_id from organism.excluded_person"


class NobodyToMeasure(InputRejected):
    """The graph has no people, or all have opted out; the metrics there are stay as they are."""

    code = "NOBODY_TO_MEASURE"


@dataclass(frozen=True, slots=True)
class Clients:
    """Open clients; the warehouse is opened for each step, because minutes of computing lie between them."""

    warehouse: Callable[[], AbstractContextManager[psycopg.Connection]]
    driver: neo4j.Driver
    database: str | None
    redis: redis.Redis


def refresh(
    clients: Clients, settings: MetricSettings, half_life_ms: float, measured_at: datetime, run: str
) -> Manifest:
    """Measure the graph for a logical time.

    Returns:
        Figures of the run: `rows_in` (edges read), `rows_out` (people measured), `active_ties`, `behind_s`, `dropped`
        edges by reason, `betweenness` (k, sources, error_bound), `table` (rows changed, removed, left out),
        `nodes_written` (false: a later run's numbers are on the nodes and stay there), `cached` keys, `seconds` by
        phase.

    Raises:
        NobodyToMeasure: there is nobody.
        LeaseLost: a later try of this run goes on.
    """
    nodes = MetricNodes(clients.driver, clients.database)
    with clients.warehouse() as connection:
        epoch = writer.begin(connection, measured_at, run)
        excluded = [row[0] for row in connection.execute(_EXCLUDED)]
    turn = nodes.begin(measured_at, run)
    fault_point("refresh.begun")
    with clients.warehouse() as connection:
        laid = shards.load(connection, measured_at)
        parts = None if laid is None else shards.collect(connection, measured_at, laid)
    if laid is None:
        snapshot = read_snapshot(clients.driver, clients.database, half_life_ms, excluded)
    else:
        snapshot, settings = laid.snapshot, laid.settings
    if not len(snapshot.people):
        raise NobodyToMeasure(
            "there is nobody in the people graph to measure",
            what_to_do="load a roster or let interactions arrive: python -m include.cli interactions lag",
        )
    fault_point("refresh.read")
    measured = measure(snapshot, measured_at, settings, parts=parts)
    fault_point("refresh.measured")
    frame = measured.frame()
    with clients.warehouse() as connection:
        facts = writer.MetricRun(measured_at, epoch, len(snapshot.edges), measured.facts, measured.seconds)
        written = writer.write(connection, facts, frame)
    fault_point("refresh.stored")
    done = turn is not None and nodes.publish(turn, _rows(measured))
    fault_point("refresh.nodes_written")
    cached = _cache(clients.redis, frame, measured, measured_at) if done else 0
    if laid is not None:
        with clients.warehouse() as connection:
            shards.clear(connection, measured_at, laid)
    return _report(measured, written, cached, nodes_written=done)


def _rows(measured: Measured) -> list[tuple[str, float, float]]:
    between, clustering = (measured.values[name] for name in ("betweenness_centrality", "clustering_coefficient"))
    return list(zip(measured.people.ids, between.tolist(), clustering.tolist(), strict=True))


def _cache(client: redis.Redis, frame: pl.DataFrame, measured: Measured, measured_at: datetime) -> int:
    people = ((row.pop("employee_id"), row) for row in frame.iter_rows(named=True))
    return cache.fill(client, measured.summary(), people, measured_at.isoformat())


def _report(measured: Measured, written: writer.Written, cached: int, *, nodes_written: bool) -> Manifest:
    graph, between = measured.facts["graph"], measured.facts["betweenness_centrality"]
    report: Manifest = {
        "rows_in": graph["edges"],
        "rows_out": written.people,
        "active_ties": graph["active_ties"],
        "behind_s": graph["behind_s"],
        "dropped": graph["dropped"],
        "betweenness": {name: between[name] for name in ("k", "sources", "error_bound")},
        "table": {"changed": written.changed, "removed": written.removed, "left_out": written.left_out},
        "nodes_written": nodes_written,
        "cached": cached,
        "seconds": measured.seconds,
    }
    log_event(log, "graph_measured", **_flat(report))
    unusable = graph["dropped"].get("unusable", 0)
    if unusable:
        log_event(log, "edges_unusable", level=logging.ERROR, error_class="VALIDATION", edges=unusable)
    return report


def _flat(report: Manifest) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in report.items():
        flat |= {f"{name}_{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat

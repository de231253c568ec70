"""Betweenness of a graph too large for one worker's time: spread over mapped tasks, which may run on other machines.

`plan` reads the graph once and lays it into `organism.metric_work`; each shard works through its own part of the
sources and lays its sums beside it; the refresh adds them up. All of them name the snapshot they belong to, so that
parts of two readings are never added.
"""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, cast

import neo4j
import numpy as np
import psycopg

from include.operations.errors import LeaseLost
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.graph_metrics.betweenness import Part, accumulate, shards, sources_of
from include.organism.graph_metrics.measure import lengths_of
from include.organism.graph_metrics.read import read_snapshot
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.graph_metrics.snapshot import Edges, Ints, People, Snapshot
from include.organism.graph_metrics.ties import Ties, ties

log = logging.getLogger(__name__)

# Seconds a source takes for each tie: 1.7 ms at 100,000 ties. Only whether it is worth spreading hangs on it.
_SECONDS_A_TIE: Final = 1.7e-8

_SIZE: Final = """
MATCH (e:Employee) WITH count(e) AS people MATCH ()-[r:INTERACTS]->() RETURN people, count(r) AS edges
"""
_CLEAR: Final = "delete from organism.metric_work where measured_at = %s"
_CLEAR_OWN: Final = "delete from organism.metric_work where measured_at = %s and snapshot = %s"
_LAY: Final = """
insert into organism.metric_work (measured_at, part, snapshot, shards, content) values (%s, %s, %s, %s, %s)
on conflict (measured_at, part) do update
set snapshot = excluded.snapshot, shards = excluded.shards, content = excluded.content, created_at = now()
"""
_GRAPH: Final = "select snapshot, shards, content from organism.metric_work where measured_at = %s and part = -1"
_HOLD: Final = "select snapshot from organism.metric_work where measured_at = %s and part = -1 for share"
_PARTS: Final = """
select part, content from organism.metric_work where measured_at = %s and snapshot = %s and part >= 0 order by part
"""
_WHOLE: Final = -1


@dataclass(frozen=True, slots=True)
class Work:
    """A graph that was laid out to be worked on.

    Attributes:
        key: which reading of the graph.
        shards: lists that its sources are divided into.
        snapshot: the graph.
        settings: those of the plan: every part has to be made with the same.
    """

    key: uuid.UUID
    shards: int
    snapshot: Snapshot
    settings: MetricSettings

    def sources(self, measured_at: datetime, shard: int) -> tuple[Ties, Ints]:
        """The graphs, and the sources of one shard."""
        graphs = ties(self.snapshot, self.snapshot.as_of(measured_at), self.settings.metrics_window_days)
        return graphs, shards(sources_of(graphs.undirected, self.settings.metrics_seed), self.shards)[shard]


def plan(
    connection: psycopg.Connection,
    driver: neo4j.Driver,
    database: str | None,
    settings: MetricSettings,
    half_life_ms: float,
    measured_at: datetime,
) -> list[int]:
    """Read and lay out a graph that is to be spread; returns the numbers of its shards.

    Returns:
        Nothing when the graph is not to be spread, which is when `metrics_shards` is 1, or when one worker can be exact
        within its budget: the refresh then reads and works by itself.
    """
    with connection.transaction():
        connection.execute(_CLEAR, [measured_at])
    if settings.metrics_shards == 1 or not _is_large(driver, database, settings):
        return []
    excluded = [row[0] for row in connection.execute("select employee_id from organism.excluded_person")]
    found = read_snapshot(driver, database, half_life_ms, excluded)
    fault_point("shards.read")
    graphs = ties(found, found.as_of(measured_at), settings.metrics_window_days)
    count = len(shards(sources_of(graphs.undirected, settings.metrics_seed), settings.metrics_shards))
    connection.execute(_LAY, [measured_at, _WHOLE, uuid.uuid4(), count, _packed(found, settings)])
    connection.commit()
    fault_point("shards.planned")
    log_event(log, "measurement_spread", people=len(found.people), edges=len(found.edges), shards=count)
    return list(range(count))


def work_on(connection: psycopg.Connection, measured_at: datetime, shard: int) -> dict[str, int]:
    """Work through one shard's sources until they or the time are used up; returns `sources` done and `of` how many.

    Raises:
        LeaseLost: the graph was laid out anew, or is gone: this shard belongs to a plan that is over.
    """
    laid = load(connection, measured_at)
    connection.commit()
    if laid is None or shard >= laid.shards:
        raise _over(measured_at)
    graphs, sources = laid.sources(measured_at, shard)
    part = accumulate(
        graphs.undirected,
        sources,
        lengths=lengths_of(graphs, laid.settings.metrics_distance),
        budget_s=laid.settings.metrics_budget_s,
        threads=laid.settings.threads,
    )
    fault_point("shards.worked")
    held = connection.execute(_HOLD, [measured_at]).fetchone()
    if held is None or held[0] != laid.key:
        raise _over(measured_at)
    content = _bytes(scores=part.scores, squares=part.squares, sources=part.sources)
    connection.execute(_LAY, [measured_at, shard, laid.key, laid.shards, content])
    connection.commit()
    fault_point("shards.laid")
    return {"sources": len(part.sources), "of": len(sources)}


def load(connection: psycopg.Connection, measured_at: datetime) -> Work | None:
    """The graph that was laid out for a logical time; None: there is none."""
    row = connection.execute(_GRAPH, [measured_at]).fetchone()
    return None if row is None else Work(row[0], row[1], *_unpacked(row[2]))


def collect(connection: psycopg.Connection, measured_at: datetime, laid: Work) -> list[Part]:
    """Sums of all shards.

    Raises:
        LeaseLost: some are not there: the graph was laid out anew.
    """
    rows = connection.execute(_PARTS, [measured_at, laid.key]).fetchall()
    if [number for number, _ in rows] != list(range(laid.shards)):
        raise _over(measured_at)
    arrays = [np.load(io.BytesIO(content), allow_pickle=False) for _, content in rows]
    return [Part(each["scores"], each["squares"], each["sources"]) for each in arrays]


def clear(connection: psycopg.Connection, measured_at: datetime, laid: Work) -> None:
    """Take away what was laid out, unless the graph has been laid out anew since; commits."""
    connection.execute(_CLEAR_OWN, [measured_at, laid.key])
    connection.commit()


def _is_large(driver: neo4j.Driver, database: str | None, settings: MetricSettings) -> bool:
    with driver.session(database=database) as session:
        row = session.execute_read(lambda tx: tx.run(cast("Any", _SIZE)).single())
    if row is None:
        return False
    seconds = row["people"] * row["edges"] * _SECONDS_A_TIE / settings.threads
    return bool(seconds > settings.metrics_budget_s)


def _over(measured_at: datetime) -> LeaseLost:
    return LeaseLost(
        f"the graph that was laid out for {measured_at:%Y-%m-%d %H:%M} is another one by now, or lacks parts",
        what_to_do="nothing, if a later try goes on; else clear the run's tasks from plan_betweenness on",
    )


def _bytes(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _packed(found: Snapshot, settings: MetricSettings) -> bytes:
    people, edges = found.people, found.edges
    return _bytes(
        ids=np.array(people.ids, np.str_),
        teams=np.array(people.teams, np.str_),
        team=people.team,
        is_manager=people.is_manager,
        source=edges.source,
        target=edges.target,
        weight=edges.weight,
        recency=edges.recency,
        last_ms=edges.last_ms,
        facts=np.array(
            json.dumps(
                {"half_life_ms": found.half_life_ms, "dropped": dict(found.dropped), "settings": asdict(settings)}
            )
        ),
    )


def _unpacked(content: bytes) -> tuple[Snapshot, MetricSettings]:
    got = np.load(io.BytesIO(content), allow_pickle=False)
    facts = json.loads(str(got["facts"]))
    people = People(got["ids"].tolist(), got["team"], got["teams"].tolist(), got["is_manager"])
    edges = Edges(*(got[name] for name in ("source", "target", "weight", "recency", "last_ms")))
    made = Snapshot(people, edges, facts["half_life_ms"], Counter(facts["dropped"]))
    return made, MetricSettings.from_env(**facts["settings"])

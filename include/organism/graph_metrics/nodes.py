"""Writes metrics onto the nodes of the people graph: fenced, idempotent, beside the 5-minute pipeline.

Only properties that nobody else writes: `betweenness_centrality`, `clustering_coefficient`, `metrics_at`, and
`metrics_epoch`, the try that wrote them. The degrees are the 5-minute pipeline's, which keeps them current.
`(:MetricsLedger {key})` says whose turn it is: a run with an older logical time leaves a newer run's numbers alone, a
try with an older epoch writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import neo4j

from include.operations.errors import LeaseLost
from include.operations.faults import fault_point

T = TypeVar("T")

_KEY: Final = "graph_metrics"
# Short transactions: the 5-minute pipeline wants the same nodes' locks. A deadlock with it is repeated by the driver.
_BATCH: Final = 2_000
_TIMEOUT_S: Final = 60.0

_SCHEMA: Final = "CREATE CONSTRAINT metrics_ledger_key IF NOT EXISTS FOR (l:MetricsLedger) REQUIRE l.key IS UNIQUE"

# The SET before the read takes the node's write lock: of two writers one waits here.
_BEGIN: Final = """
MERGE (l:MetricsLedger {key: $key})
ON CREATE SET l.epoch = 0, l.turn_ms = -1, l.metrics_at = -1
SET l.locked_at = timestamp()
WITH l WHERE l.turn_ms <= $at
SET l.epoch = l.epoch + 1, l.turn_ms = $at, l.run = $run
RETURN l.epoch AS epoch
"""
_LOCK: Final = """
MATCH (l:MetricsLedger {key: $key}) SET l.locked_at = timestamp() RETURN l.epoch AS epoch, l.turn_ms AS turn_ms
"""
# Of a person: [id, betweenness, clustering]. Who has opted out since the graph was read gets nothing.
_WRITE: Final = """
UNWIND $rows AS row
MATCH (e:Employee {id: row[0]}) WHERE NOT coalesce(e.opted_out, false) AND NOT coalesce(e.on_leave, false)
SET e.betweenness_centrality = row[1], e.clustering_coefficient = row[2], e.metrics_at = $at, e.metrics_epoch = $epoch
"""
# People of an earlier run, or of an earlier try of this one, who were not measured now.
_CLEAR: Final = """
MATCH (e:Employee) WHERE e.metrics_epoch <> $epoch
REMOVE e.betweenness_centrality, e.clustering_coefficient, e.metrics_at, e.metrics_epoch
"""
_FINISH: Final = "MATCH (l:MetricsLedger {key: $key}) SET l.metrics_at = $at, l.completed_at = timestamp()"


@dataclass(frozen=True, slots=True)
class Turn:
    """The right of one try to write: its run's logical time (epoch milliseconds) and its epoch."""

    at: int
    epoch: int


class MetricNodes:
    """Writes the metrics of runs onto nodes."""

    def __init__(self, driver: neo4j.Driver, database: str | None = None) -> None:
        self._driver = driver
        self._database = database

    def begin(self, measured_at: datetime, run: str) -> Turn | None:
        """Fence every earlier try off; None when a run with a later logical time has begun before."""
        at = round(measured_at.timestamp() * 1000)
        with self._driver.session(database=self._database) as session:
            session.run(cast("Any", _SCHEMA)).consume()
        found = self._write(lambda tx: tx.run(_BEGIN, key=_KEY, at=at, run=run).single())
        return None if found is None else Turn(at, found["epoch"])

    def publish(self, turn: Turn, rows: Sequence[tuple[str, float, float]]) -> bool:
        """Write everybody's values, and take away those of people who are not among them.

        Args:
            turn: what `begin` gave.
            rows: person, betweenness, clustering; sorted by person, the order in which all writers lock.

        Returns:
            Whether it was done; not when a run with a later logical time has begun.

        Raises:
            LeaseLost: a later try of this run has begun; what was committed before stays, and that try repeats it.
        """
        for start in range(0, len(rows), _BATCH):
            part = [list(row) for row in rows[start : start + _BATCH]]
            if not self._write(lambda tx, part=part: _step(tx, turn, _WRITE, rows=part)):  # type: ignore[misc]
                return False
            fault_point("nodes.after_batch")
        return self._write(lambda tx: _step(tx, turn, _CLEAR, _FINISH))

    def _write(self, work: Callable[[neo4j.ManagedTransaction], T]) -> T:
        # The server ends a transaction whose writer was stopped in it, so that its lock holds nobody up for long.
        limited = neo4j.unit_of_work(timeout=_TIMEOUT_S)(work)
        with self._driver.session(database=self._database) as session:
            return session.execute_write(limited)


def _step(tx: neo4j.ManagedTransaction, turn: Turn, *statements: str, **values: Any) -> bool:
    held = tx.run(_LOCK, key=_KEY).single(strict=True)
    if held["turn_ms"] > turn.at:
        return False
    if held["epoch"] != turn.epoch:
        raise LeaseLost(
            f"try {turn.epoch} of the graph metrics was fenced off by try {held['epoch']}",
            what_to_do="nothing: the later try goes on",
        )
    for statement in statements:
        tx.run(cast("Any", statement), key=_KEY, at=turn.at, epoch=turn.epoch, **values).consume()
    fault_point("nodes.in_transaction")
    return True

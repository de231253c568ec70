"""The four steps of `organism_incremental_update`. Each takes and gives a small manifest, never data.

1. `fetch_interactions` takes the lease, heals the group, takes abandoned entries over, sizes the backlog.
2. `update_graph` drains the stream into the graph.
3. `acknowledge` acknowledges what the graph has committed.
4. `invalidate_cache` deletes cached figures of everyone touched.

A step can be repeated at any point: the graph's ledger says what was done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import neo4j
import redis

from include.operations.errors import LeaseHeld
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism import cache
from include.organism.deadletter import DeadLetters
from include.organism.drain import Drain
from include.organism.graph import PeopleGraph
from include.organism.healing import account, heal
from include.organism.ledger import Ledger, Totals
from include.organism.settings import Settings
from include.organism.stream import InteractionStream

log = logging.getLogger(__name__)
Manifest = dict[str, Any]

_LEASE_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Clients:
    """Open clients of the servers that the steps need."""

    redis: redis.Redis
    driver: neo4j.Driver
    database: str | None = None

    def stream(self, settings: Settings) -> InteractionStream:
        """The interaction stream."""
        return InteractionStream(self.redis, settings)

    def graph(self, settings: Settings) -> PeopleGraph:
        """The people graph."""
        return PeopleGraph(self.driver, settings, self.database)


def fetch_interactions(
    clients: Clients, settings: Settings, run: str, sleep: Callable[[float], None] = time.sleep
) -> Manifest:
    """Make the stream ready for this run and say what waits in it.

    Returns:
        The manifest: `run`, `epoch`, `watermark`, `totals` (the ledger's, to subtract later),
        `backlog` (`unread`, `pending`, `lag`, `oldest_pending_s`), `claimed`, `healed`.

    Raises:
        LeaseHeld: another run writes and did not end within the waiting time.
    """
    stream, graph = clients.stream(settings), clients.graph(settings)
    stream.require_version()
    graph.ensure_schema()
    ledger = _acquire(graph, run, settings, sleep)
    before = ledger.totals
    ledger, healed = _heal(stream, graph, ledger)
    claimed = stream.claim_abandoned(round(settings.claim_idle_s * 1000))
    # What an earlier run committed and did not live to acknowledge.
    stream.acknowledge_through(ledger.watermark)
    state = stream.state()
    oldest = stream.oldest_pending_ms()
    manifest: Manifest = {
        "run": run,
        "epoch": ledger.epoch,
        "watermark": str(ledger.watermark),
        "totals": before.as_dict(),
        "backlog": {
            "unread": state.unread,
            "pending": state.pending,
            "lag": state.lag,
            "oldest_pending_s": None if oldest is None else round((stream.time_ms() - oldest) / 1000, 1),
        },
        "claimed": claimed,
        "healed": healed,
    }
    log_event(log, "stream_ready", run=run, epoch=ledger.epoch, claimed=claimed, **manifest["backlog"])
    return manifest


def update_graph(clients: Clients, settings: Settings, manifest: Manifest) -> Manifest:
    """Drain the stream into the graph until the backlog or the time budget is used up.

    Returns:
        The run's figures: `read`, `written`, `duplicates`, `skipped`, `dead`, `lost`, `pending`,
        `lag`, `people_touched`, `edges_touched`, ... and `seconds` by phase. They cover every try of
        the run, because they are differences of the ledger's totals.

    Raises:
        LeaseLost: another run or try took over; nothing was written after that.
    """
    start = time.monotonic()
    stream, graph = clients.stream(settings), clients.graph(settings)
    ledger, healed = _heal(stream, graph, graph.acquire(manifest["run"]))
    if opted_out := graph.cut_opted_out(ledger):
        log_event(log, "opted_out", people=opted_out)
    drain = Drain(stream, graph, DeadLetters(clients.redis, settings), settings, ledger)
    drained = drain.run()
    counted = time.monotonic()
    changes, lost = account(stream, drain.ledger) if drained else ({}, 0)
    _report_lost(lost, "trimmed, deleted or acknowledged by somebody else before they were read")
    ledger = graph.finish(drain.ledger, changes)
    drain.seconds["finish"] = time.monotonic() - counted
    drain.seconds["total"] = time.monotonic() - start
    state = stream.state()
    result: Manifest = {
        **_figures(ledger.totals - Totals.from_mapping(manifest["totals"])),
        "people_touched": graph.count_touched(manifest["epoch"] - 1),
        "drained": drained,
        "pending": state.pending,
        "lag": state.lag,
        "watermark": str(ledger.watermark),
        "epoch": ledger.epoch,
        "claimed": manifest["claimed"],
        "healed": manifest["healed"] + healed,
        "acknowledged": drain.acknowledged,
        "seconds": {phase: round(seconds, 3) for phase, seconds in sorted(drain.seconds.items())},
    }
    _log_result("graph_updated", manifest["run"], result)
    return result


def acknowledge(clients: Clients, settings: Settings, result: Manifest) -> Manifest:
    """Acknowledge every entry that the graph holds; returns `acknowledged`, `pending` and `lag`."""
    stream, graph = clients.stream(settings), clients.graph(settings)
    ledger = graph.ledger()
    acknowledged = stream.acknowledge_through(ledger.watermark) if ledger else 0
    state = stream.state()
    done = {
        "acknowledged": result["acknowledged"] + acknowledged,
        "pending": state.pending,
        "lag": state.lag,
    }
    log_event(log, "acknowledged", **done)
    return done


def invalidate_cache(clients: Clients, settings: Settings, manifest: Manifest) -> Manifest:
    """Delete the cached figures of everyone touched since the last invalidation, and end the lease.

    Returns:
        `people` whose keys were named, and `deleted` keys that existed.
    """
    graph = clients.graph(settings)
    ledger = graph.ledger()
    people = deleted = 0
    if ledger is not None:
        people, deleted = cache.invalidate(clients.redis, graph.touched_since(ledger.invalidated_epoch))
        fault_point("cache.before_mark")
        graph.mark_invalidated(ledger.epoch, manifest["run"])
    graph.release(manifest["run"])
    log_event(log, "cache_invalidated", people=people, deleted=deleted)
    return {"people": people, "deleted": deleted}


def _acquire(graph: PeopleGraph, run: str, settings: Settings, sleep: Callable[[float], None]) -> Ledger:
    """Take the lease; wait a little for another run to end."""
    waited = 0.0
    while True:
        try:
            return graph.acquire(run)
        except LeaseHeld:
            if waited >= settings.lease_wait_s:
                raise
        sleep(_LEASE_POLL_S)
        waited += _LEASE_POLL_S


def _heal(stream: InteractionStream, graph: PeopleGraph, ledger: Ledger) -> tuple[Ledger, list[str]]:
    healing = heal(stream, ledger)
    for event in healing.events:
        level = logging.INFO if event == "group_created" else logging.ERROR
        log_event(log, event, level=level, watermark=str(ledger.watermark))
    _report_lost(healing.lost, "gone with the data that Redis lost (at least so many)")
    if healing.changes:
        ledger = graph.finish(ledger, healing.changes)
    return ledger, list(healing.events)


def _report_lost(lost: int, how: str) -> None:
    if lost:
        log_event(log, "stream_entries_lost", level=logging.ERROR, error_class="VALIDATION", lost=lost, how=how)


def _figures(totals: Totals) -> dict[str, Any]:
    figures: dict[str, Any] = totals.as_dict()
    figures["skipped"] = {
        "system": figures.pop("skipped_system"),
        "self_loop": figures.pop("skipped_self_loop"),
        "left_out": figures.pop("skipped_left_out"),
    }
    return figures


def _log_result(event: str, run: str, result: Manifest) -> None:
    flat = {key: value for key, value in result.items() if not isinstance(value, dict | list)}
    for group in ("skipped", "seconds"):
        flat |= {f"{group}_{key}": value for key, value in result[group].items()}
    log_event(log, event, run=run, healed=",".join(result["healed"]) or None, **flat)

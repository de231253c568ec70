"""The people graph in Neo4j: fenced, exactly-once application of batches.

A writer first takes a lease, which raises the fencing epoch. Each transaction locks the ledger node,
checks the epoch and that the ledger stands where the batch begins, and only then writes. A writer
whose epoch is old (a zombie: its task was given up, its process lives on) therefore writes nothing.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import neo4j
import neo4j.exceptions

from include.operations.errors import InputRejected, LeaseHeld, LeaseLost
from include.operations.faults import fault_point
from include.organism import cypher
from include.organism.batch import Batch
from include.organism.ledger import Ledger, Totals
from include.organism.privacy import graph as privacy
from include.organism.privacy.pseudonym import Pseudonyms
from include.organism.settings import Settings
from include.organism.stream import StreamId

T = TypeVar("T")

# The server looks for expired transactions every 2 seconds.
_PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction brings.

    Attributes:
        batch: rows to apply.
        after: where the ledger stands before; None for late entries, which leave the watermark alone.
        upto: where it stands afterwards.
        digests: packed digests of the events applied, for later deduplication.
        newest_ms: stream time of the newest entry; from there the digests are remembered for the window.
        totals: what it adds to the running totals; the graph adds what only it can know.
    """

    batch: Batch
    after: StreamId | None
    upto: StreamId
    digests: bytes
    newest_ms: int
    totals: Totals


class PeopleGraph:
    """Reads and writes the graph for one stream and group."""

    def __init__(self, driver: neo4j.Driver, settings: Settings, database: str | None = None) -> None:
        self._driver = driver
        self._database = database
        self._settings = settings
        self._key = settings.ledger_key
        self._ttl_ms = int(settings.lease_ttl_s * 1000)
        self._rate = math.log(2) / settings.half_life_ms

    # --- schema and lease -----------------------------------------------------------

    def ensure_schema(self) -> None:
        """Create the constraints and indexes that are missing."""
        with self._session() as session:
            for statement in cypher.SCHEMA:
                session.run(cast("Any", statement)).consume()

    def acquire(self, run: str) -> Ledger:
        """Take the write lease for `run` and return the ledger with the new epoch.

        A later try of the same run takes the lease over at once, which fences the earlier try.

        Raises:
            LeaseHeld: another run holds a live lease.
            InputRejected: the graph was built with another half-life or another key of pseudonyms.
        """
        pseudonyms = Pseudonyms.from_env()

        def work(tx: neo4j.ManagedTransaction) -> Ledger:
            record = _one(tx.run(cypher.MAKE_LEDGER, key=self._key, half_life_ms=self._settings.half_life_ms))
            if record["half_life_ms"] != self._settings.half_life_ms:
                days = record["half_life_ms"] / self._settings.half_life_ms * self._settings.half_life_days
                raise InputRejected(
                    f"the graph's recency weights have a half-life of {days:g} days, the setting says "
                    f"{self._settings.half_life_days:g}",
                    what_to_do="set ORGANISM_HALF_LIFE_DAYS back, or build a new graph from the events",
                )
            privacy.require_key(tx, pseudonyms)
            if record["lease_run"] != run and record["lease_left_ms"] > 0:
                raise LeaseHeld(
                    f"run {record['lease_run']} writes to the graph (its lease ends in "
                    f"{record['lease_left_ms'] / 1000:.0f} s)",
                    what_to_do="nothing: that run drains the same stream",
                )
            return Ledger.from_node(_one(tx.run(cypher.TAKE_LEASE, key=self._key, run=run, ttl_ms=self._ttl_ms))["l"])

        # Outlasts a stopped writer's open transaction, which holds the lock and ends with its lease.
        return self._write(work, timeout_s=self._settings.lease_ttl_s + _PATIENCE_S)

    def release(self, run: str) -> None:
        """End the lease of `run`, if it still has it."""
        self._write(lambda tx: tx.run(cypher.RELEASE_LEASE, key=self._key, run=run).consume())

    def ledger(self) -> Ledger | None:
        """The ledger as it stands; None before the first run."""
        record = self._write(lambda tx: tx.run(cypher.READ_LEDGER, key=self._key).single())
        return Ledger.from_node(record["l"]) if record else None

    # --- batches --------------------------------------------------------------------

    def apply(self, change: Change, ledger: Ledger) -> Ledger:
        """Apply one change in one transaction; returns the ledger as it stands then.

        Safe to repeat: when the reply to the commit is lost, the second time finds the batch's own
        mark in the ledger.

        Raises:
            LeaseLost: another writer took the lease; nothing was written.
        """
        mark = str(uuid.uuid4())

        def work(tx: neo4j.ManagedTransaction) -> Ledger:
            held = _one(tx.run(cypher.LOCK_LEDGER, key=self._key))
            self._check_epoch(held["epoch"], ledger.epoch)
            stands = StreamId(held["ms"], held["seq"])
            if held["last_batch"] == mark:
                return Ledger.from_node(_one(tx.run(cypher.READ_LEDGER, key=self._key))["l"])
            if change.after is not None and stands != change.after:
                raise LeaseLost(
                    f"the ledger stands at {stands}, this batch begins at {change.after}",
                    what_to_do="nothing: the next run goes on from the ledger",
                )
            return self._write_change(tx, change, ledger, mark)

        return self._write(work)

    def _write_change(self, tx: neo4j.ManagedTransaction, change: Change, ledger: Ledger, mark: str) -> Ledger:
        batch = change.batch
        people_created = edges_created = 0
        if batch.edges:
            people = tx.run(cypher.WRITE_PEOPLE, people=batch.people, epoch=ledger.epoch).consume()
            people_created = people.counters.nodes_created
            edges = tx.run(cypher.WRITE_EDGES, edges=batch.edges, rate=self._rate).consume()
            edges_created = edges.counters.relationships_created
            fault_point("graph.in_transaction")
        known = Totals(
            edges_touched=len(batch.edges), edges_created=edges_created, people_created=people_created, batches=1
        )
        advanced = tx.run(
            cypher.ADVANCE_LEDGER,
            key=self._key,
            ms=change.upto.ms,
            seq=change.upto.seq,
            batch=mark,
            ttl_ms=self._ttl_ms,
            totals=(ledger.totals + change.totals + known).as_dict(),
            digests=change.digests or None,
            newest_ms=change.newest_ms,
        )
        return Ledger.from_node(_one(advanced)["l"])

    def seen_since(self, ms: int) -> Iterator[bytes]:
        """Packed digests of the events applied at or after stream time `ms`, a chunk per batch."""
        with self._session() as session:
            for record in session.run(cypher.LOAD_SEEN, key=self._key, since_ms=ms):
                yield record["digests"]

    # --- people who are left out ------------------------------------------------------

    def left_out(self, pseudonyms: Pseudonyms) -> privacy.LeftOut:
        """Who must not be added: people who have opted out, are on leave or were erased."""
        with self._session() as session:
            return privacy.left_out(session, pseudonyms)

    def cut_opted_out(self, ledger: Ledger) -> int:
        """Fenced: take ties and figures of everybody who has opted out since the last run; returns how many."""

        def work(tx: neo4j.ManagedTransaction) -> int:
            self._check_epoch(_one(tx.run(cypher.LOCK_LEDGER, key=self._key))["epoch"], ledger.epoch)
            return privacy.cut_opted_out(tx, ledger.epoch)

        return self._write(work)

    def erase(self, ledger: Ledger, person: str, digest: str) -> dict[str, int]:
        """Fenced: take a person out and leave a tombstone; returns what was deleted."""

        def work(tx: neo4j.ManagedTransaction) -> dict[str, int]:
            self._check_epoch(_one(tx.run(cypher.LOCK_LEDGER, key=self._key))["epoch"], ledger.epoch)
            return privacy.erase(tx, person, digest, ledger.epoch)

        return self._write(work)

    # --- the end of a run -----------------------------------------------------------

    def finish(self, ledger: Ledger, changes: dict[str, int | None]) -> Ledger:
        """Fenced end of a run: ledger `changes`, pruned event ids, centralities rescaled if N changed.

        `degree_centrality` = degree / (N - 1), N = people in the graph (networkx's definition on the
        undirected simple graph). A joiner changes everybody's value: that is done here, once a run.
        """

        def work(tx: neo4j.ManagedTransaction) -> Ledger:
            self._check_epoch(_one(tx.run(cypher.LOCK_LEDGER, key=self._key))["epoch"], ledger.epoch)
            people = _one(tx.run(cypher.COUNT_PEOPLE))["people"]
            if people != ledger.scaled_people:
                tx.run(cypher.RESCALE_DEGREES, people=people).consume()
            before = ledger.watermark.ms - self._settings.dedupe_window_ms
            tx.run(cypher.FORGET_EVENTS, key=self._key, before_ms=before).consume()
            tx.run(cypher.SET_LEDGER, key=self._key, values={**changes, "scaled_people": people}).consume()
            return Ledger.from_node(_one(tx.run(cypher.READ_LEDGER, key=self._key))["l"])

        return self._write(work)

    def touched_since(self, epoch: int) -> Iterator[str]:
        """Ids of people touched after `epoch`, and of everyone next to them."""
        with self._session() as session:
            for record in session.run(cypher.TOUCHED, epoch=epoch):
                yield record["id"]

    def count_touched(self, epoch: int) -> int:
        """People touched after `epoch`."""
        with self._session() as session:
            return cast("int", _one(session.run(cypher.COUNT_TOUCHED, epoch=epoch))["touched"])

    def mark_invalidated(self, epoch: int, run: str) -> None:
        """Remember that caches are invalid for everything touched up to `epoch`, unless another run writes by now."""
        self._write(lambda tx: tx.run(cypher.MARK_INVALIDATED, key=self._key, epoch=epoch, run=run).consume())

    # --- plumbing -------------------------------------------------------------------

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database)

    def _write(self, work: Callable[[neo4j.ManagedTransaction], T], timeout_s: float | None = None) -> T:
        """Run `work` in a managed transaction, which the driver repeats after failures that pass.

        The server ends the transaction with the lease: a writer that was stopped or cut off inside
        it would otherwise hold the ledger's lock, and everybody after it, for ever.
        """
        limited = neo4j.unit_of_work(timeout=timeout_s or self._settings.lease_ttl_s)(work)
        with self._session() as session:
            try:
                return session.execute_write(limited)
            except neo4j.exceptions.IncompleteCommit:
                # The reply to the commit was lost. The driver does not know that all our work may be repeated.
                return session.execute_write(limited)

    @staticmethod
    def _check_epoch(found: int, ours: int) -> None:
        if found != ours:
            raise LeaseLost(
                f"writer epoch {ours} was fenced off by epoch {found}; nothing was written",
                what_to_do="nothing: the run or try that took the lease goes on",
            )


def _one(result: neo4j.Result) -> neo4j.Record:
    return result.single(strict=True)

"""From the stream into the graph, batch after batch, until the backlog or the time is used up.

While the graph writes one batch, the next one is checked and the one after it is read (both in
threads that wait for a server), so the graph hardly ever waits for Python.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import NamedTuple

import neo4j.exceptions

from include.operations import context
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.batch import aggregate, event_digest
from include.organism.deadletter import DeadLetters
from include.organism.graph import Change, PeopleGraph
from include.organism.ledger import Ledger, Totals
from include.organism.messages import Interaction, InvalidMessageError, Limits, Parser
from include.organism.privacy.pseudonym import Pseudonyms
from include.organism.seen import SeenEvents, pack
from include.organism.settings import Settings
from include.organism.stream import ZERO, Entry, InteractionStream, StreamId

log = logging.getLogger(__name__)

# The driver's results are reference cycles that hold a batch's rows.
_BATCHES_PER_COLLECTION = 4
_REFUSED = "Neo.ClientError.Schema.ConstraintValidationFailed"
_TOO_LARGE = frozenset(
    {
        "Neo.TransientError.General.TransactionMemoryLimit",
        "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
        "Neo.TransientError.General.TransactionOutOfMemoryError",
    }
)


class Checked(NamedTuple):
    """Entries and what becomes of each, in parallel lists.

    Attributes:
        entries: as read.
        outcomes: `apply`, `duplicate`, `dead` or `trimmed`.
        interactions: what to apply; None for the other outcomes.
        digests: of the event ids; 0 where there is none.
    """

    entries: list[Entry]
    outcomes: list[str]
    interactions: list[Interaction | None]
    digests: list[int]

    def part(self, part: slice) -> Checked:
        """The same for some of the entries."""
        return Checked(self.entries[part], self.outcomes[part], self.interactions[part], self.digests[part])


class Drain:
    """One writer's pass over the stream; `ledger` is where it stands."""

    def __init__(
        self,
        stream: InteractionStream,
        graph: PeopleGraph,
        dead: DeadLetters,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.acknowledged = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stream = stream
        self._graph = graph
        self._dead = dead
        self._settings = settings
        self._clock = clock
        self._start = clock()
        self._unacknowledged: list[bytes] = []
        self._refused: list[int] = []
        now_ms = stream.time_ms()
        self._now_ms = now_ms
        pseudonyms = Pseudonyms.from_env()
        self._left_out: Container[str] = graph.left_out(pseudonyms) or frozenset()
        self._parser = Parser(
            Limits(
                earliest_ms=round(settings.earliest_event * 1000),
                latest_ms=now_ms + round(settings.future_tolerance_s * 1000),
                max_targets=settings.max_targets,
                max_field_bytes=settings.max_field_bytes,
            ),
            pseudonyms,
        )
        with self._timed("remember"):
            self._seen = SeenEvents(graph.seen_since(ledger.watermark.ms - settings.dedupe_window_ms))

    def run(self) -> bool:
        """Drain; returns whether the backlog is gone (False: the time budget was spent first).

        Raises:
            LeaseLost: another writer took over. What was committed stays; nothing else was written.
        """
        with _tuned_interpreter(), ThreadPoolExecutor(2, thread_name_prefix="drain") as threads:
            return self._drain_late() and self._pump(threads)

    def _in_time(self) -> bool:
        return self._clock() - self._start < self._settings.time_budget_s

    # --- entries behind the watermark -------------------------------------------------

    def _pump(self, threads: ThreadPoolExecutor) -> bool:
        cursor = self.ledger.watermark
        commit: Future[Ledger] | None = None
        entries = self._next(cursor)
        # One batch at least, however late it is: a run that reads without writing would never get anywhere.
        while entries and (commit is None or self._in_time()):
            last = StreamId.parse(entries[-1].id)
            # Threads do not inherit the fields of log lines.
            upcoming = threads.submit(copy_context().run, self._next, last)
            checked = self._check(entries)
            self._settle(commit)
            fault_point("update.before_write")
            commit = threads.submit(copy_context().run, self._commit, checked, cursor, last, self.ledger)
            self._unacknowledged += [entry.id for entry in entries]
            cursor, entries = last, upcoming.result()
            self._collect_garbage()
        self._settle(commit)
        return not entries

    def _settle(self, commit: Future[Ledger] | None) -> None:
        """Wait for the batch in flight; acknowledge when many committed entries have piled up."""
        if commit is None:
            return
        with self._timed("wait"):
            self.ledger = commit.result()
        while self._refused:
            self._seen.forget(self._refused.pop())
        fault_point("update.after_commit")
        if len(self._unacknowledged) >= self._settings.max_unacknowledged:
            with self._timed("acknowledge"):
                self.acknowledged += self._stream.acknowledge(self._unacknowledged)
            self._unacknowledged = []

    def _collect_garbage(self) -> None:
        if self.ledger.totals.batches % _BATCHES_PER_COLLECTION == 0:
            gc.collect()

    def _next(self, cursor: StreamId) -> list[Entry]:
        with self._timed("read"):
            return self._stream.read_next(cursor, self._settings.batch_size)

    # --- entries out of order -----------------------------------------------------------

    def _drain_late(self) -> bool:
        """Apply entries at or below the watermark that are not known to be done; returns whether all are.

        They come from other consumers, or from a Redis that went back in time. Only their event id
        tells whether they were applied; one that is older than the remembered ids is for a person.
        """
        stream, size = self._stream, self._settings.batch_size
        claimed = stream.claimed
        if stream.state().delivered_id < self.ledger.watermark:
            while stream.read_new(size, consumer=claimed) and stream.state().delivered_id < self.ledger.watermark:
                pass
        batches = 0
        # One batch at least, as in `_pump`.
        while entries := stream.read_pending(ZERO, size, consumer=claimed):
            if batches and not self._in_time():
                return False
            batches += 1
            checked = self._check(entries, late=True)
            self.ledger = self._commit(checked, None, self.ledger.watermark, self.ledger)
            fault_point("drain.late_committed")
            self.acknowledged += stream.acknowledge([entry.id for entry in entries])
            self._collect_garbage()
        return True

    # --- checking -----------------------------------------------------------------------

    def _check(self, entries: list[Entry], *, late: bool = False) -> Checked:
        """Validate and deduplicate; entries that cannot be used are parked before the commit."""
        rejected: list[tuple[Entry, InvalidMessageError]] = []
        with self._timed("check"):
            interactions = [self._parse(entry, rejected) for entry in entries]
            known = [event_digest(item.event_id) for item in interactions if item is not None]
            unseen = self._seen.unseen(known)
            outcomes = ["apply"] * len(entries)
            if len(known) == len(entries) and all(unseen) and not late:
                return Checked(entries, outcomes, interactions, known)
            fresh = iter(zip(known, unseen, strict=True))
            digests = [0] * len(entries)
            for place, interaction in enumerate(interactions):
                if interaction is None:
                    outcomes[place] = "dead" if entries[place].raw else "trimmed"
                    continue
                digests[place], new = next(fresh)
                if new and not (late and self._is_forgotten(entries[place])):
                    continue
                interactions[place] = None
                outcomes[place] = "dead" if new else "duplicate"
                if new:
                    rejected.append((entries[place], _ambiguous(self._settings.dedupe_window_h)))
        self._park(rejected)
        return Checked(entries, outcomes, interactions, digests)

    def _parse(self, entry: Entry, rejected: list[tuple[Entry, InvalidMessageError]]) -> Interaction | None:
        if not entry.raw:
            return None
        try:
            return self._parser.parse(entry.raw)
        except InvalidMessageError as why:
            rejected.append((entry, why))
        except Exception as error:  # noqa: BLE001 - one entry must never stop the watermark for all others
            kind = type(error).__name__
            log_event(log, "unexpected_message_error", level=logging.ERROR, entry=entry.id.decode(), error=kind)
            rejected.append((entry, InvalidMessageError("unexpected", f"checking failed with {kind}: report this")))
        return None

    def _is_forgotten(self, entry: Entry) -> bool:
        return StreamId.parse(entry.id).ms < self.ledger.watermark.ms - self._settings.dedupe_window_ms

    def _park(self, rejected: list[tuple[Entry, InvalidMessageError]]) -> None:
        if not rejected:
            return
        with self._timed("park"):
            self._dead.park(rejected, self._now_ms)
        for code, count in Counter(why.code for _, why in rejected).items():
            log_event(log, "dead_letters", level=logging.WARNING, code=code, count=count)

    # --- committing ---------------------------------------------------------------------

    def _commit(self, checked: Checked, after: StreamId | None, upto: StreamId, ledger: Ledger) -> Ledger:
        """One transaction; when the graph refuses the data, halves, down to the entry at fault."""
        entries = checked.entries
        with self._timed("write"):
            try:
                return self._apply(checked, after, upto, ledger)
            except neo4j.exceptions.Neo4jError as error:
                if error.code != _REFUSED and not (error.code in _TOO_LARGE and len(entries) > 1):
                    raise
                reason = error.code
        if len(entries) == 1:
            why = InvalidMessageError("graph_refused", f"the graph refuses it: {reason}")
            self._park([(entries[0], why)])
            self._refused.append(checked.digests[0])
            return self._apply(Checked(entries, ["dead"], [None], [0]), after, upto, ledger)
        log_event(log, "batch_halved", level=logging.WARNING, entries=len(entries), code=reason)
        middle = len(entries) // 2
        between = None if after is None else StreamId.parse(entries[middle - 1].id)
        ledger = self._commit(checked.part(slice(middle)), after, between or upto, ledger)
        return self._commit(checked.part(slice(middle, None)), between, upto, ledger)

    def _apply(self, checked: Checked, after: StreamId | None, upto: StreamId, ledger: Ledger) -> Ledger:
        """One transaction and its log line, by which an entry is found again: `interactions trace`."""
        entries = checked.entries
        with context.bind(batch=f"{entries[0].id.decode()}..{entries[-1].id.decode()}"):
            start = self._clock()
            change = self._change(checked, after, upto)
            done = self._graph.apply(change, ledger)
            log_event(
                log,
                "batch_committed",
                transaction=done.totals.batches,
                epoch=done.epoch,
                entries=len(entries),
                written=change.totals.written,
                duplicates=change.totals.duplicates,
                dead=change.totals.dead,
                seconds=self._clock() - start,
            )
            return done

    def _change(self, checked: Checked, after: StreamId | None, upto: StreamId) -> Change:
        applied = [item for item in checked.interactions if item is not None]
        batch = aggregate(applied, self._settings.half_life_ms, self._left_out)
        outcomes = Counter(checked.outcomes)
        totals = Totals(
            read=len(checked.entries) - outcomes["trimmed"],
            written=batch.written,
            duplicates=outcomes["duplicate"],
            skipped_system=batch.skipped["system"],
            skipped_self_loop=batch.skipped["self_loop"],
            skipped_left_out=batch.skipped["left_out"],
            dead=outcomes["dead"],
        )
        digests = [d for d, outcome in zip(checked.digests, checked.outcomes, strict=True) if outcome == "apply"]
        # Entries out of order can lie ahead of the watermark, which `upto` then is.
        newest_ms = max(upto.ms, StreamId.parse(checked.entries[-1].id).ms)
        return Change(batch, after, upto, pack(digests), newest_ms, totals)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[phase] += self._clock() - start


@contextmanager
def _tuned_interpreter() -> Iterator[None]:
    """Halve Python's share of the work while batches are in the air.

    Looking for reference cycles after every few hundred new objects doubles the time of a check: the
    drain does it between batches, and not among what was there before. And with the default switch
    interval of 5 ms each reply of the graph waits for the checking thread.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
        sys.setswitchinterval(interval)


def _ambiguous(window_h: float) -> InvalidMessageError:
    return InvalidMessageError(
        "ambiguous_redelivery",
        f"delivered again more than {window_h:g} hours after its time: it may have been counted already; "
        "discard it, or replay it if you know that it was not",
    )

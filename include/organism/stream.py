"""The Redis stream as this project's consumer group sees it.

One consumer reads. What it has read and not acknowledged is its *pending list*; what has been
committed to the graph is everything up to the ledger's *watermark*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

import redis

from include.operations.errors import ServerUnsupported
from include.operations.faults import fault_point
from include.organism.settings import Settings

_PAGE = 10_000
_UNREAD_LIMIT = 1_000
_MIN_REDIS = (7, 0)
# Counted by the server: a thousand entries of a megabyte must not come here to be counted.
_COUNT_BEHIND = "return #redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])"


class StreamId(NamedTuple):
    """A stream entry id. Compared as two integers: as text, 9-0 would follow 10-0."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """Read `ms-seq`."""
        ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(seq or 0))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


ZERO = StreamId(0, 0)


class Entry(NamedTuple):
    """A stream entry: its id as Redis writes it, and its flat field list (None: trimmed after delivery)."""

    id: bytes
    raw: list[bytes] | None


@dataclass(frozen=True, slots=True)
class StreamState:
    """One atomic look at stream and group.

    Attributes:
        length: entries in the stream.
        added: entries ever added (`entries-added`).
        last_id: newest id ever generated.
        group_exists: whether the consumer group is there; the fields below are zero otherwise.
        delivered_id: last id delivered to the group.
        pending: delivered, not acknowledged, over all consumers.
        unread: entries behind `delivered_id`; None when there are more than a thousand.
        lag: Redis's own estimate of the same; None when Redis cannot tell.
    """

    length: int
    added: int
    last_id: StreamId
    group_exists: bool
    delivered_id: StreamId
    pending: int
    unread: int | None
    lag: int | None


class InteractionStream:
    """Reads, takes over and acknowledges entries of one stream for one consumer group."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._redis = client
        self.key = settings.stream
        self.group = settings.group
        self.consumer = settings.consumer
        self.claimed = settings.claimed_consumer
        # The replies as they come: redis-py's dictionaries would double the reading time.
        client.set_response_callback("XREADGROUP", lambda reply, **_: reply)

    # --- state ------------------------------------------------------------------

    def require_version(self) -> None:
        """Refuse a Redis without `entries-added` and `lag`, which lost entries are found by.

        Raises:
            ServerUnsupported: Redis older than 7.0.
        """
        text = cast("str", self._redis.info("server")["redis_version"])
        if tuple(int(part) for part in text.split(".")[:2]) < _MIN_REDIS:
            raise ServerUnsupported(
                f"Redis {text} lacks the stream counters that show lost entries", what_to_do="use Redis 7.0 or newer"
            )

    def time_ms(self) -> int:
        """The Redis server's clock, epoch milliseconds."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def state(self) -> StreamState:
        """Stream and group in one transaction; a missing stream reads as empty."""
        delivered = self._group_info().get("last-delivered-id", b"0-0")
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(self.key)
            pipe.xinfo_groups(self.key)
            pipe.eval(_COUNT_BEHIND, 1, self.key, b"(" + delivered, _UNREAD_LIMIT + 1)
            stream, groups, unread = pipe.execute(raise_on_error=False)
        if isinstance(stream, Exception):
            if not _is_missing(stream):
                raise stream
            return StreamState(0, 0, ZERO, group_exists=False, delivered_id=ZERO, pending=0, unread=0, lag=0)
        group = next((item for item in groups if item["name"] == self.group.encode()), None)
        moved = group is not None and group["last-delivered-id"] != delivered
        return StreamState(
            length=stream["length"],
            added=stream["entries-added"],
            last_id=StreamId.parse(stream["last-generated-id"]),
            group_exists=group is not None,
            delivered_id=StreamId.parse(group["last-delivered-id"]) if group else ZERO,
            pending=group["pending"] if group else 0,
            # Somebody read between the two looks, or there are many: then nobody can say.
            unread=None if moved or unread > _UNREAD_LIMIT else unread,
            lag=group["lag"] if group else stream["length"],
        )

    def _group_info(self) -> dict[str, Any]:
        try:
            groups = self._redis.xinfo_groups(self.key)
        except redis.ResponseError as error:
            if _is_missing(error):
                return {}
            raise
        return next((item for item in groups if item["name"] == self.group.encode()), {})

    def holds(self, entry: StreamId) -> bool:
        """Whether this entry is (still) in the stream."""
        return bool(self._redis.xrange(self.key, min=str(entry), max=str(entry), count=1))

    def create_group(self, after: StreamId) -> None:
        """Create stream and group so that the next new entry is the first one behind `after`."""
        try:
            self._redis.xgroup_create(self.key, self.group, id=str(after), mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def lift(self, to: StreamId) -> None:
        """Make every future id larger than `to` (a stream that lost its tail would repeat old ids)."""
        try:
            self._command("XSETID", self.key, str(to))
        except redis.ResponseError:
            # A producer was faster, and ids are larger already.
            if self.state().last_id < to:
                raise

    def _command(self, *words: str | int) -> Any:
        return self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    # --- reading ----------------------------------------------------------------

    def read_pending(self, after: StreamId, count: int, consumer: str | None = None) -> list[Entry]:
        """Up to `count` entries of a consumer's pending list behind `after`, in id order."""
        return self._read(consumer or self.consumer, str(after), count)

    def read_new(self, count: int, consumer: str | None = None) -> list[Entry]:
        """Up to `count` entries never delivered to the group; they enter the pending list of `consumer` (ours)."""
        return self._read(consumer or self.consumer, ">", count)

    def read_next(self, cursor: StreamId, count: int) -> list[Entry]:
        """The next entries in id order: first what is pending behind `cursor`, then new ones.

        A reply that was lost, or a zombie that reads under our name, leaves pending entries between
        `cursor` and the first new one. Passing over them would count them as done, so the oldest
        pending entry must be the first new one; otherwise the pending list is read again.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for position in (str(cursor), ">"):
                pipe.execute_command(*self._read_command(self.consumer, position, count))  # type: ignore[no-untyped-call]
            pipe.xpending_range(self.key, self.group, min=f"({cursor}", max="+", count=1, consumername=self.consumer)
            pending, new, oldest = pipe.execute()
        if entries := _entries(pending):
            return entries
        entries = _entries(new)
        if entries and (not oldest or oldest[0]["message_id"] != entries[0].id):
            return self.read_pending(cursor, count)
        return entries

    def _read(self, consumer: str, position: str, count: int) -> list[Entry]:
        return _entries(self._command(*self._read_command(consumer, position, count)))

    def _read_command(self, consumer: str, position: str, count: int) -> tuple[str | int, ...]:
        # No BLOCK: a blocked read whose reply is lost strands its entries until the next run.
        return ("XREADGROUP", "GROUP", self.group, consumer, "COUNT", count, "STREAMS", self.key, position)

    def count_pending_after(self, after: StreamId) -> int:
        """Entries of our own pending list behind `after`."""
        total, start = 0, f"({after}"
        while page := self._pending_ids(start, "+", _PAGE, self.consumer):
            total += len(page)
            start = f"({page[-1].decode()}"
        return total

    def count_foreign_pending(self) -> int:
        """Pending entries of every consumer but our own."""
        consumers = self._redis.xinfo_consumers(self.key, self.group)
        return sum(item["pending"] for item in consumers if item["name"] != self.consumer.encode())

    def oldest_pending_ms(self) -> int | None:
        """Epoch milliseconds of the oldest pending entry, None when nothing is pending."""
        page = self._pending_ids("-", "+", 1, None)
        return StreamId.parse(page[0]).ms if page else None

    def oldest_unread_ms(self, delivered: StreamId) -> int | None:
        """Epoch milliseconds of the oldest entry behind the id last delivered; None when there is none."""
        page = self._redis.xrange(self.key, min=f"({delivered}", count=1)
        return StreamId.parse(cast("bytes", page[0][0])).ms if page else None

    def count_unread(self, delivered: StreamId, most: int) -> int:
        """Count the entries behind the id last delivered, up to `most`; the server reads that many to do so."""
        return int(self._redis.eval(_COUNT_BEHIND, 1, self.key, f"({delivered}", most))

    def _pending_ids(
        self, low: str, high: str, count: int, consumer: str | bytes | None, idle_ms: int | None = None
    ) -> list[bytes]:
        rows = self._redis.xpending_range(
            self.key, self.group, min=low, max=high, count=count, consumername=consumer, idle=idle_ms
        )
        return [cast("bytes", row["message_id"]) for row in rows]

    # --- taking over and acknowledging --------------------------------------------

    def claim_abandoned(self, idle_ms: int) -> int:
        """Take entries over that other consumers left pending for `idle_ms`; returns how many.

        XCLAIM by consumer, not XAUTOCLAIM: the latter would also move our own pending entries.
        """
        ours = {self.consumer.encode(), self.claimed.encode()}
        claimed = 0
        for item in self._redis.xinfo_consumers(self.key, self.group):
            if item["name"] in ours or not item["pending"]:
                continue
            start = "-"
            while page := self._pending_ids(start, "+", _PAGE, item["name"], idle_ms):
                # Deleted entries vanish from the pending list here; the accounting finds them missing.
                claimed += len(self._redis.xclaim(self.key, self.group, self.claimed, idle_ms, page, justid=True))  # type: ignore[arg-type]
                fault_point("stream.after_claim")
                start = f"({page[-1].decode()}"
        return claimed

    def acknowledge_through(self, watermark: StreamId) -> int:
        """Acknowledge our pending entries up to `watermark`, a page in one XACK; returns how many.

        The caller has seen `watermark` committed in the graph.
        """
        acknowledged = 0
        try:
            while page := self._pending_ids("-", str(watermark), _PAGE, self.consumer):
                acknowledged += self.acknowledge(page)
        except redis.ResponseError as error:
            # Stream or group are gone: nothing is pending, and the next fetch heals them.
            if not _is_missing(error):
                raise
        return acknowledged

    def acknowledge(self, ids: list[bytes]) -> int:
        """Acknowledge these entries in one XACK; returns how many were pending."""
        acknowledged = self._redis.xack(self.key, self.group, *ids)
        fault_point("stream.after_ack")
        return acknowledged


def _entries(reply: Any) -> list[Entry]:
    if not reply:
        return []
    # RESP2 answers with a list of [stream, entries], RESP3 with a mapping.
    entries = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    return list(map(Entry._make, entries))


def _is_missing(error: Exception) -> bool:
    """Whether the reply says that the stream or the group does not exist."""
    return str(error).startswith(("NOGROUP", "no such key", "ERR no such key"))

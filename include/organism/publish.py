"""From rows to stream entries: pipelined, paced if asked, and resumable.

Nothing is ever sent twice by itself: after a lost reply the caller is told how many rows are surely in. Sending the
rest again, or everything, is harmless: rows keep their event ids, and the graph applies an id once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol, cast

import hiredis
import redis
from redis.connection import AbstractConnection

from include.organism.event_files import Row
from include.organism.event_times import Limits, Shift

# Rows, and bytes of rows, that go in one round trip.
_CHUNK = 1_000
_CHUNK_BYTES = 4 * 1024 * 1024
# Rows due within this time go together: a thousand round trips a second would cost more than they are worth.
_TICK_S = 0.05
_PROBLEMS_KEPT = 20

_Numbered = tuple[int, Row]


class Pace(Protocol):
    """Says when rows are due; called once for each row that is published, in order."""

    def __call__(self, row: Row, /) -> float:
        """Seconds after the first row."""


class Rate:
    """So many events per second."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._count = -1

    def __call__(self, _row: Row) -> float:
        """Seconds after the first row."""
        self._count += 1
        return self._count / self._per_second


class EventTime:
    """As the events happened, `speed` times as fast; a row that is late or has no plausible time is due at once."""

    def __init__(self, speed: float, limits: Limits) -> None:
        self._speed = speed
        self._limits = limits
        self._first: float | None = None

    def __call__(self, row: Row) -> float:
        """Seconds after the first row."""
        at = self._limits.plausible(row)
        if at is None:
            return 0.0
        if self._first is None:
            self._first = at
        return (at - self._first) / self._speed


class Publisher:
    """Sends rows to one stream and knows at any moment how far it came, also after an exception.

    Attributes:
        published: rows that Redis has confirmed.
        in_doubt: rows sent without a confirmation: after an exception they may be in or not.
        settled: rows of the input, from its beginning, that need not be looked at again.
        rows: rows of the input that were looked at, also those that were skipped or could not be read.
        unreadable: rows that could not be read; `problems` has line and reason of the first 20.
    """

    def __init__(
        self,
        client: redis.Redis,
        stream: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.published = 0
        self.in_doubt = 0
        self.settled = 0
        self.rows = 0
        self.unreadable = 0
        self.problems: list[tuple[int, str]] = []
        self._client = client
        self._stream = stream
        self._clock = clock
        self._sleep = sleep

    def publish(
        self,
        rows: Iterable[Row],
        *,
        skip: int = 0,
        shift: Shift | None = None,
        pace: Pace | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish all rows but the first `skip`.

        Args:
            rows: rows of the input from its beginning.
            skip: rows that are in already.
            shift: what is added to the event times.
            pace: when rows are due; by default at once.
            on_progress: called after each round trip.

        Raises:
            redis.RedisError: Redis is gone or refuses; `settled` says where to go on.
        """
        for chunk in self._chunks(self._readable(rows, skip), pace):
            self._send(chunk, shift)
            on_progress()

    def _readable(self, rows: Iterable[Row], skip: int) -> Iterator[_Numbered]:
        for number, row in enumerate(rows, start=1):
            self.rows = number
            if number <= skip:
                self.settled = number
            elif row.problem:
                self.unreadable += 1
                if len(self.problems) < _PROBLEMS_KEPT:
                    self.problems.append((row.line, row.problem))
            else:
                yield number, row

    def _chunks(self, rows: Iterator[_Numbered], pace: Pace | None) -> Iterator[list[_Numbered]]:
        """Rows that go in one round trip; waits, when the next row is not due, after the caller has sent them."""
        start = self._clock()
        chunk: list[_Numbered] = []
        size = 0
        for numbered in rows:
            if pace is not None:
                due = pace(numbered[1])
                wait = (due // _TICK_S) * _TICK_S - (self._clock() - start)
                if wait > 0:
                    yield chunk
                    chunk, size = [], 0
                    self._sleep(wait)
            chunk.append(numbered)
            size += numbered[1].size
            if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        yield chunk

    def _send(self, chunk: list[_Numbered], shift: Shift | None) -> None:
        if not chunk:
            return
        packed = b"".join([self._command(row, shift) for _, row in chunk])
        self.settled = chunk[0][0] - 1
        # Not by a redis-py pipeline: its bookkeeping for each command would cost a third of the speed.
        with self._connection() as connection:
            # Not before: without a connection nothing was sent.
            self.in_doubt = len(chunk)
            connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
            for number, _ in chunk:
                connection.read_response()
                self.published += 1
                self.in_doubt -= 1
                self.settled = number

    def _command(self, row: Row, shift: Shift | None) -> bytes:
        fields = shift.moved(row) if shift else row.fields
        words: tuple[Any, ...] = ("XADD", self._stream, "*", *chain.from_iterable(fields.items()))
        return cast("bytes", hiredis.pack_command(words))

    @contextmanager
    def _connection(self) -> Iterator[AbstractConnection]:
        """A connection of the client's pool; closed after an error, because replies may still be under way."""
        pool = self._client.connection_pool
        connection = pool.get_connection()
        try:
            yield connection
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.release(connection)

"""What waits in the stream, and how far the graph has come: the figures behind `interactions lag`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from include.organism.deadletter import DeadLetters
from include.organism.settings import Settings
from include.organism.stream import InteractionStream

if TYPE_CHECKING:
    import psycopg

_LAST_RUN = "select * from ops.graph_update order by created_at desc limit 1"


@dataclass(frozen=True, slots=True)
class Backlog:
    """One look at the stream.

    Attributes:
        stream: its key.
        group_exists: whether the consumer group is there; before the first run it is not.
        length: entries in the stream.
        unread: entries never delivered to the group; None when Redis cannot tell and there are many.
        pending: delivered and unacknowledged entries, by consumer.
        oldest_pending_s: age of the oldest of them in seconds; None when there is none.
        last_id: newest id of the stream.
        dead_letters: entries that wait for a decision.
    """

    stream: str
    group_exists: bool
    length: int
    unread: int | None
    pending: dict[str, int]
    oldest_pending_s: float | None
    last_id: str
    dead_letters: int


def backlog(client: redis.Redis, settings: Settings) -> Backlog:
    """Look at the stream; reads only."""
    stream = InteractionStream(client, settings)
    state = stream.state()
    pending: dict[str, int] = {}
    oldest = None
    if state.group_exists:
        consumers = client.xinfo_consumers(settings.stream, settings.group)
        pending = {item["name"].decode(errors="replace"): item["pending"] for item in consumers if item["pending"]}
        oldest = stream.oldest_pending_ms()
    return Backlog(
        stream=settings.stream,
        group_exists=state.group_exists,
        length=state.length,
        unread=state.unread if state.unread is not None else state.lag,
        pending=pending,
        oldest_pending_s=None if oldest is None else round((stream.time_ms() - oldest) / 1000, 1),
        last_id=str(state.last_id),
        dead_letters=DeadLetters(client, settings).count(),
    )


def last_run(connection: psycopg.Connection) -> dict[str, Any] | None:
    """The newest row of `ops.graph_update`; None when no run has left one."""
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LAST_RUN).fetchone()

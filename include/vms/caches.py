"""Cached reports of the VMS in Redis, and their invalidation.

Whatever changes a record says so in its own transaction (`state.changed`), and that is taken back here: a run that
dies after it has published leaves stale reports to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from include.vms import state
from include.vms.spec import SyncObject

if TYPE_CHECKING:
    import redis

    from include.vms.contracts import Connect

_CHUNK: Final = 1_000


def invalidate(
    connect: Connect, open_redis: Callable[[], AbstractContextManager[redis.Redis]], spec: SyncObject
) -> int:
    """Delete cached reports that are stale; returns how many there were. Redis is not asked when none is.

    Args:
        connect: opens a connection to the warehouse.
        open_redis: opens one to the cache.
        spec: the object that has changed, or not.
    """
    with connect() as connection:
        since = state.stale_since(connection, spec.name)
    if since is None:
        return 0
    with open_redis() as client:
        deleted = sum(client.unlink(*keys) for keys in _chunks(client, spec.caches))
    with connect() as connection:
        state.reports_deleted(connection, spec.name, since)
    return deleted


def _chunks(client: redis.Redis, patterns: Iterable[str]) -> Iterable[list[Any]]:
    for pattern in patterns:
        cursor: int | None = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, match=pattern, count=_CHUNK)
            if keys:
                yield keys

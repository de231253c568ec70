"""Cached reports of the VMS in Redis, and their invalidation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from include.vms.contracts import Manifest
from include.vms.spec import SyncObject

if TYPE_CHECKING:
    import redis

_CHUNK = 1_000
# A run that only read changes nothing that a report shows.
_CHANGES = ("inserted", "updated", "deleted", "restored", "merged", "left_filter", "repaired", "linked")


def invalidate(client: redis.Redis, spec: SyncObject, manifest: Manifest) -> int:
    """Delete cached reports that a run has made stale; returns how many there were. Repeating it is harmless."""
    if manifest.dry_run or not any(manifest.counts.get(name) for name in _CHANGES):
        return 0
    return sum(client.unlink(*keys) for keys in _chunks(client, spec.caches))


def _chunks(client: redis.Redis, patterns: Iterable[str]) -> Iterable[list[Any]]:
    for pattern in patterns:
        cursor: int | None = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, match=pattern, count=_CHUNK)
            if keys:
                yield keys

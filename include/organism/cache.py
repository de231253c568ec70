"""Cached figures of the people graph in Redis, and their invalidation."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import redis

GRAPH_STATS = "graph:stats"
_CHUNK = 1_000


def employee_key(employee_id: str) -> str:
    """Key of one person's cached metrics."""
    return f"metrics:employee:{employee_id}"


def invalidate(client: redis.Redis, people: Iterable[str]) -> tuple[int, int]:
    """Delete the cached metrics of `people`, and the graph's if there are any.

    Returns:
        How many people, and how many cached values existed and were deleted. Repeating it is harmless.
    """
    ids = iter(people)
    count = deleted = 0
    while chunk := list(islice(ids, _CHUNK)):
        count += len(chunk)
        deleted += client.unlink(*[employee_key(person) for person in chunk])
    if count:
        deleted += client.unlink(GRAPH_STATS)
    return count, deleted

"""Cached figures of the people graph in Redis: filled by the 6-hour pipeline, deleted by whatever changes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import redis

GRAPH_STATS = "graph:stats"
# Seconds that a value is good for.
GRAPH_TTL_S: Final = 300
EMPLOYEE_TTL_S: Final = 3_600
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


def fill(
    client: redis.Redis, graph: Mapping[str, Any], people: Iterable[tuple[str, Mapping[str, Any]]], measured_at: str
) -> int:
    """Keep the graph's figures for 5 minutes and each person's for an hour, as JSON objects.

    Args:
        client: Redis.
        graph: value of `graph:stats`.
        people: id and figures of each person.
        measured_at: logical time of the run, added to each value.

    Returns:
        Keys written.
    """
    rows = iter(people)
    count = 0
    while chunk := list(islice(rows, _CHUNK)):
        with client.pipeline(transaction=False) as pipe:
            for person, figures in chunk:
                value = json.dumps({"measured_at": measured_at, **figures}, allow_nan=False)
                pipe.set(employee_key(person), value, ex=EMPLOYEE_TTL_S)
            pipe.execute()
        count += len(chunk)
    client.set(GRAPH_STATS, json.dumps({"measured_at": measured_at, **graph}, allow_nan=False), ex=GRAPH_TTL_S)
    return count + 1

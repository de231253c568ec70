"""Run statistics counted a second time, in plain Python over all rows: what the roll-up must equal to the digit."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

Key = tuple[str, datetime, str]
_COLUMNS = "total, ok, failed, tries, retries, restarts, clears, avg_s, min_s, max_s, p50_s, p95_s, errors"
_FAILURES = {"failed", "up_for_retry", "heartbeat timeout"}


@dataclass
class _Bucket:
    counts: Counter[str] = field(default_factory=Counter)
    microseconds: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def row(self) -> tuple[Any, ...]:
        number = self.counts
        counted = [number["ok"] + number["failed"], number["ok"], number["failed"]]
        counted += [number[name] for name in ("tries", "retries", "restarts", "clears")]
        return (*counted, *_durations(sorted(self.microseconds)), dict(self.errors))


def recount(metadata_url: str, warehouse_url: str | None = None) -> dict[Key, tuple[Any, ...]]:
    """By grain, bucket and DAG: the columns of `ops.workflow_stats` from `total` on."""
    buckets: defaultdict[Key, _Bucket] = defaultdict(_Bucket)
    with psycopg.connect(metadata_url) as connection:
        for dag_id, started, ended, state in connection.execute(
            "select dag_id, start_date, end_date, state from dag_run where end_date is not null"
        ):
            if state not in {"success", "failed"}:
                continue
            for key in _keys(ended, dag_id):
                buckets[key].counts["ok" if state == "success" else "failed"] += 1
                if started is not None:
                    buckets[key].microseconds.append((ended - started) // timedelta(microseconds=1))
        for dag_id, started, label in _tries(connection):
            for key in _keys(started, dag_id):
                buckets[key].counts["tries"] += 1
                buckets[key].counts[label] += 1
    if warehouse_url is not None:
        with psycopg.connect(warehouse_url) as connection:
            for dag_id, occurred, error_class in connection.execute(
                "select distinct on (dag_id, run_id, task_id, map_index, try_number, error_class) dag_id, occurred_at, "
                "error_class from ops.run_error"
            ):
                for key in _keys(occurred, dag_id):
                    buckets[key].errors[error_class] += 1
    return {key: bucket.row() for key, bucket in buckets.items()}


def stored(warehouse_url: str) -> dict[Key, tuple[Any, ...]]:
    """Return what the roll-up has written, in the same form."""
    with psycopg.connect(warehouse_url) as connection:
        rows = connection.execute(f"select grain, bucket, dag_id, {_COLUMNS} from ops.workflow_stats").fetchall()  # noqa: S608 - only constants of this module
    return {(grain, bucket.astimezone(UTC), dag_id): tuple(rest) for grain, bucket, dag_id, *rest in rows}


def _tries(connection: psycopg.Connection) -> Iterator[tuple[str, datetime, str]]:
    """Give DAG, start and label of every try that has begun."""
    seen: defaultdict[tuple[Any, ...], dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for table in ("task_instance_history", "task_instance"):
        with connection.cursor(name="rows") as cursor:
            cursor.itersize = 20_000
            cursor.execute(
                "select dag_id, task_id, run_id, map_index, try_number, start_date, max_tries, state "  # noqa: S608 - one of two names
                f"from {table}"
            )
            for *place, number, started, max_tries, state in cursor:
                seen[tuple(place)].setdefault(number, (started, max_tries, state))
    events = _events(connection, {where for where, tries in seen.items() if len(tries) > 1})
    for where, tries in seen.items():
        for number, (started, max_tries, _) in tries.items():
            if number < 1 or started is None:
                continue
            before = tries.get(number - 1)
            if before is not None and before[0] is not None and before[0] >= started:
                continue
            yield where[0], started, _label(number, max_tries, tries, events, where)


def _label(
    number: int,
    max_tries: int,
    tries: dict[int, tuple[Any, ...]],
    events: dict[tuple[Any, ...], set[str]],
    where: tuple[Any, ...],
) -> str:
    if number == 1:
        return "first"
    if number - 1 not in tries:
        return "retries"
    started, max_before, state = tries[number - 1]
    if max_tries > max_before or state not in {"failed", "up_for_retry"}:
        return "clears"
    logged = events.get((*where, number - 1), set())
    if logged & _FAILURES:
        return "retries"
    earlier = tries.get(number - 2)
    never_began = started is None or (earlier is not None and earlier[0] is not None and earlier[0] >= started)
    return "restarts" if never_began or "running" in logged else "retries"


def _events(connection: psycopg.Connection, wanted: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], set[str]]:
    found: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    with connection.cursor(name="events") as cursor:
        cursor.itersize = 20_000
        cursor.execute("select dag_id, task_id, run_id, map_index, try_number, event from log")
        for *place, number, event in cursor:
            if tuple(place) in wanted:
                found[*place, number].add(event)
    return found


def _keys(moment: datetime, dag_id: str) -> Iterator[Key]:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    starts = {"hour": hour, "day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}
    for grain, start in starts.items():
        yield grain, start, dag_id
        yield grain, start, "*"


def _durations(ordered: list[int]) -> tuple[float | None, ...]:
    """Mean, shortest, longest, median and 95th percentile in seconds."""
    if not ordered:
        return (None,) * 5
    seconds = [each / 1e6 for each in ordered]
    # A quotient of whole numbers is rounded once; a sum of doubles would be rounded at every step.
    mean = sum(ordered) / (len(ordered) * 1_000_000)
    return mean, seconds[0], seconds[-1], _percentile(seconds, 0.5), _percentile(seconds, 0.95)


def _percentile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])

"""From the id of a stream entry to the run and the transaction that settled it, and back.

Every batch leaves one line `batch_committed` with the ids of its first and last entry, the number of its transaction
and the run; every run leaves the watermark it reached in `ops.graph_update`; a dead letter keeps its original id. So
nothing has to be kept for each entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.organism.deadletter import DeadLetters
from include.organism.stream import InteractionStream, StreamId

if TYPE_CHECKING:
    import psycopg
    import redis

    from include.organism.settings import Settings

DAG, TASK = "organism_incremental_update", "update_graph"
# The first run that reached the entry; what it reached is text, and 9-0 would follow 10-0.
_RUN = """
select run_id, epoch, watermark, created_at from ops.graph_update
where (split_part(watermark, '-', 1)::numeric, split_part(watermark, '-', 2)::numeric) >= (%s, %s)
order by split_part(watermark, '-', 1)::numeric, split_part(watermark, '-', 2)::numeric, created_at limit 1
"""
_BATCH = re.compile(r"\bbatch_committed\b.*?\bbatch=(\d+-\d+)\.\.(\d+-\d+)")
_PAIR = re.compile(r"\b(transaction|epoch|entries|run)=(\S+)")


class State(StrEnum):
    """Where an entry is."""

    SETTLED = "settled"
    DEAD = "dead letter"
    WAITING = "waiting"
    UNKNOWN = "never seen"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known about an entry.

    Attributes:
        state: settled means in the graph, or skipped, or a duplicate, as the run's figures say.
        run_id: the run that settled it; None when it is not settled, or the run's row is gone.
        epoch: the fencing number that run wrote with; people it touched carry it as `touched_epoch`.
        dead_letter: id of its letter.
        transaction: what the log of the run says about its batch; None without the log.
    """

    stream_id: str
    state: State
    run_id: str | None = None
    epoch: int | None = None
    dead_letter: str | None = None
    transaction: dict[str, Any] | None = None


def trace(
    client: redis.Redis, connection: psycopg.Connection, settings: Settings, stream_id: StreamId, logs: Path | None
) -> Trace:
    """Look an entry up; `logs` is Airflow's log folder, where there is one on this machine."""
    row = connection.execute(_RUN, [stream_id.ms, stream_id.seq]).fetchone()
    letter = DeadLetters(client, settings).find(str(stream_id))
    if row is None:
        state = State.DEAD if letter else State.WAITING if _waits(client, settings, stream_id) else State.UNKNOWN
        return Trace(str(stream_id), state, dead_letter=letter)
    run_id, epoch = row[0], row[1]
    lines = _lines(logs / f"dag_id={DAG}" / f"run_id={run_id}" / f"task_id={TASK}") if logs else iter(())
    state = State.DEAD if letter else State.SETTLED
    return Trace(str(stream_id), state, run_id, epoch, letter, transaction_of(lines, stream_id))


def transaction_of(lines: Iterable[str], stream_id: StreamId) -> dict[str, Any] | None:
    """Find the transaction that holds an entry in the lines of a task's log, in either format of the log."""
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        found = told if told.get("event") == "batch_committed" else _read_text(str(told.get("event")))
        first, _, last = str(found.get("batch", "")).partition("..")
        if last and StreamId.parse(first) <= stream_id <= StreamId.parse(last):
            return {name: found[name] for name in ("transaction", "epoch", "entries", "batch") if name in found}
    return None


def _read_text(text: str) -> dict[str, Any]:
    batch = _BATCH.search(text)
    if batch is None:
        return {}
    numbers = {name: int(value) for name, value in _PAIR.findall(text) if value.isdigit()}
    return {**numbers, "batch": f"{batch[1]}..{batch[2]}"}


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file


def _waits(client: redis.Redis, settings: Settings, stream_id: StreamId) -> bool:
    return stream_id <= InteractionStream(client, settings).state().last_id

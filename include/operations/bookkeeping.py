"""Brings the rows about a task's tries into the warehouse, whatever state the warehouse is in.

What cannot be written waits in Redis and is written by whoever comes next and can. It is never the reason for which a
task fails or takes longer than a few seconds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from include.connections import redis_client, warehouse
from include.operations import run_errors, usage
from include.operations.errors import ErrorClass, classify
from include.operations.log import log_event

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)

# A hash: the same row put aside twice is kept once, and two processes that write it out do no harm to each other.
WAITING: Final = "ops:unwritten"
# An outage of a day with every task failing stays below.
_MOST_WAITING: Final = 10_000

Row = tuple[str, Mapping[str, Any]]


def _write_usage(connection: psycopg.Connection, values: Mapping[str, Any]) -> None:
    usage.write(connection, values)
    run_errors.forget_lost(connection, values)


_WRITERS: Final = {"run_error": run_errors.write, "task_usage": _write_usage}


def keep(*rows: Row, previous: Mapping[str, Any] | None = None) -> None:
    """Write rows (table, values) in one transaction, or put them aside. Never raises an Exception.

    `previous` names the try before a retry: when it left nothing, it was killed, and gets its row here.
    """
    try:
        with warehouse(quick=True) as connection:
            for table, values in rows:
                _WRITERS[table](connection, values)
            if previous is not None and run_errors.write_lost(connection, previous):
                log_event(log, "try_lost", level=logging.WARNING, **{"try": previous["try_number"]})
    except Exception as error:  # noqa: BLE001 - the task's own outcome is what counts
        _complain("rows_put_aside", error)
        _put_aside(rows)
        return
    try:
        write_out()
    except Exception as error:  # noqa: BLE001 - the rows wait for the next
        _complain("rows_wait", error)


def write_out() -> int:
    """Write the rows that wait in Redis; returns how many."""
    with redis_client(quick=True) as client:
        waiting = client.hgetall(WAITING)
        if not waiting:
            return 0
        with warehouse(quick=True) as connection:
            for each in waiting.values():
                _write_one(connection, json.loads(each))
        client.hdel(WAITING, *waiting)
    log_event(log, "rows_written_out", count=len(waiting))
    return len(waiting)


def _write_one(connection: psycopg.Connection, waiting: list[Any]) -> None:
    """A row that can never be written, of another version of this code, must not hold up the others."""
    table, values = waiting
    try:
        with connection.transaction():
            _WRITERS[table](connection, values)
    except Exception as error:
        if classify(error).error_class in (ErrorClass.VALIDATION, ErrorClass.UNKNOWN):
            _complain("row_refused", error, logging.ERROR)
        else:
            raise


def _put_aside(rows: tuple[Row, ...]) -> None:
    try:
        with redis_client(quick=True) as client:
            if client.hlen(WAITING) >= _MOST_WAITING:
                log_event(log, "rows_lost", level=logging.ERROR, count=len(rows), reason="too many rows wait already")
                return
            fields: dict[Any, Any] = {
                json.dumps([table, *_place(values)]): json.dumps([table, values]) for table, values in rows
            }
            client.hset(WAITING, mapping=fields)
    except Exception as error:  # noqa: BLE001 - the log is what is left
        _complain("rows_lost", error, logging.ERROR)


def _place(values: Mapping[str, Any]) -> list[Any]:
    return [values[name] for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")]


def _complain(event: str, error: Exception, level: int = logging.WARNING) -> None:
    found = classify(error)
    log_event(log, event, level=level, error_class=found.error_class, code=found.code, what_to_do=found.what_to_do)

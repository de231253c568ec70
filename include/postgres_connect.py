"""Connects to PostgreSQL, and finds out why it was refused.

libpq gives no SQLSTATE when a connection cannot be made: a wrong password, a missing database and a server whose slots
are taken look the same, although the first needs a person and the last only time. Its protocol trace shows the code, so
a refused connection is tried once more with the trace on.
"""

from __future__ import annotations

import os
import re
import select
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn

_ASK_S: Final = 2.0
_REFUSED: Final = re.compile(rb'^B\t\d+\tErrorResponse\t S "[A-Z]+"(?: V "[A-Z]+")? C "([0-9A-Z]{5})"', re.MULTILINE)


def connect(**arguments: Any) -> psycopg.Connection:
    """As `psycopg.connect`, but a refusal carries the server's SQLSTATE.

    Raises:
        psycopg.Error: the class of the SQLSTATE, e.g. `TooManyConnections`; `OperationalError` when the server was not
            reached.
    """
    import psycopg

    try:
        return psycopg.connect(**arguments)
    except psycopg.OperationalError as error:
        state = None if error.sqlstate else _why(arguments)
        if state is None:
            raise
        try:
            kind = psycopg.errors.lookup(state)
        except KeyError:
            raise error from None
        raise kind(*error.args) from None


def _why(arguments: dict[str, Any]) -> str | None:
    """The SQLSTATE with which the server refuses this connection; None when it does not, or says nothing."""
    import psycopg
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    settings = {key: value for key, value in arguments.items() if key not in ("autocommit", "row_factory")}
    # Holds the log-in as well, so it is memory and never a file.
    trace = os.memfd_create("postgres-trace") if hasattr(os, "memfd_create") else None
    if trace is None:
        return None
    try:
        connection = pq.PGconn.connect_start(make_conninfo(**settings).encode())
        try:
            connection.trace(trace)
            connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            _poll(connection)
            # Writes what it still holds back.
            connection.untrace()
        finally:
            connection.finish()
        os.lseek(trace, 0, os.SEEK_SET)
        found = _REFUSED.search(os.read(trace, 65_536))
    except (OSError, psycopg.Error):
        return None
    finally:
        os.close(trace)
    return found[1].decode() if found else None


def _poll(connection: PGconn) -> None:
    """Bring the connection to its end, good or bad, or to the end of the time."""
    from psycopg.pq import PollingStatus

    deadline = time.monotonic() + _ASK_S
    while (status := connection.connect_poll()) not in (PollingStatus.OK, PollingStatus.FAILED):
        waiting = [connection.socket]
        reading = waiting if status == PollingStatus.READING else []
        writing = waiting if status == PollingStatus.WRITING else []
        if not any(select.select(reading, writing, [], max(deadline - time.monotonic(), 0))):
            return

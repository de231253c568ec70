"""One transaction on the warehouse for the alerts, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from include.connections import warehouse_arguments
from include.operations.alerts.settings import Settings
from include.operations.alerts.store import Desk

_CONNECT_S = 2
# What a server may take over one statement, its wait for a lock included; whole transactions take milliseconds.
_LIMITS = "-c statement_timeout=2200 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"


class AbandonedError(Exception):
    """Whoever waited for this transaction has gone on without it; it must not take effect any more."""


@contextmanager
def open_desk(
    settings: Settings,
    channels: Mapping[str, bool],
    *,
    now: datetime | None = None,
    abandoned: threading.Event | None = None,
) -> Iterator[Desk]:
    """Open a transaction, committed at the end. Its moment is the server's clock unless `now` is given.

    Raises:
        AbandonedError: `abandoned` was set before the end; nothing is committed then.
        psycopg.Error: the server cannot be reached or refuses.
    """
    import psycopg
    from psycopg.rows import dict_row

    arguments = warehouse_arguments()
    arguments["options"] = f"{arguments.get('options') or ''} {_LIMITS}".strip()
    with psycopg.connect(
        **arguments, connect_timeout=_CONNECT_S, application_name="pipelines-alerts", row_factory=dict_row
    ) as connection:
        if now is None:
            row = connection.execute("select clock_timestamp() as now").fetchone()
            assert row is not None  # noqa: S101 - a SELECT without FROM returns a row
            now = row["now"]
        yield Desk(connection, now, settings, channels)
        if abandoned is not None and abandoned.is_set():
            raise AbandonedError

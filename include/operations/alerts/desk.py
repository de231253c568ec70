"""One transaction on the warehouse for the alerts, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.connections import warehouse_arguments
from include.operations.alerts.settings import Settings

if TYPE_CHECKING:
    import psycopg

Row = dict[str, Any]

# Any number that no other program on this database uses for the same purpose.
_LOCK = 4_017_723_994
_CONNECT_S = 2
# What a server may take over one statement, its wait for a lock included; whole transactions take milliseconds.
_LIMITS = "-c statement_timeout=2200 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"


@dataclass(frozen=True, slots=True)
class Desk:
    """What the store works with: an open transaction, its moment, the settings and the channels there are."""

    connection: psycopg.Connection[Row]
    now: datetime
    settings: Settings
    channels: Mapping[str, bool]
    """Configured channels, and whether what they sent can be edited."""

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Run a statement that returns rows; `%(now)s` is this moment."""
        return self.connection.execute(query, {"now": self.now, **values}).fetchall()

    def one(self, query: str, **values: Any) -> Row | None:
        """Run a statement that returns at most one row."""
        return self.connection.execute(query, {"now": self.now, **values}).fetchone()

    def run(self, query: str, **values: Any) -> int:
        """Run a statement; returns how many rows it changed."""
        return self.connection.execute(query, {"now": self.now, **values}).rowcount


def exclusively(desk: Desk) -> None:
    """Wait until no other process decides or settles, to the end of this transaction."""
    desk.rows("select pg_advisory_xact_lock(%(lock)s)", lock=_LOCK)


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

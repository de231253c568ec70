"""The SQLite file below the store: one writer, any number of readers in other threads, each with its own snapshot."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = "organisation.db"
_PATIENCE = 10.0


def quote(name: str) -> str:
    """Return an identifier for SQL; names of objects and fields are checked where they are made."""
    return f'"{name}"'


class Database:
    """A file in `directory`, or in a directory of its own that ends with `close`."""

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = None if directory else Path(tempfile.mkdtemp(prefix="salesforce-"))
        self.directory = directory or self._temporary or Path()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._path = self.directory / _FILE
        # What SQLite puts beside it gets the same mode: test data of people, too, is for its owner only.
        self._path.touch(mode=0o600)
        self._lock = threading.RLock()
        self._quiet = threading.Condition()
        self._reading, self._closed = 0, False
        self._depth = 0
        self._readers = threading.local()
        self._all_readers: list[sqlite3.Connection] = []
        self._writer = self._connect()
        # A simulator may lose its last moments with a power cut; WAL keeps the file whole all the same.
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        """Close all connections when nobody reads or writes any more; whoever comes later gets sqlite3's error.

        A connection that is closed while another thread uses it brings the process down, so one that somebody goes on
        reading with is left to him.
        """
        with self._quiet:
            self._closed = True
            idle = self._quiet.wait_for(lambda: self._reading == 0, _PATIENCE)
        with self._lock:
            for connection in [self._writer, *(self._all_readers if idle else ())]:
                connection.close()
            self._all_readers.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the only writing connection in a transaction; one inside another belongs to the outer one."""
        with self._lock:
            if self._depth == 0:
                self._writer.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._writer
            except BaseException:
                if self._depth == 1:
                    self._writer.rollback()
                raise
            else:
                if self._depth == 1:
                    self._writer.commit()
            finally:
                self._depth -= 1

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Hold this thread's reading connection: it neither sees nor blocks what is written meanwhile."""
        with self._quiet:
            if self._closed:
                raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
            self._reading += 1
        try:
            connection = self._reader()
            nested = connection.in_transaction
            if not nested:
                connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if not nested:
                    connection.rollback()
        finally:
            with self._quiet:
                self._reading -= 1
                self._quiet.notify_all()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = self._connect()
            with self._quiet:  # not the lock, which a long transaction holds
                self._all_readers.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        # Readers belong to one thread each, but close() ends them all.
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.create_function("sf_lower", 1, _lower, deterministic=True)
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -65536")
        return connection


def _lower(value: str | float | None) -> str | float | None:
    return value.lower() if isinstance(value, str) else value

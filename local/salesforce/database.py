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
        self._depth = 0
        self._readers = threading.local()
        self._all_readers: list[sqlite3.Connection] = []
        self._writer = self._connect()
        # A simulator may lose its last moments with a power cut; WAL keeps the file whole all the same.
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        """Close all connections, also those of other threads."""
        with self._lock:
            for connection in [self._writer, *self._all_readers]:
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
        connection: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = self._connect()
            with self._lock:
                self._all_readers.append(connection)
        nested = connection.in_transaction
        if not nested:
            connection.execute("BEGIN")
        try:
            yield connection
        finally:
            if not nested:
                connection.rollback()

    def _connect(self) -> sqlite3.Connection:
        # Readers belong to one thread each, but close() ends them all.
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.create_function("sf_lower", 1, _lower, deterministic=True)
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -65536")
        return connection


def _lower(value: str | float | None) -> str | float | None:
    return value.lower() if isinstance(value, str) else value

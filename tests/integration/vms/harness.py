"""A migrated warehouse for tests of the Salesforce sync: connections, syncs, staged rows from Python, table dumps."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from include.vms import merge, staging, validate
from include.vms.contracts import Manifest, Mode
from include.vms.spec import SyncObject
from local.salesforce.ids import to_18

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stamp(minutes: float = 0) -> str:
    """A point in time as Bulk 2.0 writes it, so many minutes after START."""
    return f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}.000Z"


def record_id(prefix: str, number: int) -> str:
    """The id of a number, of 18 characters."""
    return to_18(f"{prefix}{number:012d}")


def csv_bytes(spec: SyncObject, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as a page of Bulk 2.0: all fields quoted, null as empty; system fields have defaults."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(spec.select)
    for row in rows:
        full = {"SystemModstamp": stamp(), "CreatedDate": stamp(-1e6), "IsDeleted": "false", **row}
        full.setdefault("LastModifiedDate", full["SystemModstamp"])
        writer.writerow([full.get(name, "") if full.get(name) is not None else "" for name in spec.select])
    return text.getvalue().encode()


class Warehouse:
    """One database; every call is a transaction of its own, unless it is given a connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._runs = 0

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """As `include.connections.warehouse`."""
        with psycopg.connect(self.url) as connection:
            yield connection

    def rows(self, query: Any, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.connect() as connection:
            return connection.execute(query, parameters or None).fetchall()

    def run(self, *statements: str) -> None:
        """Execute statements."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def table(self, name: str, *columns: str, schema: str = "vms") -> list[tuple[Any, ...]]:
        """Columns of a table, in the order of the first."""
        query = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, name)
        )
        with self.connect() as connection:
            return connection.execute(query).fetchall()

    def stage(self, spec: SyncObject, *pages: bytes, **manifest: Any) -> Manifest:
        """What an extract leaves behind: staged pages, a lease, the row of the run; returns its manifest."""
        self._runs += 1
        run = f"run-{self._runs}"
        with self.connect() as connection:
            epoch = self._lease(connection, spec, run)
            staging.create(connection, spec)
            read = sum(self.copy(connection, spec, page) for page in pages)
        return Manifest(
            object=spec.name,
            run=run,
            epoch=epoch,
            **{"mode": Mode.INCREMENTAL, "read": read, "window_to": START.isoformat()} | manifest,
        )

    @staticmethod
    def copy(connection: psycopg.Connection, spec: SyncObject, page: bytes) -> int:
        """COPY a page into the staging table; returns the number of rows."""
        cursor = connection.cursor()
        with cursor.copy(staging.copy_statement(spec)) as copy:
            copy.write(page)
        return cursor.rowcount

    @staticmethod
    def _lease(connection: psycopg.Connection, spec: SyncObject, run: str) -> int:
        found = connection.execute(
            "INSERT INTO ops.sync_state (object, epoch, holder, phase) VALUES (%s, 1, %s, 'extracted') ON CONFLICT"
            " (object) DO UPDATE SET epoch = sync_state.epoch + 1, holder = excluded.holder, phase = excluded.phase"
            " RETURNING epoch",
            [spec.name, run],
        ).fetchone()
        connection.execute(
            "INSERT INTO ops.sync_run (object, run_id, mode) VALUES (%s, %s, 'incremental')", [spec.name, run]
        )
        assert found
        return int(found[0])

    def load(self, spec: SyncObject, *rows: Mapping[str, Any], **manifest: Any) -> Manifest:
        """Stage rows, validate and merge them."""
        staged = self.stage(spec, csv_bytes(spec, rows), **manifest)
        return merge.merge(self.connect, spec, validate.validate(self.connect, spec, staged))

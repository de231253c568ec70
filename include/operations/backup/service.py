"""What a backup is from end to end: made, recorded in `ops.backup`, checked, removed when it is old."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from include.connections import NEO4J, WAREHOUSE, neo4j_driver
from include.operations.backup import scratch
from include.operations.backup.digest import differences, digest
from include.operations.backup.errors import BackupDiffers
from include.operations.backup.postgres import Postgres
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import SOURCES, Manifest, Store
from include.operations.errors import InputRejected, LeaseHeld
from include.operations.log import log_event

if TYPE_CHECKING:
    import psycopg

    from include.operations.backup.graph import Graph

log = logging.getLogger(__name__)

# Reads all tables of Airflow's metadata database and may delete from some; see docs/backup.md.
METADATA: Final = "airflow_metadata_upkeep"
CONNECTIONS: Final = {"metadata": METADATA, "warehouse": WAREHOUSE, "graph": NEO4J}
# What a dump of a database takes at most, as a share of it: text compresses, and indexes are not in it.
_SHARE_OF_DATABASE: Final = 0.7
_GROWTH: Final = 1.5
# An export that met a committed batch is tried again; a run of the pipeline takes seconds.
_ATTEMPTS: Final = 3

_RECORD: Final = """
insert into ops.backup (name, source, size_bytes, sha256, encrypted, rows, started_at, seconds)
values (%(name)s, %(source)s, %(size)s, %(sha256)s, %(encrypted)s, %(rows)s, %(started_at)s, %(seconds)s)
on conflict (name) do nothing
"""
_CHECKED: Final = "update ops.backup set checked_at = now(), restore_s = %s where name = %s"
_GOOD: Final = "select name from ops.backup where checked_at is not null"
_REMOVED: Final = "update ops.backup set removed_at = now() where name = any(%s)"


class Backups:
    """Backups of all sources in one store."""

    def __init__(self, settings: BackupSettings | None = None) -> None:
        self.settings = settings or BackupSettings.from_env()
        self.store = Store(self.settings)

    def create(self, source: str, conn_id: str | None = None) -> Manifest:
        """Back a source up; the backup is there when this returns.

        Raises:
            InputRejected: there is no such source.
            DiskShort: there is not enough free space.
            LeaseHeld: the graph was changed during each attempt.
            ToolMissing, ToolFailed: pg_dump is missing, too old, or could not do it.
        """
        if source not in SOURCES:
            raise InputRejected(f"there is no source {source!r}", what_to_do=f"name one of {', '.join(SOURCES)}")
        conn_id = conn_id or CONNECTIONS[source]
        made = self._export_graph(conn_id) if source == "graph" else self._dump(source, conn_id)
        log_event(
            log,
            "backup_made",
            backup=made.name,
            source=source,
            rows=made.total,
            bytes=made.size_bytes,
            seconds=made.seconds,
            encrypted=made.key_id is not None,
        )
        return made

    def _dump(self, source: str, conn_id: str) -> Manifest:
        database = Postgres.of(conn_id, self.settings.pg_bin)
        with self.store.making(source, self._expected(source, database.size_bytes())) as draft:
            database.dump(draft)
        return self.store.manifest(draft.name)

    def _export_graph(self, conn_id: str) -> Manifest:
        from include.operations.backup.graph import export

        with graph_of(conn_id) as graph:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    with self.store.making("graph", self._expected("graph", 0)) as draft:
                        draft.server = graph.version()
                        draft.rows = export(graph, draft.write)
                    break
                except LeaseHeld:
                    if attempt == _ATTEMPTS:
                        raise
        return self.store.manifest(draft.name)

    def _expected(self, source: str, database_bytes: int) -> int:
        """How many bytes the next backup may take: somewhat more than the last one, else a share of the database."""
        last = next(self.store.manifests(source), None)
        return int(last.size_bytes * _GROWTH) if last else int(database_bytes * _SHARE_OF_DATABASE)

    def check(self, name: str, scratch_id: str = scratch.CONN_ID) -> float | None:
        """Prove that a backup holds what was backed up.

        A dump is restored into a scratch database; an export of the graph is read back to its end, because a Neo4j
        of the Community edition has only one database to restore into.

        Returns:
            The seconds the restore took; None when the backup was only read back.

        Raises:
            BackupDamaged, BackupKeyWrong: the file cannot be read.
            BackupDiffers: what comes out is not what went in.
        """
        manifest = self.store.manifest(name)
        if manifest.source == "graph":
            self.read_back(manifest)
            return None
        return scratch.check(self.store, manifest, Postgres.of(scratch_id, self.settings.pg_bin))

    def read_back(self, manifest: Manifest) -> None:
        """Read a backup to its end; of the graph, compare what is in it.

        Raises:
            BackupDamaged, BackupKeyWrong: the file cannot be read.
            BackupDiffers: it holds other nodes or relationships than there were.
        """
        from include.operations.backup.graph import read_back

        data = self.store.read(manifest)
        if manifest.source != "graph":
            for _ in data:
                pass
        elif found := differences(manifest.rows, read_back(data, manifest.name)):
            raise BackupDiffers(f"{manifest.name}: {'; '.join(found)}", what_to_do="make another backup")

    def restore(self, name: str, conn_id: str, *, replace: bool = False) -> None:
        """Restore into an empty target, or replace what is there, and compare.

        Raises:
            TargetNotEmpty: the target holds something, and `replace` is not set.
            BackupDiffers: the target is not what was backed up.
        """
        manifest = self.store.manifest(name)
        if manifest.source == "graph":
            from include.operations.backup import graph_restore

            with graph_of(conn_id) as graph:
                data = self.store.read(manifest)
                graph_restore.restore(graph, data, name, manifest.rows, replace=replace)
            return
        database = Postgres.of(conn_id, self.settings.pg_bin)
        if not replace:
            database.require_empty()
        database.restore(self.store.read(manifest), replace=replace, extensions=manifest.extensions)
        with database.connect() as connection:
            found = differences(manifest.rows, digest(connection))
        if found:
            raise BackupDiffers(
                f"restored, but the target differs from what was backed up: {'; '.join(found[:3])}",
                what_to_do="see whether somebody writes to it, or it held other tables before",
            )

    def examine_target(self, manifest: Manifest, conn_id: str, *, empty: bool) -> None:
        """Reach the target of a restore, and see that it fits.

        Raises:
            TargetNotEmpty: it holds something, and should be empty.
            ToolMissing: pg_restore is missing or older than the target's server.
        """
        if manifest.source == "graph":
            from include.operations.backup import graph_restore

            with graph_of(conn_id) as graph:
                graph.version()
                if empty:
                    graph_restore.require_empty(graph)
            return
        database = Postgres.of(conn_id, self.settings.pg_bin)
        database.examine()
        if empty:
            database.require_empty()

    # --- the table ops.backup ---------------------------------------------------

    def record(self, connection: psycopg.Connection, name: str) -> None:
        """Leave the backup's row; repeating it changes nothing."""
        from psycopg.types.json import Jsonb

        manifest = self.store.manifest(name)
        connection.execute(
            _RECORD,
            {
                "name": manifest.name,
                "source": manifest.source,
                "size": manifest.size_bytes,
                "sha256": manifest.sha256,
                "encrypted": manifest.key_id is not None,
                "rows": Jsonb({table: asdict(content) for table, content in manifest.rows.items()}),
                "started_at": manifest.when,
                "seconds": manifest.seconds,
            },
        )

    def record_check(self, connection: psycopg.Connection, name: str, restore_s: float | None) -> None:
        """Say in the backup's row that it was checked."""
        self.record(connection, name)
        connection.execute(_CHECKED, [restore_s, name])

    def expire(self, connection: psycopg.Connection) -> list[str]:
        """Remove old backups, but no source's newest one that was checked; returns their names."""
        good = {name for (name,) in connection.execute(_GOOD).fetchall()}
        gone = self.store.expire(good)
        connection.execute(_REMOVED, [gone])
        return gone


@contextmanager
def graph_of(conn_id: str) -> Iterator[Graph]:
    """The graph of an Airflow connection."""
    from include.operations.backup.graph import Graph

    with neo4j_driver(conn_id) as (driver, database):
        yield Graph(driver, database)

"""Publishes a run: rows, children, tombstones, quarantine, flags, watermark and counts, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.types.json import Jsonb

from include.vms import merge_sql, state, tombstones

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import SyncObject, Table

_COUNTS = ("inserted", "updated", "unchanged", "deleted", "restored", "left_filter", "rejected", "flagged")


def merge(connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    """Publish what is staged; the manifest is given the exact counts."""
    with connect() as connection:
        publish(connection, spec, manifest)
    return manifest


def publish(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> None:
    """The statements of a merge, in the caller's transaction."""
    state.fence(connection, manifest.object, manifest.epoch)
    _lock(connection, spec)
    for table in merge_sql.publishing_order(spec):
        counts = _upsert(connection, spec, table)
        if table == spec.table:
            manifest.counts.update(counts)
    manifest.counts.update(tombstones.apply(connection, spec))
    _finish(connection, manifest)


def _lock(connection: psycopg.Connection, spec: SyncObject) -> None:
    """Keep other writers out of the tables until the end; readers and foreign keys go on.

    MERGE does not wait for a row that somebody else is inserting; a shared table has several writers.
    """
    tables = sql.SQL(", ").join(merge_sql.target(table) for table in sorted(spec.tables, key=lambda one: one.name))
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(tables))


def _upsert(connection: psycopg.Connection, spec: SyncObject, table: Table) -> dict[str, int]:
    restored = _scalar(connection, merge_sql.restored(spec, table))
    found = connection.execute(
        sql.SQL(
            "WITH done AS ({} RETURNING merge_action() AS action)"
            " SELECT count(*) FILTER (WHERE action = 'INSERT'), count(*) FROM done"
        ).format(merge_sql.upsert(spec, table))
    ).fetchone()
    inserted, written = found or (0, 0)
    return {"inserted": inserted, "updated": written - inserted - restored, "restored": restored}


def _finish(connection: psycopg.Connection, manifest: Manifest) -> None:
    """Move the watermark, clear the checkpoint, note the counts."""
    counts = manifest.counts
    counts["unchanged"] = counts["good"] - counts["inserted"] - counts["updated"] - counts["restored"]
    state.publish(connection, manifest)
    names = [name for name in _COUNTS if name in counts]
    connection.execute(
        sql.SQL("UPDATE ops.sync_run SET {}, notes = {} WHERE object = {} AND run_id = {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(counts[name])) for name in names
            ),
            sql.Literal(Jsonb(manifest.notes)),
            sql.Literal(manifest.object),
            sql.Literal(manifest.run),
        )
    )


def _scalar(connection: psycopg.Connection, statement: sql.Composed) -> int:
    found = connection.execute(statement).fetchone()
    return int(found[0]) if found else 0

"""Publishes a run: rows, children, tombstones, quarantine, flags, watermark and counts, in one transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from include.operations.conflicts import repeat
from include.operations.faults import fault_point
from include.vms import children, drift, first_load, flags, merge_sql, merges, quarantine, staging, state, tombstones

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import SyncObject, Table

_COUNTS: Final = (
    "inserted",
    "updated",
    "unchanged",
    "deleted",
    "restored",
    "left_filter",
    "merged",
    "rejected",
    "flagged",
)
_CHANGES: Final = ("inserted", "updated", "deleted", "restored", "left_filter", "merged")
# Sorting and hashing a whole object in memory; the server frees it at the end of each statement.
_WORK_MEM: Final = "64MB"
_ANY: Final = sql.SQL("true")


def merge(
    connect: Connect, spec: SyncObject, manifest: Manifest, *, sleep: Callable[[float], None] = time.sleep
) -> Manifest:
    """Publish what is staged; the manifest is given the exact counts.

    A second try after a commit whose answer was lost finds the work done, and returns its counts. A deadlock or a
    serialization failure is tried again here, twice: the staged rows are still there.

    Raises:
        LeaseLost: another run has taken over; nothing was published.
        NotValidated: `validate` has refused the rows, or not seen them; nothing was published.
        StagingLost: PostgreSQL has crashed since the rows were staged; nothing was published.
    """
    if manifest.dry_run:
        from include.vms import dry_run

        return dry_run.preview(connect, spec, manifest)
    return repeat(lambda: _merge(connect, spec, manifest), sleep=sleep)


def _merge(connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    with connect() as connection:
        state.fence(connection, spec.name, manifest.epoch)
        if state.to_publish(connection, manifest):
            staging.check(connection, spec, manifest.read)
            publish(connection, drift.effective(connection, spec), manifest)
            fault_point("vms.merge.before_commit")
            state.publish(connection, manifest)
            if any(manifest.counts[name] for name in (*_CHANGES, "shared_updated")):
                state.changed(connection, spec.name)
            write_counts(connection, manifest)
        else:
            _read_counts(connection, manifest)
    fault_point("vms.merge.after_commit")
    return manifest


def publish(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> None:
    """Bring the record tables to what is staged, in the caller's transaction, and count it into the manifest."""
    connection.execute("SELECT set_config('work_mem', %s, true)", [_WORK_MEM])
    lock(connection, spec)
    manifest.counts |= {"inserted": 0, "updated": 0, "restored": 0, "unchanged": 0, "linked": 0, "shared_updated": 0}
    if manifest.counts["good"]:
        _publish_good(connection, spec, manifest)
    manifest.counts.update(tombstones.apply(connection, spec))
    manifest.counts["merged"] = merges.note(connection, spec)
    quarantine.record(connection, spec, manifest)
    manifest.counts["flagged"] = flags.record(connection, spec, manifest)


def _publish_good(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> None:
    """Write records and what hangs on them. Without any, a join of nothing with everything would cost a scan."""
    marked = _exists(connection, staging.table(spec, "_marks"))
    stale = {}
    for table in merge_sql.publishing_order(spec):
        counts, stale[table.name] = _upsert(connection, spec, table, manifest, marked=marked)
        if table == spec.table:
            manifest.counts.update(counts)
            manifest.counts["unchanged"] = manifest.counts["good"] - sum(counts.values())
        else:
            manifest.counts["shared_updated"] += counts["updated"] + counts["restored"]
    for child in spec.children:
        children.replace(connection, spec, child, stale=stale[child.parent], marked=marked)


def lock(connection: psycopg.Connection, spec: SyncObject) -> None:
    """Keep other writers out of the tables until the end; readers and foreign keys go on.

    MERGE does not wait for a row that somebody else is inserting, and a shared table has several writers.
    """
    tables = sql.SQL(", ").join(merge_sql.target(table) for table in sorted(spec.tables, key=lambda one: one.name))
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(tables))


def _upsert(
    connection: psycopg.Connection, spec: SyncObject, table: Table, manifest: Manifest, *, marked: bool
) -> tuple[dict[str, int], bool]:
    """Write one table; returns the counts, and whether a staged row was older than the stored one.

    References that are set on the way are counted into the manifest.
    """
    if not _exists(connection, merge_sql.target(table)):
        # What is only tried keeps nobody from the parents.
        rows = 0 if manifest.dry_run else manifest.counts["good"]
        with first_load.unhindered(connection, merge_sql.target(table), rows):
            inserted = connection.execute(merge_sql.insert(spec, table, marked=marked)).rowcount
        (linked,) = _row(connection, merge_sql.linked(table))
        manifest.counts["linked"] += linked
        return {"inserted": inserted, "updated": 0, "restored": 0}, False
    # Both cost a join of all rows; mostly nothing is stored as deleted, and nothing hangs on the table.
    restored = stale = 0
    if _exists(connection, merge_sql.target(table), sql.SQL("deleted_at IS NOT NULL")):
        (restored,) = _row(connection, merge_sql.restored(spec, table, marked=marked))
    if any(child.parent == table.name for child in spec.children):
        (stale,) = _row(connection, merge_sql.stale(spec, table, marked=marked))
    inserted, written = _row(connection, merge_sql.upsert(spec, table, marked=marked))
    return {"inserted": inserted, "updated": written - inserted - restored, "restored": restored}, stale > 0


def _exists(connection: psycopg.Connection, table: sql.Identifier, test: sql.SQL = _ANY) -> bool:
    """Whether a table has a row, of which something is true."""
    return connection.execute(sql.SQL("SELECT FROM {} WHERE {} LIMIT 1").format(table, test)).fetchone() is not None


def write_counts(connection: psycopg.Connection, manifest: Manifest) -> None:
    """Write what a run came to, or would have come to, into its row of `ops.sync_run`."""
    values: dict[str, Any] = {name: manifest.counts[name] for name in _COUNTS} | {"notes": Jsonb(manifest.notes)}
    settings = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(n), v) for n, v in values.items())
    connection.execute(sql.SQL("UPDATE ops.sync_run SET {} WHERE {}").format(settings, _run(manifest)))


def _read_counts(connection: psycopg.Connection, manifest: Manifest) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COUNTS))
    found = _row(connection, sql.SQL("SELECT {} FROM ops.sync_run WHERE {}").format(columns, _run(manifest)))
    manifest.counts.update(zip(_COUNTS, found, strict=True))


def _run(manifest: Manifest) -> sql.Composed:
    return sql.SQL("object = {} AND run_id = {}").format(manifest.object, manifest.run)


def _row(connection: psycopg.Connection, statement: sql.Composed) -> tuple[Any, ...]:
    found = connection.execute(statement).fetchone()
    if found is None:
        raise LookupError("a statement that gives one row gave none")
    return found

"""What a run would change, without changing it: exact counts and a few samples.

The counts are those of the real statements, rolled back: a constraint that would stop the run stops the dry run too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from include.vms import drift, merge, merge_sql, staging, state
from include.vms.pii import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import SyncObject, Table

SAMPLES: Final = 20
# Of them, deletions have at least so many places.
_GONE: Final = 5


def preview(connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    """Count what would be written and take samples of it; the staging tables are removed.

    Raises:
        LeaseLost: another run has taken over.
        NotValidated: `validate` has refused the rows, or not seen them.
    """
    with connect() as connection:
        state.fence(connection, spec.name, manifest.epoch)
        state.to_publish(connection, manifest)
        spec = drift.effective(connection, spec)
        changes = [one for table in spec.tables for one in _changes(connection, spec, table)]
        gone = _gone(connection, spec)
        manifest.samples = (changes[: SAMPLES - min(len(gone), _GONE)] + gone)[:SAMPLES]
        with connection.transaction(force_rollback=True):
            merge.publish(connection, spec, manifest)
        merge.write_counts(connection, manifest)
        state.publish(connection, manifest)
        staging.drop(connection, spec)
    return manifest


def _changes(connection: psycopg.Connection, spec: SyncObject, table: Table) -> list[dict[str, Any]]:
    """Rows of a table that would be written: column by column the old value and the new one, masked."""
    columns = [column for column in table.columns if column.source]
    old = {column.name: sql.Identifier("t", column.name) for column in columns}
    new = {
        column.name: sql.SQL("coalesce(n.{0}, t.{0})" if column.keep else "n.{0}").format(sql.Identifier(column.name))
        for column in columns
    }

    def masked(values: Mapping[str, sql.Composable]) -> sql.Composed:
        texts = (shown(sql.SQL("({})::text").format(values[one.name]), spec.shown(one)) for one in columns)
        return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(texts))

    differs = [sql.SQL("({} IS DISTINCT FROM {})").format(old[name], new[name]) for name in old]
    found = connection.execute(
        sql.SQL(
            """
            SELECT n.salesforce_id, CASE WHEN t.salesforce_id IS NULL THEN 'insert' WHEN t.deleted_at IS NULL
                THEN 'update' ELSE 'restore' END, ARRAY[{differs}]::boolean[], {old}, {new}
            FROM {incoming} LEFT JOIN {target} AS t ON t.salesforce_id = n.salesforce_id
            WHERE t.salesforce_id IS NULL
                OR n.system_modstamp >= t.system_modstamp AND (t.deleted_at IS NOT NULL OR {any})
            ORDER BY n.salesforce_id LIMIT {most}
            """
        ).format(
            differs=sql.SQL(", ").join(differs),
            any=sql.SQL(" OR ").join(differs),
            old=masked(old),
            new=masked(new),
            incoming=merge_sql.incoming(spec, table, marked=True),
            target=merge_sql.target(table),
            most=sql.Literal(SAMPLES),
        )
    ).fetchall()
    return [
        {
            "id": key,
            "table": table.name,
            "change": change,
            "columns": {
                name: [before, after]
                for name, other, before, after in zip(old, others, befores, afters, strict=True)
                if other and (change != "insert" or after is not None)
            },
        }
        for key, change, others, befores, afters in found
    ]


def _gone(connection: psycopg.Connection, spec: SyncObject) -> list[dict[str, Any]]:
    """Rows of the object's own table that would be marked as deleted."""
    found = connection.execute(
        sql.SQL(
            """
            SELECT DISTINCT t.salesforce_id FROM {target} AS t JOIN (
                SELECT id, system_modstamp AS at FROM {marks} WHERE mark IN ('deleted', 'left')
                UNION ALL SELECT id, deleted_at::timestamptz FROM {listed}
            ) AS d ON d.id = t.salesforce_id AND d.at >= t.system_modstamp
            WHERE t.deleted_at IS NULL ORDER BY 1 LIMIT {most}
            """
        ).format(
            target=merge_sql.target(spec.table),
            marks=staging.table(spec, "_marks"),
            listed=staging.table(spec, "_deleted"),
            most=sql.Literal(SAMPLES),
        )
    ).fetchall()
    return [{"id": key, "table": spec.table.name, "change": "delete", "columns": {}} for (key,) in found]

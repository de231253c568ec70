"""Merged records: Salesforce deletes the losers, names the winner in MasterRecordId, and turns references silently.

"Silently": the records that pointed at a loser now point at the winner, and their SystemModstamp has not moved, so no
incremental read brings them. `vms.record_alias` remembers loser and winner, and every column that holds an id follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from psycopg import sql

from include.vms import registry, staging
from include.vms.merge_sql import target
from include.vms.spec import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from include.vms.spec import SyncObject, Table

MASTER: Final = "MasterRecordId"

# From an alias to the record that is left at the end of the chain. UNION ends a circle, which can only stand here
# between the two syncs that undo it; an alias in it has no end and is left alone.
_CHAINS: Final[LiteralString] = """
WITH RECURSIVE walk (alias_id, record_id) AS (
    SELECT alias_id, master_id FROM vms.record_alias WHERE {start}
    UNION SELECT w.alias_id, a.master_id FROM walk AS w JOIN vms.record_alias AS a ON a.alias_id = w.record_id
), final AS (
    SELECT alias_id, record_id AS master_id FROM walk AS w
    WHERE NOT EXISTS (SELECT FROM vms.record_alias AS a WHERE a.alias_id = w.record_id)
)
"""
_ALL: Final[LiteralString] = "true"
_NEW: Final[LiteralString] = "applied_at IS NULL"


def note(connection: psycopg.Connection, spec: SyncObject) -> int:
    """Learn from the staged rows who was merged into whom, and who is back; returns the number of new aliases.

    Part of the transaction that publishes the rows; `_marks` must have been written.
    """
    staged, marks = staging.table(spec), staging.table(spec, "_marks")
    if not _has_master(connection, spec):
        return 0
    connection.execute(
        sql.SQL(
            "DELETE FROM vms.record_alias AS a USING {staged} AS s LEFT JOIN {marks} AS m USING (row_no)"
            " WHERE a.alias_id = s.\"Id\" AND (m.mark IS NULL OR m.mark = 'left')"
            ' AND a.merged_at <= s."SystemModstamp"::timestamptz'
        ).format(staged=staged, marks=marks)
    )
    return connection.execute(
        sql.SQL(
            "INSERT INTO vms.record_alias AS a (alias_id, sobject, master_id, merged_at)"
            " SELECT m.id, {sobject}, s.{master}, m.system_modstamp FROM {marks} AS m JOIN {staged} AS s USING (row_no)"
            " WHERE m.mark = 'deleted' AND s.{master} ~ '^[A-Za-z0-9]{{18}}$' AND s.{master} <> m.id"
            # Several objects may tell of the same merge at once: one order of locks.
            " ORDER BY m.id"
            " ON CONFLICT (alias_id) DO UPDATE SET master_id = excluded.master_id, merged_at = excluded.merged_at,"
            " applied_at = NULL WHERE a.merged_at <= excluded.merged_at AND a.master_id <> excluded.master_id"
        ).format(staged=staged, marks=marks, sobject=sql.Literal(spec.sobject), master=sql.Identifier(MASTER))
    ).rowcount


def waiting(connection: psycopg.Connection) -> bool:
    """Whether there are merged records that nothing has been turned for."""
    query = sql.SQL("SELECT FROM vms.record_alias WHERE {} LIMIT 1").format(sql.SQL(_NEW))
    return connection.execute(query).fetchone() is not None


def apply(connection: psycopg.Connection) -> int:
    """Turn every column that holds the id of a newly merged record to the winner; returns the rows changed.

    What was resolved by the old id is resolved anew afterwards, by `links`.
    """
    changed = 0
    for table in tables():
        for column in table.columns:
            if column.kind is Kind.ID and column.source:
                changed += connection.execute(_turn(table, column.name, _NEW, sql.SQL("true"))).rowcount
    connection.execute(sql.SQL("UPDATE vms.record_alias SET applied_at = now() WHERE {}").format(sql.SQL(_NEW)))
    return changed


def follow(connection: psycopg.Connection, table: Table, column: str, open_rows: sql.Composable) -> int:
    """Turn references that were read with the id of a record merged long ago; returns the rows changed.

    Args:
        connection: the caller's transaction.
        table: of the references.
        column: with the id.
        open_rows: condition on `t`: the rows to look at.
    """
    return connection.execute(_turn(table, column, _ALL, open_rows)).rowcount


def tables() -> Iterator[Table]:
    """Every record table once, by name: whoever locks several does it in this order."""
    found = {table.name: table for one in registry.objects().values() for table in one.tables}
    return iter(sorted(found.values(), key=lambda table: table.name))


def _turn(table: Table, column: str, which: LiteralString, rows: sql.Composable) -> sql.Composed:
    resolved = [name for one in table.references if one.raw == column for name, _ in one.candidates]
    return sql.SQL(
        "{chains} UPDATE {target} AS t SET {column} = f.master_id{cleared}, synced_at = now() FROM final AS f"
        " WHERE t.{column} = f.alias_id AND {rows}"
    ).format(
        chains=sql.SQL(_CHAINS).format(start=sql.SQL(which)),
        target=target(table),
        column=sql.Identifier(column),
        cleared=sql.SQL("").join(sql.SQL(", {} = NULL").format(sql.Identifier(name)) for name in resolved),
        rows=rows,
    )


def _has_master(connection: psycopg.Connection, spec: SyncObject) -> bool:
    """Only objects that can be merged have the field."""
    found = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
        [staging.table(spec).as_string(connection), MASTER],
    ).fetchone()
    return found is not None

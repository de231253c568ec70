"""Rows of records that are gone: marked with `deleted_at`, never removed.

Three sources say so: a staged row with IsDeleted, a staged row that is no longer in the object's filter (its rows in
shared tables stay: they belong to others as well), and the ids of `_deleted`, from getDeleted or a sweep of all ids. A
sweep only knows that an id is not in the filter, so it does not touch shared tables either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from include.vms import staging
from include.vms.merge_sql import target

if TYPE_CHECKING:
    import psycopg

    from include.vms.spec import SyncObject, Table


def apply(connection: psycopg.Connection, spec: SyncObject) -> dict[str, int]:
    """Mark the rows; returns how many of the object's own table are newly `deleted` and `left_filter`."""
    counts = {"deleted": 0, "left_filter": 0}
    for table in spec.tables:
        own = table == spec.table
        deleted = _marked(connection, spec, table, "deleted") + _listed(connection, spec, table)
        left = 0 if table.shared else _marked(connection, spec, table, "left")
        if own:
            counts |= {"deleted": deleted, "left_filter": left}
    return counts


def _marked(connection: psycopg.Connection, spec: SyncObject, table: Table, mark: str) -> int:
    """By the staged rows; returns how many were active before."""
    found = connection.execute(
        sql.SQL(
            "WITH done AS (UPDATE {target} AS t SET deleted_at = coalesce(t.deleted_at, m.system_modstamp),"
            " system_modstamp = m.system_modstamp, synced_at = now()"
            " FROM {marks} AS m JOIN {target} AS o ON o.salesforce_id = m.id"
            " WHERE t.salesforce_id = o.salesforce_id AND m.mark = {mark} AND m.system_modstamp >= t.system_modstamp"
            " AND (t.deleted_at IS NULL OR m.system_modstamp > t.system_modstamp)"
            " RETURNING o.deleted_at IS NULL AS active) SELECT count(*) FROM done WHERE active"
        ).format(target=target(table), marks=staging.table(spec, "_marks"), mark=sql.Literal(mark))
    ).fetchone()
    return int(found[0]) if found else 0


def _listed(connection: psycopg.Connection, spec: SyncObject, table: Table) -> int:
    """By the ids of `_deleted`, unless the record has been seen alive since."""
    return connection.execute(
        sql.SQL(
            "UPDATE {target} AS t SET deleted_at = d.deleted_at, synced_at = now()"
            " FROM (SELECT id, max(deleted_at::timestamptz) AS deleted_at FROM {listed} {where} GROUP BY id) AS d"
            " WHERE t.salesforce_id = d.id AND t.deleted_at IS NULL AND t.system_modstamp <= d.deleted_at"
        ).format(
            target=target(table),
            listed=staging.table(spec, "_deleted"),
            where=sql.SQL("WHERE NOT swept" if table.shared else ""),
        )
    ).rowcount

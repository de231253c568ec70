"""What goes with the rows of a run: ids that getDeleted names, all ids of the source, ids that have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from include.vms import staging, state
from include.vms.paging import Target, read_beside
from include.vms.salesforce import soql

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Connect
    from include.vms.salesforce.client import Salesforce
    from include.vms.salesforce.rest import Deleted
    from include.vms.spec import SyncObject

_ID_FIELDS: Final = ("Id", "SystemModstamp")


def stage_deleted(conn: psycopg.Connection[Any], spec: SyncObject, deleted: Deleted) -> int:
    """Stage what getDeleted said, in the caller's transaction; returns the number of ids."""
    from psycopg import sql

    table = staging.table(spec, "_deleted")
    conn.execute(sql.SQL("TRUNCATE {}").format(table))
    with conn.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} (id, deleted_at) FROM STDIN").format(table)) as copy:
            for row in deleted.rows:
                copy.write_row(row)
        return cursor.rowcount


def stage_ids(client: Salesforce, connect: Connect, spec: SyncObject, epoch: int, expected: int) -> int:
    """Stage every active id of the source with its modstamp, for a sweep; returns how many.

    Args:
        client: the session.
        connect: opens a connection; each page is a transaction, fenced.
        spec: the object; its filter counts.
        epoch: of the run.
        expected: about how many, for the choice of the API.
    """
    target = Target(connect, spec, epoch, staging.table(spec, "_ids"))
    query = soql.select(_ID_FIELDS, spec.sobject, [spec.filter_soql])
    return read_beside(client, target, query, _ID_FIELDS, expected, deleted_too=False)


def changed_ids(
    client: Salesforce, connect: Connect, spec: SyncObject, epoch: int, changed: str, expected: int
) -> list[str]:
    """Ids of records that changed, that are here as active, and that the filter kept out of the staged rows.

    Args:
        client: the session.
        connect: opens a connection.
        spec: the object.
        epoch: of the run.
        changed: SOQL condition of the window.
        expected: about how many have changed.
    """
    from psycopg import sql

    table = sql.Identifier(staging.SCHEMA, f"{spec.name}_changed")
    with connect() as conn:
        state.fence(conn, spec.name, epoch)
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        conn.execute(sql.SQL('CREATE UNLOGGED TABLE {} ("Id" text)').format(table))
    query = soql.select(("Id",), spec.sobject, [changed])
    read_beside(client, Target(connect, spec, epoch, table), query, ("Id",), expected, deleted_too=True)
    with connect() as conn:
        found = conn.execute(
            sql.SQL(
                'SELECT c."Id" FROM {changed} c JOIN {ours} o ON o.salesforce_id = c."Id" AND o.deleted_at IS NULL '
                'WHERE NOT EXISTS (SELECT FROM {staged} s WHERE s."Id" = c."Id") ORDER BY 1'
            ).format(changed=table, ours=sql.Identifier("vms", spec.table.name), staged=staging.table(spec))
        ).fetchall()
        conn.execute(sql.SQL("DROP TABLE {}").format(table))
    return [row[0] for row in found]

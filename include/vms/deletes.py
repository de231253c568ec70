"""Records that are gone and that no row says it of: found by comparing ids, staged for the merge to mark.

A deletion reaches us in three ways: as a row with IsDeleted in what was read, by getDeleted (both staged by `extract`),
and, for what slipped through either (purged before it was read, deleted while the log was full, out of the filter
because a parent changed), by comparing all ids of the source with ours. What the comparison finds goes into `_deleted`
like the rest, so `validate` counts it before anything is marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from include.vms import staging
from include.vms.contracts import Mode
from include.vms.merge_sql import target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from include.vms.contracts import Manifest
    from include.vms.spec import SyncObject


def compare(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> int:
    """After a sweep: stage our active records that are not among the ids of the source; returns how many.

    They are gone, or no longer in the object's filter; which, the ids alone do not tell. They count as gone at the
    time of the sweep, or at their own modstamp if that is later: a stamp of the year 2999 keeps nobody alive.
    """
    if not manifest.swept:
        return 0
    listed = staging.table(spec, "_deleted")
    connection.execute(sql.SQL("DELETE FROM {} WHERE swept").format(listed))
    return connection.execute(
        sql.SQL(
            "INSERT INTO {listed} (id, deleted_at, swept)"
            " SELECT t.salesforce_id, greatest(t.system_modstamp, {at}::timestamptz)::text, true FROM {target} AS t"
            ' WHERE t.deleted_at IS NULL AND NOT EXISTS (SELECT FROM {ids} AS i WHERE i."Id" = t.salesforce_id)'
        ).format(
            listed=listed,
            at=sql.Literal(manifest.deleted_until or manifest.window_to),
            target=target(spec.table),
            ids=staging.ids(spec, of_rows=manifest.mode == Mode.FULL),
        )
    ).rowcount


def missing(connection: psycopg.Connection, spec: SyncObject, ids: Sequence[str], at: datetime) -> int:
    """After records were read by their ids, deleted ones too: stage those that did not come; returns how many.

    They are gone for good, also from tables that several objects share.
    """
    return connection.execute(
        sql.SQL(
            "INSERT INTO {listed} (id, deleted_at)"
            " SELECT asked.id, greatest(t.system_modstamp, %s)::text FROM unnest(%s::text[]) AS asked (id)"
            " LEFT JOIN {target} AS t ON t.salesforce_id = asked.id"
            ' WHERE NOT EXISTS (SELECT FROM {staged} AS s WHERE s."Id" = asked.id)'
        ).format(listed=staging.table(spec, "_deleted"), target=target(spec.table), staged=staging.table(spec)),
        [at, list(ids)],
    ).rowcount


def half_gone(connection: psycopg.Connection, spec: SyncObject) -> list[str]:
    """Records that a sweep has missed and that still have an active row in a shared table.

    A volunteer whose contact is now a student keeps the person; one whose contact is gone does not. Only reading them
    by their ids tells which.
    """
    shared = [table for table in spec.tables if table.shared]
    if not shared:
        return []
    active = sql.SQL(" OR ").join(
        sql.SQL("EXISTS (SELECT FROM {} AS t WHERE t.salesforce_id = d.id AND t.deleted_at IS NULL)").format(
            target(table)
        )
        for table in shared
    )
    found = connection.execute(
        sql.SQL("SELECT DISTINCT d.id FROM {} AS d WHERE d.swept AND ({}) ORDER BY d.id").format(
            staging.table(spec, "_deleted"), active
        )
    ).fetchall()
    return [row[0] for row in found]

"""Data-quality flags of good rows: opened, opened again, and closed by themselves when the row is in order.

What a person has dismissed stays dismissed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from include.vms import staging
from include.vms.expressions import cast
from include.vms.merge_sql import good
from include.vms.rules import Finding, findings
from include.vms.spec import Action

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Manifest
    from include.vms.spec import SyncObject


def record(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> int:
    """Open and close flags by what is staged; returns how many were opened. Part of the transaction of the merge."""
    own = [one for one in findings(spec) if one.action is Action.FLAG]
    if not own:
        return 0
    # First, since it compares every open flag: those of this run need not be looked at.
    connection.execute(_close(spec, own, manifest))
    return connection.execute(_open(spec, own)).rowcount


def _open(spec: SyncObject, own: list[Finding]) -> sql.Composed:
    return sql.SQL(
        "INSERT INTO vms.data_quality_flag AS f (object, record_id, issue_type, field, details, severity)"
        " SELECT DISTINCT ON (m.id, r.issue_type, r.field) {object}, m.id, r.issue_type, r.field, r.details, r.severity"
        " FROM {marks} AS m JOIN {own} ON r.number = ANY (m.problems) WHERE m.mark IS NULL"
        " ORDER BY m.id, r.issue_type, r.field, r.number"
        " ON CONFLICT (object, record_id, issue_type, field) DO UPDATE SET status = 'open', details = excluded.details,"
        " severity = excluded.severity, times = f.times + 1, resolved_at = NULL, resolved_by = NULL,"
        " resolution_notes = NULL WHERE f.status IN ('fixed_in_sf', 'auto_fixed')"
    ).format(object=sql.Literal(spec.name), marks=staging.table(spec, "_marks"), own=_table(own))


def _close(spec: SyncObject, own: list[Finding], manifest: Manifest) -> sql.Composed:
    # EXCEPT is one pass over both sides. For NOT EXISTS the planner, which takes open flags to be few, would look at
    # every mark for each of them: minutes when there are ten thousand.
    return sql.SQL(
        "UPDATE vms.data_quality_flag AS f SET status = 'auto_fixed', resolved_at = now(), resolved_by = {run} FROM ("
        " SELECT o.record_id, o.issue_type, o.field FROM vms.data_quality_flag AS o"
        " WHERE o.object = {object} AND o.status = 'open'"
        " AND (o.issue_type, o.field) IN (SELECT r.issue_type, r.field FROM {own})"
        " AND o.record_id IN (SELECT {id} FROM {good} UNION ALL SELECT id FROM {deleted}"
        " UNION ALL SELECT id FROM {marks} WHERE mark IN ('deleted', 'left'))"
        " EXCEPT SELECT m.id, r.issue_type, r.field FROM {marks} AS m JOIN {own} ON r.number = ANY (m.problems)"
        " WHERE m.mark IS NULL) AS over"
        " WHERE f.object = {object} AND f.record_id = over.record_id AND f.issue_type = over.issue_type"
        " AND f.field = over.field"
    ).format(
        object=sql.Literal(spec.name),
        run=sql.Literal(manifest.run),
        own=_table(own),
        id=cast(spec.by_name["Id"]),
        good=good(spec, []),
        marks=staging.table(spec, "_marks"),
        deleted=staging.table(spec, "_deleted"),
    )


def _table(own: list[Finding]) -> sql.Composed:
    rows = sql.SQL(", ").join(
        sql.SQL("({})").format(
            sql.SQL(", ").join(map(sql.Literal, (one.number, one.code, one.field, one.words, one.severity)))
        )
        for one in own
    )
    return sql.SQL("(VALUES {}) AS r (number, issue_type, field, details, severity)").format(rows)

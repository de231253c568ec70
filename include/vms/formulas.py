"""Fields whose values change without a new modstamp: read again from time to time, columns only.

A formula follows other records or the calendar; no incremental read sees that. Every `formula_hours` the calculated
fields of all records are read, with whatever else the columns that use them are made of, and only those columns are
written. A field that has just got a column (see `drift`) is filled for all rows in the same way.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import children, drift, expressions, marks, merge, merge_sql, staging, state
from include.vms.contracts import Mode
from include.vms.paging import Target, read_beside
from include.vms.salesforce import soql
from include.vms.spec import SYSTEM_FIELDS, placeholders

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.drift import Known
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)

_SUFFIX: Final = "_columns"


def refresh(client: Salesforce, connect: Connect, spec: SyncObject, manifest: Manifest) -> None:
    """Read again what is due; the manifest's count `refreshed` says how many rows have changed.

    Args:
        client: a session with Salesforce.
        connect: opens a connection to the warehouse.
        spec: the object, with the fields it got by itself.
        manifest: of the run, which holds the lease.

    Raises:
        LeaseLost: another run has taken over. SalesforceFailed, Unreachable: nothing was written.
    """
    with connect() as conn:
        state.fence(conn, spec.name, manifest.epoch)
        known = drift.fields_of(conn, spec)
        new = [one for one in known.values() if one.added_column and not one.filled]
        due = _due(conn, spec, known, manifest)
        _add_columns(conn, spec, new)
    if not new and not due:
        return
    narrow = narrowed(drift.with_added(spec, new), {one.field for one in new} | due)
    fields = tuple(name for name in narrow.select if name in known or "." in name)
    with connect() as conn:
        state.fence(conn, spec.name, manifest.epoch)
        staging.create(conn, narrow)
    target = Target(connect, spec, manifest.epoch, staging.table(narrow))
    query = soql.select(fields, spec.sobject, [spec.filter_soql])
    read = read_beside(client, target, query, fields, manifest.source_count or 0, deleted_too=False)
    fault_point("vms.formulas.read")
    with connect() as conn:
        state.fence(conn, spec.name, manifest.epoch)
        changed = _publish(conn, narrow)
        if changed:
            state.changed(conn, spec.name)
        _note(conn, spec, new, calculated=bool(due))
    manifest.counts["refreshed"] = changed
    log_event(log, "vms_refreshed", object=spec.name, fields=len(new) + len(due), read=read, changed=changed)


def narrowed(spec: SyncObject, fields: Collection[str]) -> SyncObject:
    """What of an object hangs on some fields: columns and children made of them, and all that those are made of."""

    def uses(source: str) -> bool:
        return not {source, *placeholders(source)}.isdisjoint(fields)

    tables = tuple(
        replace(
            table,
            columns=tuple(each if uses(each.source) else replace(each, source="") for each in table.columns),
        )
        for table in spec.tables
    )
    sets = tuple(child for child in spec.children if uses(child.rows))
    sources = [column.source for table in tables for column in table.columns] + [child.rows for child in sets]
    needed = set(expressions.fields_of(spec, sources))
    return replace(
        spec,
        name=spec.name + _SUFFIX,
        fields=tuple(field for field in spec.fields if field.name in needed),
        tables=tables,
        children=sets,
        flags=(),
        filter_soql="",
        filter_sql="",
    )


def _due(conn: psycopg.Connection[Any], spec: SyncObject, known: dict[str, Known], manifest: Manifest) -> set[str]:
    """The calculated fields, when it is time; a full run has just read them with everything else."""
    if manifest.mode == Mode.FULL:
        conn.execute("UPDATE ops.sync_state SET formulas_at = now() WHERE object = %s", [spec.name])
        return set()
    found = conn.execute(
        "SELECT formulas_at IS NULL OR formulas_at < now() - make_interval(secs => %s) FROM ops.sync_state"
        " WHERE object = %s",
        [spec.formula_hours * 3600, spec.name],
    ).fetchone()
    if not found or not found[0]:
        return set()
    calculated = {name for name, one in known.items() if one.calculated and name in spec.by_name} - set(SYSTEM_FIELDS)
    # One that is read and stored nowhere needs no second reading.
    return calculated if narrowed(spec, calculated).fields else set()


def _add_columns(conn: psycopg.Connection[Any], spec: SyncObject, fields: list[Known]) -> None:
    from psycopg import sql

    table = merge_sql.target(spec.table)
    wide = {column.source: column for column in drift.with_added(spec, fields).table.columns}
    for one in fields:
        column = wide[one.field]
        name = sql.Identifier(column.name)
        conn.execute("SET LOCAL lock_timeout = '30s'")
        conn.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(table, name, sql.SQL(column.kind.sql_type))
        )
        conn.execute(sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, name, sql.Literal(column.comment)))


def _publish(conn: psycopg.Connection[Any], narrow: SyncObject) -> int:
    """Write the columns and sets of the records that are here; returns the rows changed."""
    from psycopg import sql

    merge.lock(conn, narrow)
    conn.execute(
        sql.SQL('DELETE FROM {} AS s WHERE NOT EXISTS (SELECT FROM {} AS t WHERE t.salesforce_id = s."Id")').format(
            staging.table(narrow), merge_sql.target(narrow.table)
        )
    )
    marks.write(conn, narrow)
    changed = sum(
        conn.execute(merge_sql.columns_only(narrow, table)).rowcount
        for table in narrow.tables
        if any(column.source for column in table.columns)
    )
    for child in narrow.children:
        children.replace(conn, narrow, child, stale=False, marked=True)
    staging.drop(conn, narrow)
    return changed


def _note(conn: psycopg.Connection[Any], spec: SyncObject, new: list[Known], *, calculated: bool) -> None:
    conn.execute(
        "UPDATE ops.source_field SET backfilled_at = now() WHERE object = %s AND field = ANY (%s)",
        [spec.name, [one.field for one in new]],
    )
    if calculated:
        conn.execute("UPDATE ops.sync_state SET formulas_at = now() WHERE object = %s", [spec.name])

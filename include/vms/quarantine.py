"""Rejected rows: `vms.quarantine` holds each one once, with every reason and what may be shown of its values.

A row is resolved by the run that brings a good version of its record, or the news that it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from include.vms import staging
from include.vms.contracts import Mode
from include.vms.expressions import cast, cleaned
from include.vms.merge_sql import good
from include.vms.pii import shown
from include.vms.rules import findings
from include.vms.spec import Action, Pii

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Manifest
    from include.vms.spec import SyncObject


def record(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> None:
    """Open, renew and resolve rows by what is staged; part of the transaction of the merge."""
    if manifest.counts["rejected"]:
        connection.execute(_open(spec, manifest))
    mine = sql.SQL("object = {} AND resolved_at IS NULL").format(sql.Literal(spec.name))
    some = connection.execute(sql.SQL("SELECT FROM vms.quarantine WHERE {} LIMIT 1").format(mine)).fetchone()
    if some is None:
        return
    here = sql.SQL(
        "SELECT {id} FROM {good} UNION ALL SELECT id FROM {marks} WHERE mark IN ('deleted', 'left')"
        " UNION ALL SELECT id FROM {deleted}"
    ).format(
        id=cast(spec.by_name["Id"]),
        good=good(spec, []),
        marks=staging.table(spec, "_marks"),
        deleted=staging.table(spec, "_deleted"),
    )
    # A run that has read everything has seen every row that is still bad.
    whole = sql.SQL("run_id <> {}").format(sql.Literal(manifest.run))
    covered = manifest.mode == Mode.FULL and manifest.moves_watermark
    connection.execute(
        sql.SQL("UPDATE vms.quarantine SET resolved_at = now() WHERE {} AND (record_key IN ({}) OR {})").format(
            mine, here, whole if covered else sql.SQL("false")
        )
    )


def _open(spec: SyncObject, manifest: Manifest) -> sql.Composed:
    reasons = [one for one in findings(spec) if one.action is Action.REJECT]
    fields = [field for field in spec.by_name.values() if field.pii is not Pii.SENSITIVE]
    names = sql.Literal([field.name for field in fields])
    values = sql.SQL(", ").join(shown(cleaned(field), field.pii) for field in fields)
    texts = sql.SQL(" || ' ' || ").join(
        sql.SQL("coalesce({}, '')").format(sql.Identifier("s", name)) for name in spec.select
    )
    return sql.SQL(
        "INSERT INTO vms.quarantine AS q (object, record_key, reasons, row, system_modstamp, run_id)"
        " SELECT DISTINCT ON (key) {object}, key, reasons, shown, system_modstamp, {run} FROM ("
        " SELECT coalesce(m.id, 'row:' || encode(sha256(convert_to({texts}, 'UTF8')), 'hex')) AS key,"
        " (SELECT jsonb_agg(jsonb_build_object('code', r.code, 'field', r.field, 'text', r.words) ORDER BY r.number)"
        " FROM (VALUES {reasons}) AS r (number, code, field, words) WHERE r.number = ANY (m.problems)) AS reasons,"
        " jsonb_strip_nulls(to_jsonb(jsonb_object({names}::text[], ARRAY[{values}]::text[]))) AS shown,"
        " m.system_modstamp, m.row_no FROM {marks} AS m JOIN {staged} AS s USING (row_no) WHERE m.mark = 'rejected'"
        ") AS rejected ORDER BY key, system_modstamp DESC NULLS LAST, row_no DESC"
        " ON CONFLICT (object, record_key) DO UPDATE SET reasons = excluded.reasons, row = excluded.row,"
        " system_modstamp = excluded.system_modstamp, run_id = excluded.run_id, last_seen_at = now(),"
        " times = q.times + 1, resolved_at = NULL"
    ).format(
        object=sql.Literal(spec.name),
        run=sql.Literal(manifest.run),
        texts=texts,
        reasons=sql.SQL(", ").join(
            sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, (one.number, one.code, one.field, one.words))))
            for one in reasons
        ),
        names=names,
        values=values,
        marks=staging.table(spec, "_marks"),
        staged=staging.table(spec),
    )

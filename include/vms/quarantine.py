"""Rejected rows: `vms.quarantine` holds each one once, with every reason and what may be shown of its values.

A row is resolved by the run that brings a good version of its record, or the news that it is gone. Usually the source
is mended and the next run does it; `replay` reads records again at once, e.g. after a rule was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.types.json import Jsonb

from include.vms import staging
from include.vms.contracts import Accept, Mode, Request
from include.vms.expressions import cast, cleaned
from include.vms.merge_sql import good
from include.vms.pii import shown
from include.vms.rules import findings
from include.vms.spec import Action, Pii

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One row of `vms.quarantine`.

    Attributes:
        reasons: code, field and text of each.
        row: values as the PII policy allows them.
    """

    object: str
    record_key: str
    reasons: list[dict[str, str]]
    row: dict[str, str]
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    resolved_at: datetime | None


def listing(
    connection: psycopg.Connection,
    name: str | None = None,
    *,
    code: str | None = None,
    field: str | None = None,
    resolved: bool = False,
    limit: int = 100,
) -> list[Quarantined]:
    """Rows of the quarantine, those seen last first.

    Args:
        connection: to the warehouse.
        name: of a sync; None: of all.
        code: only rows with this reason, e.g. INVALID_DATE.
        field: only rows with a reason about this field; together with `code`: with that reason about it.
        resolved: those that are resolved, too.
        limit: rows at most.
    """
    reason = {key: value for key, value in (("code", code), ("field", field)) if value}
    found = connection.execute(
        "SELECT object, record_key, reasons, row, first_seen_at, last_seen_at, times, resolved_at FROM vms.quarantine"
        " WHERE (%(name)s::text IS NULL OR object = %(name)s) AND (%(resolved)s OR resolved_at IS NULL)"
        " AND reasons @> %(reason)s ORDER BY last_seen_at DESC, object, record_key LIMIT %(limit)s",
        {"name": name, "resolved": resolved, "reason": Jsonb([reason] if reason else []), "limit": limit},
    ).fetchall()
    return [Quarantined(*row) for row in found]


def replay(
    client: Salesforce, connect: Connect, spec: SyncObject, run_id: str, ids: Sequence[str] = ()
) -> Manifest | None:
    """Read quarantined records again and publish those that are good now; None when there is none.

    Rows without an id cannot be asked for; a full run resolves those that are gone.

    Args:
        client: a session with Salesforce.
        connect: opens a connection to the warehouse.
        spec: the object.
        run_id: of the command.
        ids: only these records; empty: all that are open.

    Raises:
        As the steps of a sync.
    """
    from include.vms import sync

    with connect() as connection:
        found = connection.execute(
            "SELECT record_key FROM vms.quarantine WHERE object = %s AND resolved_at IS NULL"
            " AND record_key NOT LIKE 'row:%%' AND (%s OR record_key = ANY (%s)) ORDER BY 1",
            [spec.name, not ids, list(ids)],
        ).fetchall()
    if not found:
        return None
    # Those that are still bad stay where they are, however many, and keep nobody else in.
    request = Request(Mode.RECORDS, accept=(Accept.REJECTED_SHARE,), ids=tuple(key for (key,) in found))
    return sync.run(client, connect, spec, request, run_id)


def record(connection: psycopg.Connection, spec: SyncObject, manifest: Manifest) -> None:
    """Open, renew and resolve rows by what is staged; part of the transaction of the merge."""
    if manifest.counts["rejected"]:
        connection.execute(_open(spec, manifest))
    mine = sql.SQL("object = {} AND resolved_at IS NULL").format(sql.Literal(spec.name))
    some = connection.execute(sql.SQL("SELECT FROM vms.quarantine WHERE {} LIMIT 1").format(mine)).fetchone()
    if some is None:
        return
    here = sql.SQL(
        "record_key IN (SELECT {id} FROM {good} UNION ALL SELECT id FROM {marks} WHERE mark IN ('deleted', 'left'))"
    ).format(id=cast(spec.by_name["Id"]), good=good(spec, []), marks=staging.table(spec, "_marks"))
    # A run that has read everything has seen every row that is still bad.
    covered = manifest.mode == Mode.FULL and manifest.moves_watermark
    # Those that were written just now are bad; when there are no others, nobody need be looked for.
    connection.execute(
        sql.SQL(
            "UPDATE vms.quarantine SET resolved_at = now() WHERE {mine}"
            " AND (record_key IN (SELECT id FROM {deleted}) OR last_seen_at < now() AND {here})"
        ).format(mine=mine, deleted=staging.table(spec, "_deleted"), here=sql.SQL("true") if covered else here)
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

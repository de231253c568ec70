"""What differs between the ids of the source (`staging.ids`) and our active rows: by id, with its reason.

Judged is what must be here: a record the source changed after the last window ended comes with the next one, so it is
no difference yet. Rejected records are not missing: they are in quarantine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from include.vms import staging
from include.vms.merge_sql import target

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from include.vms.spec import SyncObject

MISSING: Final = "missing"  # there, not here
STALE: Final = "stale"  # a newer version there
NEWER: Final = "newer"  # an older version there: the source's clock went back, or its data were restored
EXTRA: Final = "extra"  # here, not there

# Of both sides by themselves: rows, checksum of those that are due, and how many are not. When they agree, nothing
# differs, and no row need be looked for on the other side. OFFSET 0: each stamp is parsed once.
_SIDES: Final = """
WITH held AS (
    SELECT record_key FROM vms.quarantine WHERE object = {object} AND resolved_at IS NULL
        AND record_key IN (SELECT "Id" FROM {ids} AS i)
), source AS (
    SELECT "Id" AS id, "SystemModstamp"::timestamptz AS stamp FROM {ids} AS i OFFSET 0
), ours AS (
    SELECT salesforce_id AS id, system_modstamp AS stamp FROM {target} WHERE deleted_at IS NULL
)
SELECT * FROM ({source}) AS a CROSS JOIN ({ours}) AS b
"""
_SIDE: Final = """
SELECT count(*), to_hex(coalesce(bit_xor(hash_record_extended(ROW(id, stamp), 0)) FILTER (WHERE due), 0)),
    count(*) FILTER (WHERE NOT due)
FROM (
    SELECT id, stamp, stamp < {due} OR stamp > {now} OR stamp IS NULL AS due FROM {side}
    WHERE NOT EXISTS (SELECT FROM held WHERE record_key = id) OFFSET 0
) AS rows
"""
# A row that changed after the window and before the ids were read is not due; one from the future always is.
_PAIRS: Final = """
WITH source AS (
    SELECT "Id" AS id, max("SystemModstamp"::timestamptz) AS stamp FROM {ids} AS i GROUP BY "Id"
), held AS (
    SELECT record_key FROM vms.quarantine WHERE object = {object} AND resolved_at IS NULL
), pairs AS (
    SELECT coalesce(s.id, t.salesforce_id) AS id, s.stamp, t.system_modstamp AS ours,
        s.stamp < {due} OR s.stamp > {now} OR s.stamp IS NULL AS due
    FROM source AS s
    FULL JOIN (SELECT salesforce_id, system_modstamp FROM {target} WHERE deleted_at IS NULL) AS t
        ON t.salesforce_id = s.id
    WHERE s.id IS NULL OR NOT EXISTS (SELECT FROM held WHERE record_key = s.id)
)
"""
_KINDS: Final = """
SELECT id, kind FROM (
    SELECT id, CASE
        WHEN stamp IS NULL THEN 'extra'
        WHEN ours > stamp THEN 'newer'
        WHEN NOT due THEN NULL
        WHEN ours IS NULL THEN 'missing'
        WHEN stamp > ours THEN 'stale'
    END AS kind FROM pairs
) AS judged WHERE kind IS NOT NULL ORDER BY id LIMIT {limit}
"""
_SUMS: Final = """
SELECT count(stamp), count(ours),
    to_hex(coalesce(bit_xor(hash_record_extended(ROW(id, stamp), 0)) FILTER (WHERE due AND stamp IS NOT NULL), 0)),
    to_hex(coalesce(bit_xor(hash_record_extended(ROW(id, ours), 0)) FILTER (WHERE due AND ours IS NOT NULL), 0)),
    count(*) FILTER (WHERE NOT due)
FROM pairs
"""
_FIGURES: Final = ("source_ids", "our_ids", "source_checksum", "our_checksum", "not_due")


@dataclass(frozen=True)
class Look:
    """One comparison.

    Attributes:
        kinds: id -> missing, stale, newer or extra; at most as many as were asked for.
        figures: counts and checksums of both sides, for `ops.sync_run.reconciled`.
    """

    kinds: dict[str, str]
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return dict(Counter(self.kinds.values()))


def look(
    connection: psycopg.Connection, spec: SyncObject, due: datetime, now: datetime, limit: int, *, of_rows: bool
) -> Look:
    """Compare the ids of the source with our active rows.

    Args:
        connection: any.
        spec: the object.
        due: what the source changed before must be here.
        now: the source's time when the ids had been read.
        limit: ids to name at most.
        of_rows: the ids are those of the staged rows of a full run.
    """
    times = {"due": sql.Literal(due), "now": sql.Literal(now)}
    both = {
        "ids": staging.ids(spec, of_rows=of_rows),
        "object": sql.Literal(spec.name),
        "target": target(spec.table),
    }
    connection.execute("SET LOCAL work_mem = '64MB'")
    sides = {name: sql.SQL(_SIDE).format(**times, side=sql.SQL(name)) for name in ("source", "ours")}
    found = connection.execute(sql.SQL(_SIDES).format(**both, **sides)).fetchone() or ()
    if found[:3] == found[3:]:
        count, checksum, not_due = found[:3]
        return Look({}, dict(zip(_FIGURES, (count, count, checksum, checksum, not_due), strict=True)))
    pairs = sql.SQL(_PAIRS).format(**both, **times)
    kinds = connection.execute(pairs + sql.SQL(_KINDS).format(limit=sql.Literal(limit))).fetchall()
    sums = connection.execute(pairs + sql.SQL(_SUMS)).fetchone()
    return Look(dict(kinds), dict(zip(_FIGURES, sums or (), strict=True)))


def active(connection: psycopg.Connection, spec: SyncObject) -> tuple[int, int]:
    """Our active rows, and the rejected records that are there besides; together the count of the source."""
    found = connection.execute(
        sql.SQL(
            "SELECT (SELECT count(*) FROM {target} WHERE deleted_at IS NULL), (SELECT count(*) FROM vms.quarantine AS q"
            " WHERE q.object = %s AND q.resolved_at IS NULL AND NOT EXISTS (SELECT FROM {target} AS t"
            " WHERE t.salesforce_id = q.record_key AND t.deleted_at IS NULL))"
        ).format(target=target(spec.table)),
        [spec.name],
    ).fetchone()
    return found or (0, 0)


def forget_version(connection: psycopg.Connection, spec: SyncObject, ids: list[str]) -> None:
    """Let the next version of these records be taken although it is older than the one that is here."""
    for table in spec.tables:
        connection.execute(
            sql.SQL("UPDATE {} SET system_modstamp = '-infinity' WHERE salesforce_id = ANY (%s)").format(target(table)),
            [ids],
        )

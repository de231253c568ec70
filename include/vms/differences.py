"""What differs between the ids of the source (`_ids`, after a sweep) and our active rows: by id, with its reason.

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

# A row that changed after the window and before the ids were read is not due; one from the future always is.
_PAIRS: Final = """
WITH source AS (
    SELECT "Id" AS id, max("SystemModstamp"::timestamptz) AS stamp FROM {ids} GROUP BY "Id"
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
    to_hex(coalesce(bit_xor(hashtextextended(id || ' ' || extract(epoch FROM stamp), 0)) FILTER (WHERE due), 0)),
    to_hex(coalesce(bit_xor(hashtextextended(id || ' ' || extract(epoch FROM ours), 0)) FILTER (WHERE due), 0)),
    count(*) FILTER (WHERE NOT due)
FROM pairs
"""


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


def look(connection: psycopg.Connection, spec: SyncObject, due: datetime, now: datetime, limit: int) -> Look:
    """Compare `_ids` with our active rows.

    Args:
        connection: any.
        spec: the object.
        due: what the source changed before must be here.
        now: the source's time when the ids had been read.
        limit: ids to name at most.
    """
    pairs = sql.SQL(_PAIRS).format(
        ids=staging.table(spec, "_ids"),
        object=sql.Literal(spec.name),
        due=sql.Literal(due),
        now=sql.Literal(now),
        target=target(spec.table),
    )
    connection.execute("SET LOCAL work_mem = '64MB'")
    kinds = connection.execute(pairs + sql.SQL(_KINDS).format(limit=sql.Literal(limit))).fetchall()
    sums = connection.execute(pairs + sql.SQL(_SUMS)).fetchone()
    names = ("source_ids", "our_ids", "source_checksum", "our_checksum", "not_due")
    return Look(dict(kinds), dict(zip(names, sums or (), strict=True)))


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

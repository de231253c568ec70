"""Marks the staged rows that are not simply published, counts them, and stops the run when it looks wrong.

One pass over the staging table finds every reason of every row. Rows that are fine leave no trace: a run of good rows
writes nothing here. What is stopped here has published nothing, and the next run begins with the same staged rows or
with fresh ones; a person may allow it with the param `accept`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from include.operations.errors import InputRejected
from include.operations.faults import fault_point
from include.vms import deletes, drift, marks, staging, state
from include.vms.contracts import Accept
from include.vms.merge_sql import target
from include.vms.rules import findings
from include.vms.spec import Action

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import SyncObject

# Of so few rows a share says nothing: one bad record of three is a record to mend, no reason to stop.
FEW: Final = 10


class TooManyRejected(InputRejected):
    """So many rows break a rule that the source, or the rule, must have changed."""

    code = "TOO_MANY_REJECTED"


class MassDelete(InputRejected):
    """So many records would disappear that somebody should look first."""

    code = "MASS_DELETE"


def validate(connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    """Mark the rows, count them into the manifest.

    Raises:
        TooManyRejected, MassDelete: unless `manifest.accept` allows it.
        StagingLost: the staging table does not hold what was read.
    """
    try:
        with connect() as connection:
            state.fence(connection, spec.name, manifest.epoch)
            spec = drift.effective(connection, spec)
            staging.check(connection, spec, manifest.read)
            marks.write(connection, spec)
            deletes.compare(connection, spec, manifest)
            manifest.counts.update(_count(connection, spec, manifest.read))
            _judge_rejected(spec, manifest, _commonest(connection, spec))
            _judge_deleted(spec, manifest, *_going(connection, spec))
            state.validated(connection, manifest)
            fault_point("vms.validate.in_transaction")
    except (TooManyRejected, MassDelete):
        _refuse(connect, manifest)
        raise
    return manifest


def _refuse(connect: Connect, manifest: Manifest) -> None:
    """Note how the run ended, and let the next one begin from the start."""
    with connect() as connection:
        connection.execute(
            "UPDATE ops.sync_run SET outcome = 'refused', finished_at = now(), rejected = %s"
            " WHERE object = %s AND run_id = %s",
            [manifest.counts["rejected"], manifest.object, manifest.run],
        )
        state.release(connection, manifest.object, manifest.epoch, refused=True)


def _count(connection: psycopg.Connection, spec: SyncObject, read: int) -> dict[str, int]:
    """Rows by what becomes of them; `good` ones are published."""
    kept_out, superseded, rejected = _row(
        connection,
        sql.SQL(
            "SELECT count(mark), count(*) FILTER (WHERE mark = 'superseded'),"
            " count(*) FILTER (WHERE mark = 'rejected') FROM {}"
        ).format(staging.table(spec, "_marks")),
    )
    return {"good": read - kept_out, "superseded": superseded, "rejected": rejected}


def _commonest(connection: psycopg.Connection, spec: SyncObject) -> list[str]:
    """The commonest reasons of rejected rows, in plain words."""
    found = connection.execute(
        sql.SQL(
            "SELECT number, count(*) AS times FROM {}, unnest(problems) AS number WHERE mark = 'rejected'"
            " AND number = ANY ({}::int[]) GROUP BY number ORDER BY times DESC, number LIMIT 3"
        ).format(
            staging.table(spec, "_marks"),
            sql.Literal([one.number for one in findings(spec) if one.action is Action.REJECT]),
        )
    ).fetchall()
    return [f"{findings(spec)[number].words} ({times} times)" for number, times in found]


def _going(connection: psycopg.Connection, spec: SyncObject) -> tuple[int, int]:
    """Active rows of the object's own table, not counted when few go, and how many this run would mark as deleted."""
    (going,) = _row(
        connection,
        sql.SQL(
            "SELECT count(DISTINCT d.id) FROM (SELECT id, system_modstamp AS at FROM {marks} WHERE mark IN"
            " ('deleted', 'left') UNION ALL SELECT id, deleted_at::timestamptz FROM {listed}) AS d"
            " JOIN {target} AS t ON t.salesforce_id = d.id AND t.deleted_at IS NULL AND d.at >= t.system_modstamp"
        ).format(
            target=target(spec.table), marks=staging.table(spec, "_marks"), listed=staging.table(spec, "_deleted")
        ),
    )
    if going < FEW:
        return 0, going
    (known,) = _row(connection, sql.SQL("SELECT count(*) FROM {} WHERE deleted_at IS NULL").format(target(spec.table)))
    return known, going


def _judge_rejected(spec: SyncObject, manifest: Manifest, reasons: list[str]) -> None:
    rejected = manifest.counts["rejected"]
    if Accept.REJECTED_SHARE in manifest.accept or rejected < FEW:
        return
    if rejected > spec.max_rejected_share * manifest.read:
        raise TooManyRejected(
            f"{spec.name}: {rejected} of {manifest.read} rows break a rule, more than"
            f" {spec.max_rejected_share:.0%}; nothing was published. Commonest: {'; '.join(reasons)}.",
            what_to_do="compare the source with the rule; sync once with accept=rejected_share if the rows are"
            " really that bad: they go to quarantine and the others are published",
        )


def _judge_deleted(spec: SyncObject, manifest: Manifest, known: int, going: int) -> None:
    if Accept.MASS_DELETE in manifest.accept or going < FEW:
        return
    if going > spec.max_deleted_share * known:
        raise MassDelete(
            f"{spec.name}: {going} of {known} records would be marked as deleted, more than"
            f" {spec.max_deleted_share:.0%}; nothing was published.",
            what_to_do="look whether the source has really lost them, or the integration user's rights, or a picklist"
            f" value that the filter names; sync once with accept=mass_delete (`sync {spec.name} --full --accept"
            " mass_delete`) if they are gone",
        )


def _row(connection: psycopg.Connection, statement: sql.Composed) -> tuple[Any, ...]:
    found = connection.execute(statement).fetchone()
    return found or ()

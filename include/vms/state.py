"""Where a sync stands: `ops.sync_state`, one row an object. Lease, fencing number, checkpoint, watermark.

One writer an object: who opens a run takes the lease and a new `epoch`; whatever an older one tries to commit after
that fails. The clock of leases is the database's. A checkpoint is committed with the rows it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import InputRejected, LeaseHeld, LeaseLost

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Manifest

# Longer than any step goes without a fence: a page is staged, a merge done, within minutes.
LEASE: Final = timedelta(minutes=10)
EXTRACTING: Final = "extracting"
EXTRACTED: Final = "extracted"
VALIDATED: Final = "validated"
REFUSED: Final = "refused"

_COLUMNS: Final = (
    "object, epoch, watermark, deleted_until, swept_at, formulas_at, describe_hash, phase, request, window_from, "
    "window_to, api, job_id, job_created_at, locator, pages, staged_rows, attempts"
)


class NotValidated(InputRejected):
    """A run is asked to publish rows that `validate` has refused, or has not seen."""

    code = "NOT_VALIDATED"


@dataclass
class State:
    """The row of an object."""

    object: str
    epoch: int
    watermark: datetime | None
    deleted_until: datetime | None
    swept_at: datetime | None
    formulas_at: datetime | None
    describe_hash: str | None
    phase: str | None
    request: dict[str, Any] | None
    window_from: datetime | None
    window_to: datetime | None
    api: str | None
    job_id: str | None
    job_created_at: datetime | None
    locator: str | None
    pages: int
    staged_rows: int
    attempts: int
    previous_holder: str | None = None  # run that held the lease before this one opened


def open_run(conn: psycopg.Connection[Any], name: str, run_id: str) -> State:
    """Take the lease for a run and a new epoch; part of the caller's transaction.

    The same run may take it again at once: a task that is tried again fences off its own dead process. What a run does
    under a name of its own, `<run>/repair`, takes it over from that run, and the run takes it back.

    Raises:
        LeaseHeld: another run holds it.
    """
    conn.execute("INSERT INTO ops.sync_state (object) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
    held = conn.execute(
        "SELECT holder, lease_until - now(), lease_until > now() FROM ops.sync_state WHERE object = %s FOR UPDATE",
        (name,),
    ).fetchone()
    holder, left, alive = held or (None, None, False)
    if alive and holder is not None and holder.partition("/")[0] != run_id.partition("/")[0]:
        raise LeaseHeld(
            f"The run {holder} is syncing {name}.",
            what_to_do="Nothing: one run at a time writes an object. A run that died gives way within "
            f"{LEASE.total_seconds() / 60:.0f} minutes.",
            retry_after=left,
        )
    conn.execute(
        "UPDATE ops.sync_state SET epoch = epoch + 1, holder = %s, lease_until = now() + %s WHERE object = %s",
        (run_id, LEASE, name),
    )
    return replace(load(conn, name), previous_holder=holder)


def in_use(conn: psycopg.Connection[Any]) -> bool:
    """Whether a sync of any object has ever begun here."""
    return conn.execute("SELECT FROM ops.sync_state LIMIT 1").fetchone() is not None


def load(conn: psycopg.Connection[Any], name: str) -> State:
    """Return the row of an object that has been opened before."""
    query = f"SELECT {_COLUMNS} FROM ops.sync_state WHERE object = %s"  # noqa: S608 - names of columns
    row = conn.execute(query, (name,)).fetchone()
    if row is None:
        raise _lost(name)
    return State(*row)


def fence(conn: psycopg.Connection[Any], name: str, epoch: int) -> None:
    """Make sure that this run still holds the lease, and prolong it. The row stays locked until the transaction ends.

    Raises:
        LeaseLost: another run has taken over; nothing of this transaction may be committed.
    """
    _update(conn, name, epoch, "epoch = epoch")


def begin(
    conn: psycopg.Connection[Any],
    name: str,
    epoch: int,
    request: dict[str, Any],
    window: tuple[datetime | None, datetime],
    api: str,
) -> None:
    """Note that an extraction begins: nothing staged yet."""
    from psycopg.types.json import Jsonb

    _update(
        conn,
        name,
        epoch,
        "phase = %s, request = %s, window_from = %s, window_to = %s, api = %s, job_id = NULL, job_created_at = NULL, "
        "locator = NULL, pages = 0, staged_rows = 0, attempts = 1",
        EXTRACTING,
        Jsonb(request),
        *window,
        api,
    )


def job_made(conn: psycopg.Connection[Any], name: str, epoch: int, job_id: str, created_at: datetime) -> None:
    """Note the Bulk job; from now on a run that is cut off is gone on with in it."""
    _update(
        conn,
        name,
        epoch,
        "api = 'bulk', job_id = %s, job_created_at = %s, locator = NULL, pages = 0, staged_rows = 0",
        job_id,
        created_at,
    )


def checkpoint(conn: psycopg.Connection[Any], name: str, epoch: int, locator: str | None, rows: int) -> None:
    """Note one more page, in the transaction that stages its rows. `locator` is the next page."""
    _update(conn, name, epoch, "locator = %s, pages = pages + 1, staged_rows = staged_rows + %s", locator, rows)


def resumed(conn: psycopg.Connection[Any], name: str, epoch: int) -> None:
    """Count one more try to go on with an extraction."""
    _update(conn, name, epoch, "attempts = attempts + 1")


def rewind(conn: psycopg.Connection[Any], name: str, epoch: int) -> None:
    """Forget the pages, since their rows are lost, but not the job, whose pages can be read again."""
    _update(conn, name, epoch, "locator = NULL, pages = 0, staged_rows = 0")


def restart(conn: psycopg.Connection[Any], name: str, epoch: int, api: str) -> None:
    """Forget job and pages, since they cannot be gone on with; the window stays."""
    _update(
        conn,
        name,
        epoch,
        "api = %s, job_id = NULL, job_created_at = NULL, locator = NULL, pages = 0, staged_rows = 0",
        api,
    )


def extracted(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Note that all is staged, with the manifest: a task that dies before it can say so need not read again."""
    from psycopg.types.json import Jsonb

    _update(
        conn,
        manifest.object,
        manifest.epoch,
        "phase = %s, request = request || jsonb_build_object('manifest', %s)",
        EXTRACTED,
        Jsonb(manifest.to_dict()),
    )


def validated(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Note that what is staged may be published; part of the transaction that has judged it."""
    _update(conn, manifest.object, manifest.epoch, "phase = %s", VALIDATED)


def to_publish(conn: psycopg.Connection[Any], manifest: Manifest) -> bool:
    """Whether something waits to be published; False when this run has done so already. Call it after `fence`.

    Raises:
        NotValidated: the rows were refused, or nobody has judged them.
    """
    phase = load(conn, manifest.object).phase
    if phase not in (None, VALIDATED):
        raise NotValidated(
            f"{manifest.object}: what this run has staged is {phase}, not validated; nothing was published.",
            what_to_do="do not mark `validate` as success: trigger a new run with the param `accept`, or clear this one"
            " from `extract` on",
        )
    return phase is not None


def publish(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Move the watermark and clear the checkpoint; part of the transaction that writes the rows.

    A run that covers no whole window (dry run, limit, records) only clears its checkpoint.
    """
    _update(
        conn,
        manifest.object,
        manifest.epoch,
        "phase = NULL, job_id = NULL, job_created_at = NULL, locator = NULL, pages = 0, staged_rows = 0, attempts = 0",
    )
    if not manifest.moves_watermark:
        return
    _update(
        conn,
        manifest.object,
        manifest.epoch,
        "watermark = %s, deleted_until = coalesce(%s, deleted_until), succeeded_at = now(), "
        "swept_at = CASE WHEN %s THEN %s ELSE swept_at END, "
        "last_full_at = CASE WHEN %s THEN now() ELSE last_full_at END",
        manifest.window_to,
        manifest.deleted_until,
        manifest.swept,
        manifest.window_to,
        manifest.mode == "full",
    )


def changed(conn: psycopg.Connection[Any], name: str) -> None:
    """Note that records change in this transaction, so that cached reports of them are stale."""
    conn.execute("UPDATE ops.sync_state SET reports_stale_since = clock_timestamp() WHERE object = %s", (name,))


def stale_since(conn: psycopg.Connection[Any], name: str) -> datetime | None:
    """When records last changed without the cached reports having been deleted since; None: never."""
    row = conn.execute("SELECT reports_stale_since FROM ops.sync_state WHERE object = %s", (name,)).fetchone()
    return row[0] if row else None


def reports_deleted(conn: psycopg.Connection[Any], name: str, since: datetime) -> None:
    """Note that cached reports were deleted, unless something has changed after `since`."""
    conn.execute(
        "UPDATE ops.sync_state SET reports_stale_since = NULL WHERE object = %s AND reports_stale_since = %s",
        (name, since),
    )


def release(conn: psycopg.Connection[Any], name: str, epoch: int, *, refused: bool = False) -> None:
    """Give the lease back, if it is still ours, so that the next run need not wait for its end.

    Args:
        conn: the caller's transaction.
        name: of the object.
        epoch: of the run.
        refused: what was staged may not be published: the next run does not go on with it, but begins anew.
    """
    conn.execute(
        "UPDATE ops.sync_state SET holder = NULL, lease_until = NULL, phase = coalesce(%s, phase)"
        " WHERE object = %s AND epoch = %s",
        (REFUSED if refused else None, name, epoch),
    )


def retake(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Take back the lease that a failed try of this very run gave up, if nobody has opened a run since."""
    conn.execute(
        "UPDATE ops.sync_state SET holder = %s, lease_until = now() + %s "
        "WHERE object = %s AND epoch = %s AND holder IS NULL",
        (manifest.run, LEASE, manifest.object, manifest.epoch),
    )
    conn.execute(
        "UPDATE ops.sync_run SET outcome = NULL, finished_at = NULL "
        "WHERE object = %s AND run_id = %s AND outcome = 'failed'",
        (manifest.object, manifest.run),
    )


def fail_run(conn: psycopg.Connection[Any], name: str, run_id: str, *, superseded: bool) -> None:
    """Note that a run, and what it did under a name of its own, has failed, and give its lease back.

    Args:
        conn: the caller's transaction.
        name: of the object.
        run_id: of the run.
        superseded: somebody else writes now. When that is a later try of this run, row and lease are its own.
    """
    ours = "object = %(object)s AND split_part({}, '/', 1) = split_part(%(run)s, '/', 1)"
    values = {"object": name, "run": run_id}
    if superseded:
        held = conn.execute(f"SELECT FROM ops.sync_state WHERE {ours.format('holder')} FOR UPDATE", values)
        if held.fetchone() is not None:
            return
    # A run that was refused, or had already done its work, stays that.
    conn.execute(
        "UPDATE ops.sync_run SET outcome = 'failed', finished_at = now() "  # noqa: S608 - no value in it
        f"WHERE {ours.format('run_id')} AND outcome IS NULL",
        values,
    )
    conn.execute(
        f"UPDATE ops.sync_state SET holder = NULL, lease_until = NULL WHERE {ours.format('holder')}",  # noqa: S608
        values,
    )


def start_run(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Write the run's row of `ops.sync_run`, or begin it anew when the task is tried again."""
    conn.execute(
        "INSERT INTO ops.sync_run (object, run_id, mode, dry_run) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (object, run_id) DO UPDATE SET mode = excluded.mode, dry_run = excluded.dry_run, "
        "finished_at = NULL, outcome = NULL",
        (manifest.object, manifest.run, manifest.mode, manifest.dry_run),
    )


def note_extract(conn: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Write what was extracted into the run's row."""
    from psycopg.types.json import Jsonb

    conn.execute(
        "UPDATE ops.sync_run SET mode = %s, window_from = %s, window_to = %s, api = %s, api_reason = %s, read = %s, "
        "notes = %s WHERE object = %s AND run_id = %s",
        (
            manifest.mode,
            manifest.window_from,
            manifest.window_to,
            manifest.api,
            manifest.api_reason,
            manifest.read,
            Jsonb(manifest.notes),
            manifest.object,
            manifest.run,
        ),
    )


def note_calls(
    conn: psycopg.Connection[Any], name: str, run_id: str, calls: int, used: int | None, limit: int | None
) -> None:
    """Add calls to the run's row, whether the step ended well or not; `used` of `limit` in the last 24 hours."""
    conn.execute(
        "UPDATE ops.sync_run SET api_calls = api_calls + %s, api_used = coalesce(%s, api_used), "
        "api_limit = coalesce(%s, api_limit) WHERE object = %s AND run_id = %s",
        (calls, used, limit, name, run_id),
    )


def _update(conn: psycopg.Connection[Any], name: str, epoch: int, setting: str, *values: object) -> None:
    """Change the row, fenced, and prolong the lease. `setting` is text of this module."""
    done = conn.execute(
        f"UPDATE ops.sync_state SET {setting}, lease_until = now() + %s "  # noqa: S608 - no value in it
        "WHERE object = %s AND epoch = %s",
        (*values, LEASE, name, epoch),
    )
    if done.rowcount != 1:
        raise _lost(name)


def _lost(name: str) -> LeaseLost:
    return LeaseLost(
        f"Another run has taken over the sync of {name}; this one wrote nothing after that.",
        what_to_do="Nothing: look at the other run. A task that was cleared by hand needs the whole run cleared, from"
        " `extract` on.",
    )

"""What a run that was cut off has left behind, and whether this one goes on with it.

A run goes on with the extraction of an earlier one, whatever that was asked for, when the earlier one covers what is
asked now: same job, same page. It is dropped, with a note, after five tries, when the job's life of seven days is
over, or when other fields are selected now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.vms import staging, state
from include.vms.contracts import Manifest, Mode, Request
from include.vms.paging import REST, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from include.vms.spec import SyncObject

MAX_ATTEMPTS: Final = 5
# Salesforce keeps a job and its results for 7 days.
JOB_LIFE: Final = timedelta(days=7) - timedelta(hours=1)


@dataclass(frozen=True)
class Leftover:
    """What to do with the extraction under way: go on with it, or not and why."""

    usable: bool
    note: str = ""


def remember(request: Request, reading: Reading, changed: str, *, moves_watermark: bool) -> dict[str, Any]:
    """Return what is kept of a request with its checkpoint.

    Args:
        request: what was asked for.
        reading: how it is read.
        changed: SOQL condition of the window; empty: none.
        moves_watermark: whether the run may move it.
    """
    return {
        "moves_watermark": moves_watermark,
        "mode": str(request.mode),
        "dry_run": request.dry_run,
        "limit": request.limit,
        "since": request.since.isoformat() if request.since else None,
        "ids": len(request.ids),
        "fields": list(reading.fields),
        "query": reading.query,
        "expected": reading.expected,
        "reason": reading.reason,
        "changed": changed,
    }


def reading_of(found: state.State) -> Reading:
    """Return the reading of an extraction that is gone on with."""
    kept = found.request or {}
    return Reading(kept["query"], tuple(kept["fields"]), kept["expected"], found.api or REST, kept["reason"])


def judge(found: state.State, request: Request, fields: Sequence[str], server_now: datetime) -> Leftover:
    """Decide whether this run goes on with what an earlier one has begun.

    Args:
        found: the object's row.
        request: what is asked now.
        fields: API names that are selected now.
        server_now: the source's time.
    """
    if found.phase != state.EXTRACTING or not found.request:
        return Leftover(usable=False)
    begun = found.request
    if not _covers(begun, request):
        return Leftover(usable=False, note=f"An extraction under way ({begun.get('mode')}) was dropped for this run.")
    if begun.get("fields") != list(fields):
        return Leftover(usable=False, note="An extraction under way was dropped: other fields are selected now.")
    if found.attempts >= MAX_ATTEMPTS:
        return Leftover(usable=False, note=f"An extraction was dropped after {found.attempts} tries to end it.")
    began = found.job_created_at or found.window_to
    if began is None or server_now - began > JOB_LIFE:
        return Leftover(usable=False, note="An extraction under way was dropped: Salesforce no longer has its results.")
    return Leftover(usable=True)


def _covers(begun: dict[str, Any], asked: Request) -> bool:
    """Whether an extraction that has begun reads all that is asked now, and may be published by this run."""
    special = begun.get("dry_run") or begun.get("limit") is not None or begun.get("mode") == Mode.RECORDS
    if special or asked.dry_run or asked.limit is not None or asked.mode is Mode.RECORDS:
        return False
    if begun.get("mode") == Mode.FULL:
        return True
    since = asked.since.isoformat() if asked.since else None
    return asked.mode is Mode.INCREMENTAL and begun.get("since") == since


def intact(conn: psycopg.Connection[Any], spec: SyncObject, rows: int) -> bool:
    """Whether the staging table holds what the checkpoint says; PostgreSQL empties it when it crashes."""
    from psycopg import sql

    there = conn.execute("SELECT to_regclass(%s)", (f'{staging.SCHEMA}."{spec.name}"',)).fetchone()
    if there is None or there[0] is None:
        return False
    counted = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(staging.table(spec))).fetchone()
    return counted is not None and counted[0] == rows


def finished(found: state.State, run_id: str) -> Manifest | None:
    """Return the manifest of an extraction that this very run has ended, when its task died before it could say so."""
    if found.phase != state.EXTRACTED or found.previous_holder != run_id or not found.request:
        return None
    kept = found.request.get("manifest")
    return Manifest.from_dict({**kept, "epoch": found.epoch}) if kept else None

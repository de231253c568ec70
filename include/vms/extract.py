"""Brings what changed at the source into the staging table: survey, window, REST or Bulk, checkpoint after each page.

Nothing is published here. A run that dies is gone on with by the next one at the page after the last committed, in
the same job.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import checkpoint, deletes, drift, sides, staging, state, tables, window
from include.vms.contracts import Manifest, Mode, Request
from include.vms.paging import BULK, REST, Place, Reader, Reading, Staging
from include.vms.records import stage_records
from include.vms.salesforce import limits, rest, soql
from include.vms.salesforce.errors import SalesforceFailed
from include.vms.salesforce.rest import CURSORS
from include.vms.spec import Field, Kind

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Connect
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)

# Salesforce's own advice: Bulk from 2,000 rows on. It is a page of REST, too.
REST_BELOW: Final = 2_000
# getDeleted looks back 15 days; a little less, since its clock and ours are not asked at the same moment.
_DELETED_REACH: Final = timedelta(days=14, hours=23)
# Asked again a little further back than known, since getDeleted ignores seconds.
_DELETED_OVERLAP: Final = timedelta(minutes=10)
# A sweep that is due is no news.
_WEEKLY: Final = "weekly"
_MASTER: Final = "MasterRecordId"
_DELETED: Final = "IsDeleted"


@dataclass(frozen=True)
class Tuning:
    """What tests and benchmarks change.

    Args:
        page_rows: rows in a page of a Bulk job whose pages come one by one.
        rest_below: rows from which on Bulk is used.
    """

    page_rows: int = 50_000
    rest_below: int = REST_BELOW


def extract(
    client: Salesforce, connect: Connect, spec: SyncObject, request: Request, run_id: str, tuning: Tuning | None = None
) -> Manifest:
    """Stage what a run asks for.

    Args:
        client: a session with Salesforce.
        connect: opens a connection to the warehouse; each page is a transaction of its own.
        spec: the object.
        request: what is asked for.
        run_id: of Airflow, or of the command.
        tuning: sizes; the usual ones when None.

    Raises:
        LeaseHeld: another run writes the object. LeaseLost: one took over.
        MigrationMissing: the warehouse is older than the code.
        SalesforceFailed, Unreachable, DownloadIncomplete, JobFailed, QuotaReserved: nothing is published; the next
            run goes on where this one stopped.
    """
    with connect() as conn:
        tables.require(conn, spec)
        begun = state.open_run(conn, spec.name, run_id)
        manifest = Manifest(
            spec.name,
            run_id,
            begun.epoch,
            str(request.mode),
            request.dry_run,
            accept=[str(one) for one in request.accept],
        )
        state.start_run(conn, manifest)
        spec = drift.effective(conn, spec)
        kept = checkpoint.finished(begun, run_id)
        if kept is not None and checkpoint.intact(conn, spec, kept.read):
            return kept
    fault_point("vms.extract.opened")
    before, ended = client.calls, False
    try:
        done = _Extraction(client, connect, spec, request, begun, manifest, tuning or Tuning()).run()
        ended = True
        return done
    finally:
        quota = client.quota
        manifest.api_calls = client.calls - before
        manifest.api_used, manifest.api_limit = (quota.used, quota.limit) if quota else (None, None)
        with connect() as conn:
            state.note_calls(conn, spec.name, run_id, manifest.api_calls, manifest.api_used, manifest.api_limit)
            if not ended:
                # Whoever comes next, a retry or another run, goes on with it at once.
                state.release(conn, spec.name, begun.epoch)


class _Extraction:
    """One run's way from the survey to the staged rows."""

    def __init__(
        self,
        client: Salesforce,
        connect: Connect,
        spec: SyncObject,
        request: Request,
        begun: state.State,
        manifest: Manifest,
        tuning: Tuning,
    ) -> None:
        self.client = client
        self.connect = connect
        self.spec = spec
        self.request = request
        self.begun = begun
        self.manifest = manifest
        self.tuning = tuning

    def run(self) -> Manifest:
        """Do it."""
        self.client.login()
        # From before the queries: the time of their reply would be later than what they saw.
        now = self.client.server_now()
        survey = self._survey(now)
        limits.require(self.client.quota, 1, self.client.settings.reserve_share, "API calls", now)
        with self.connect() as conn:
            drift.check(conn, self.spec, survey.describe, self.manifest)
        self.spec = with_optional_fields(self.spec, survey.describe)
        fields = queried(self.spec, survey.describe)
        left = checkpoint.judge(self.begun, self.request, fields, now)
        if left.note:
            self.manifest.notes.append(left.note)
        if left.usable:
            self._go_on(survey.describe)
        else:
            self._begin(survey, fields, now)
        self._beside(survey, now)
        with self.connect() as conn:
            state.extracted(conn, self.manifest)
            state.note_extract(conn, self.manifest)
        fault_point("vms.extract.extracted")
        log_event(log, "salesforce_extracted", read=self.manifest.read, api=self.manifest.api)
        return self.manifest

    def _survey(self, now: datetime) -> rest.Survey:
        """Ask Salesforce everything that is needed to plan, in one call.

        The first page of what changed is asked for without the object's filter, so that a record that has left it is
        seen; with the fields of the last run, which are right unless the object has changed since.
        """
        plan = window.plan(self.spec, self.request, self.begun.watermark, now)
        query = expected = None
        if self.begun.phase != state.EXTRACTING and self.request.mode is not Mode.RECORDS:
            if plan.start is None:
                expected = soql.count(self.spec.sobject, [self.spec.filter_soql])
            elif self.request.limit is None:
                query = soql.select(self._last_fields(), self.spec.sobject, [_since(CURSORS[0], plan.start)])
        active = soql.count(self.spec.sobject, [self.spec.filter_soql])
        if query is not None and not rest.fits(self.client, query):
            query = None
        return rest.survey(
            self.client, rest.Questions(self.spec.sobject, query, active, expected, self._deleted_span(now))
        )

    def _last_fields(self) -> tuple[str, ...]:
        known = (self.begun.request or {}).get("fields")
        return tuple(known) if known else self.spec.select

    def _deleted_span(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to when deletions are asked for. Asked in any case: the reply also tells of open transactions."""
        start = min(self.begun.deleted_until or now, now) - _DELETED_OVERLAP
        return max(start, now - _DELETED_REACH), now

    def _begin(self, survey: rest.Survey, fields: tuple[str, ...], now: datetime) -> None:
        """Make the window and an empty staging table, and read."""
        covered = survey.deleted.covered_until if isinstance(survey.deleted, rest.Deleted) else None
        plan = window.plan(self.spec, self.request, self.begun.watermark, now, covered)
        manifest, request = self.manifest, self.request
        if plan.start is None and request.mode is Mode.INCREMENTAL and request.limit is None:
            manifest.mode = str(Mode.FULL)
        manifest.window_from = plan.start.isoformat() if plan.start else None
        manifest.window_to = plan.end.isoformat()
        manifest.moves_watermark = plan.moves
        manifest.notes += plan.notes
        cursor = survey.describe.cursor
        if plan.start and not cursor:
            manifest.notes.append("The object has no field that says when a record changed: everything was read.")
        changed = _since(cursor, plan.start) if plan.start and cursor else ""
        reading = self._reading(survey, fields, changed)
        asked = replace(request, mode=Mode(manifest.mode))
        with self.connect() as conn:
            remembered = checkpoint.remember(asked, reading, changed, moves_watermark=plan.moves)
            state.begin(conn, self.spec.name, manifest.epoch, remembered, (plan.start, plan.end), reading.api)
            create_staging(conn, self.spec, fields, survey.describe)
        fault_point("vms.extract.begun")
        if request.mode is Mode.RECORDS:
            manifest.api, manifest.api_reason = REST, "records are read by their ids"
            manifest.read = stage_records(self.client, self._target(), fields, request.ids)
            with self.connect() as conn:
                state.fence(conn, self.spec.name, manifest.epoch)
                manifest.deleted_ids = deletes.missing(conn, self.spec, request.ids, now)
            return
        self._read(reading, Place(), changed)

    def _reading(self, survey: rest.Survey, fields: tuple[str, ...], changed: str) -> Reading:
        """Decide what is asked, and of which API."""
        sobject, own, limit = self.spec.sobject, self.spec.filter_soql, self.request.limit
        if own and _MASTER in fields:
            # Also those that were merged and are none of ours: others of our records may point at them.
            own = f"({own}) OR {_MASTER} != null"
        filtered = soql.select(fields, sobject, [changed, own])
        if limit is not None:
            query = soql.select(fields, sobject, [changed, own], limit=limit)
            return Reading(query, fields, limit, REST, "a limit was asked for")
        if changed:
            page = survey.page
            query = soql.select(fields, sobject, [changed])
            if page is None or isinstance(page, SalesforceFailed) or self._last_fields() != fields:
                # Other fields than last time, or another cursor.
                if not rest.fits(self.client, query):
                    return Reading(filtered, fields, self.tuning.rest_below, BULK, "too many fields for REST")
                page = rest.first_page(self.client, query)
            said = f"{page.total:,} rows"
            if page.total < self.tuning.rest_below or not self.spec.use_bulk:
                return Reading(query, fields, page.total, REST, said, page)
            return Reading(filtered, fields, page.total, BULK, said)
        expected = survey.expected if survey.expected is not None else survey.active or 0
        small = expected < self.tuning.rest_below and rest.fits(self.client, filtered)
        return Reading(
            filtered, fields, expected, REST if small or not self.spec.use_bulk else BULK, f"{expected:,} rows"
        )

    def _go_on(self, described: rest.Describe) -> None:
        """Read on where an earlier run was cut off."""
        begun, manifest = self.begun, self.manifest
        kept = begun.request or {}
        reading = checkpoint.reading_of(begun)
        manifest.mode = kept["mode"]
        manifest.window_from = begun.window_from.isoformat() if begun.window_from else None
        manifest.window_to = begun.window_to.isoformat() if begun.window_to else None
        manifest.moves_watermark = kept["moves_watermark"]
        place = Place(begun.job_id, begun.locator, begun.pages, begun.staged_rows)
        with self.connect() as conn:
            state.resumed(conn, self.spec.name, manifest.epoch)
            if not checkpoint.intact(conn, self.spec, begun.staged_rows):
                manifest.notes.append("The staged rows were lost in a crash of PostgreSQL; the job was read again.")
                create_staging(conn, self.spec, reading.fields, described)
                state.rewind(conn, self.spec.name, manifest.epoch)
                place = Place(begun.job_id)
        manifest.notes.append(f"Went on with an extraction after {place.pages:,} pages.")
        log_event(log, "salesforce_resume", job=begun.job_id, pages=place.pages, attempts=begun.attempts + 1)
        self._read(reading, place, kept["changed"])

    def _read(self, reading: Reading, place: Place, changed: str) -> None:
        reader = Reader(self.client, self._target(), reading, self.tuning.page_rows, place)
        manifest = self.manifest
        manifest.read = reader.read()
        manifest.api, manifest.api_reason = reader.api, reader.reason
        if (
            changed
            and self.spec.filter_soql
            and reading.query != soql.select(reading.fields, self.spec.sobject, [changed])
        ):
            self._leavers(reading, changed)

    def _leavers(self, reading: Reading, changed: str) -> None:
        """Read by their ids the changed records that we have and that the filter kept out."""
        ids = sides.changed_ids(self.client, self.connect, self.spec, self.manifest.epoch, changed, reading.expected)
        if ids:
            self.manifest.read += stage_records(self.client, self._target(), reading.fields, ids)
            self.manifest.notes.append(f"{len(ids):,} records that may have left the object were read by their ids.")

    def _target(self) -> Staging:
        return Staging(self.connect, self.spec, self.manifest.epoch, staging.table(self.spec))

    def _beside(self, survey: rest.Survey, now: datetime) -> None:
        """What goes with the rows: deleted ids, the count of the source, all ids when they are due."""
        manifest, deleted = self.manifest, survey.deleted
        manifest.source_count = survey.active
        if self.request.mode is Mode.RECORDS or self.request.limit is not None:
            return
        if manifest.mode == Mode.FULL:
            # All active ids are those of the rows.
            manifest.swept, manifest.deleted_until = True, manifest.window_to
            return
        if isinstance(deleted, rest.Deleted):
            with self.connect() as conn:
                state.fence(conn, self.spec.name, manifest.epoch)
                manifest.deleted_ids = sides.stage_deleted(conn, self.spec, deleted)
            manifest.deleted_until = min(now, deleted.covered_until).isoformat()
        if reason := self._sweep_reason(deleted, now):
            manifest.notes += [f"{reason}; all ids were compared."] if reason != _WEEKLY else []
            sides.stage_ids(self.client, self.connect, self.spec, manifest.epoch, survey.active or 0)
            manifest.swept = True
            manifest.deleted_until = manifest.deleted_until or manifest.window_to

    def _sweep_reason(self, deleted: rest.Deleted | SalesforceFailed | None, now: datetime) -> str:
        """Why all ids are read; empty when the log of deletions tells everything."""
        swept, known = self.begun.swept_at, self.begun.deleted_until
        if swept is None or now - swept > timedelta(days=self.spec.sweep_days):
            return _WEEKLY
        if isinstance(deleted, SalesforceFailed):
            return f"getDeleted was refused ({deleted.error_code})"
        if deleted is None or not deleted.complete or known is None or now - known >= _DELETED_REACH:
            return "The log of deletions does not reach back far enough"
        return ""


def with_optional_fields(spec: SyncObject, found: rest.Describe) -> SyncObject:
    """The object with the fields that only some have: the master of a merged record."""
    if found.has(_MASTER) and _MASTER not in spec.select:
        return replace(spec, fields=(*spec.fields, Field(_MASTER, Kind.ID)))
    return spec


def queried(spec: SyncObject, found: rest.Describe) -> tuple[str, ...]:
    """API names that can be selected.

    Of the system's fields an object may lack some, e.g. SystemModstamp; of those that were added by themselves one may
    have gone again. Whether one is missing that is needed, `drift` has judged.
    """
    return tuple(name for name in spec.select if "." in name or found.has(name))


def create_staging(
    conn: psycopg.Connection[Any], spec: SyncObject, fields: tuple[str, ...], found: rest.Describe
) -> None:
    """Make the staging tables; a system field that the object lacks has the value that stands for it."""
    from psycopg import sql

    staging.create(conn, spec)
    for name in set(spec.select) - set(fields):
        cursor = found.cursor
        same = sql.Identifier(cursor) if name != _DELETED and cursor in fields else None
        value = same or sql.Literal("false" if name == _DELETED else None)
        conn.execute(
            sql.SQL(
                "ALTER TABLE {table} DROP COLUMN {name}, ADD COLUMN {name} text GENERATED ALWAYS AS ({value}) STORED"
            ).format(table=staging.table(spec), name=sql.Identifier(name), value=value)
        )


def _since(cursor: str, start: datetime) -> str:
    return f"{cursor} >= {soql.moment(start)}"

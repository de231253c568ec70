"""Brings what changed at the source into the staging table: survey, window, REST or Bulk, checkpoint after each page.

Nothing is published here. A run that dies is gone on with by the next one at the page after the last committed, in
the same job.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import checkpoint, sides, staging, state, window
from include.vms.contracts import Manifest, Mode, Request
from include.vms.paging import BULK, REST, Paging
from include.vms.records import stage_records
from include.vms.salesforce import rest, soql
from include.vms.salesforce.errors import SalesforceFailed
from include.vms.spec import SYSTEM_FIELDS, Field, Kind

if TYPE_CHECKING:
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject
    from include.vms.sync import Connect

log = logging.getLogger(__name__)

# Salesforce's own advice: Bulk from 2,000 rows on. It is a page of REST, too.
REST_BELOW: Final = 2_000
# getDeleted looks back 15 days; a little less, since its clock and ours are not asked at the same moment.
_DELETED_REACH: Final = timedelta(days=14, hours=23)
# Asked again a little further back than known, since getDeleted ignores seconds.
_DELETED_OVERLAP: Final = timedelta(minutes=10)
_MASTER: Final = "MasterRecordId"


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
        SalesforceFailed, Unreachable, DownloadIncomplete, JobFailed, QuotaReserved: nothing is published; the next
            run goes on where this one stopped.
    """
    with connect() as conn:
        begun = state.open_run(conn, spec.name, run_id)
        manifest = Manifest(
            spec.name, run_id, begun.epoch, str(request.mode), request.dry_run, accept=[str(one) for one in request.accept]
        )
        state.start_run(conn, manifest)
        kept = checkpoint.finished(begun, run_id)
        if kept is not None and checkpoint.intact(conn, spec, kept.read):
            return kept
    fault_point("vms.extract.opened")
    before = client.calls
    try:
        return _Extraction(client, connect, spec, request, begun, manifest, tuning or Tuning()).run()
    finally:
        quota = client.quota
        manifest.api_calls = client.calls - before
        manifest.api_used, manifest.api_limit = (quota.used, quota.limit) if quota else (None, None)
        with connect() as conn:
            state.note_calls(conn, spec.name, run_id, manifest.api_calls, manifest.api_used, manifest.api_limit)


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
        self.sweep = False

    def run(self) -> Manifest:
        """Do it."""
        survey, asked_at = self._survey()
        spec = self._as_described(survey.describe)
        fields = queried(spec, survey.describe)
        left = checkpoint.judge(self.begun, self.request, fields, asked_at)
        if left.note:
            self.manifest.notes.append(left.note)
        paging = Paging(self.client, self.connect, spec, fields, self.manifest, self.tuning.page_rows)
        if left.usable:
            self._go_on(paging)
        else:
            self._begin(paging, survey, asked_at)
        self.manifest.read = paging.rows
        self._beside(survey, asked_at)
        self._finish(fields)
        return self.manifest

    def _survey(self) -> tuple[rest.Survey, datetime]:
        """Ask Salesforce everything that is needed to plan, in one call; and the time at which it was asked."""
        self.client.login()
        now = self.client.server_now()
        plan = window.plan(self.spec, self.request, self.begun.watermark, now)
        query = expected = None
        if self.begun.phase != state.EXTRACTING and self.request.mode is not Mode.RECORDS:
            if plan.start is None:
                expected = soql.count(self.spec.sobject, [self.spec.filter_soql])
            elif self.request.limit is None:
                query = soql.select(
                    self._expected_fields(), self.spec.sobject, [f"SystemModstamp >= {soql.moment(plan.start)}"]
                )
        active = soql.count(self.spec.sobject, [self.spec.filter_soql])
        deleted = self._deleted_span(now)
        fits = query is None or rest.fits(self.client, query)
        asked = rest.Questions(self.spec.sobject, query if fits else None, active, expected, deleted)
        # The reply's own time would be later than the queries in it.
        found = rest.survey(self.client, asked)
        return found, now

    def _expected_fields(self) -> tuple[str, ...]:
        """The fields as they were selected last time: right unless the object has changed since."""
        known = (self.begun.request or {}).get("fields")
        return tuple(known) if known else self.spec.select

    def _deleted_span(self, now: datetime) -> tuple[datetime, datetime] | None:
        """From when to when deletions are asked for; None when all ids are compared anyway."""
        known = self.begun.deleted_until or self.begun.watermark
        if self.request.mode is not Mode.INCREMENTAL or known is None:
            return None
        start = min(known, now) - _DELETED_OVERLAP
        return (start, now) if now - start < _DELETED_REACH else None

    def _as_described(self, found: rest.Describe) -> SyncObject:
        """The object with the fields that only some orgs or objects have."""
        if found.has(_MASTER) and _MASTER not in self.spec.select:
            return replace(self.spec, fields=(*self.spec.fields, Field(_MASTER, Kind.ID)))
        return self.spec

    def _begin(self, paging: Paging, survey: rest.Survey, now: datetime) -> None:
        """Make the window and an empty staging table, and read."""
        plan = window.plan(self.spec, self.request, self.begun.watermark, now)
        everything = plan.start is None and self.request.mode is not Mode.RECORDS and self.request.limit is None
        manifest = self.manifest
        manifest.mode = str(Mode.FULL) if everything else manifest.mode
        manifest.window_from = plan.start.isoformat() if plan.start else None
        manifest.window_to = plan.end.isoformat()
        manifest.moves_watermark = plan.moves
        manifest.notes += plan.notes
        remembered = checkpoint.remember(replace(self.request, mode=Mode(manifest.mode)), paging.fields)
        with self.connect() as conn:
            state.begin(conn, self.spec.name, manifest.epoch, remembered, (plan.start, plan.end), REST)
            paging.create(conn, survey.describe)
        fault_point("vms.extract.begun")
        if self.request.mode is Mode.RECORDS:
            paging.rows = stage_records(paging, self.request.ids)
            manifest.api, manifest.api_reason = REST, "records are read by their ids"
            return
        cursor = survey.describe.cursor
        changed = f"{cursor} >= {soql.moment(plan.start)}" if plan.start and cursor else ""
        if plan.start and not cursor:
            manifest.notes.append("The object has no field that says when a record changed: everything was read.")
        self._read(paging, survey, changed)

    def _read(self, paging: Paging, survey: rest.Survey, changed: str) -> None:
        """Read by REST or Bulk, as the number of rows says."""
        spec, limit = paging.spec, self.request.limit
        if limit is not None:
            query = soql.select(paging.fields, spec.sobject, [changed, "" if changed else spec.filter_soql], limit=limit)
            paging.rest(query, limit, "a limit was asked for")
            return
        page = survey.page
        if isinstance(page, SalesforceFailed):
            # Fields as they were last time; with those of now it may be right.
            page = rest.first_page(self.client, soql.select(paging.fields, spec.sobject, [changed]))
        elif page is not None and self._expected_fields() != tuple(paging.fields):
            page = rest.first_page(self.client, soql.select(paging.fields, spec.sobject, [changed]))
        if changed and page is not None:
            if page.total < self.tuning.rest_below:
                paging.rest_from(page, f"{page.total:,} rows")
                return
            query = soql.select(paging.fields, spec.sobject, [changed, spec.filter_soql])
            paging.bulk(query, page.total)
            if spec.filter_soql:
                self._leavers(paging, changed, page.total)
            return
        expected = survey.expected if survey.expected is not None else (survey.active or 0)
        query = soql.select(paging.fields, spec.sobject, [spec.filter_soql])
        if expected < self.tuning.rest_below:
            paging.rest(query, expected, f"{expected:,} rows")
        else:
            paging.bulk(query, expected)

    def _leavers(self, paging: Paging, changed: str, expected: int) -> None:
        """Read the changed records that no longer pass the filter, and that we have, by their ids."""
        ids = sides.changed_ids(paging, changed, expected)
        if ids:
            paging.rows += stage_records(paging, ids)
            self.manifest.notes.append(f"{len(ids):,} records may have left the object and were read by their ids.")

    def _go_on(self, paging: Paging) -> None:
        """Read on where an earlier run was cut off."""
        begun, manifest = self.begun, self.manifest
        assert begun.request is not None
        assert begun.window_to is not None
        manifest.mode = begun.request["mode"]
        manifest.window_from = begun.window_from.isoformat() if begun.window_from else None
        manifest.window_to = begun.window_to.isoformat()
        log_event(log, "salesforce_resume", object=self.spec.name, job=begun.job_id, pages=begun.pages)
        manifest.notes.append(f"Went on with an extraction after {begun.pages:,} pages.")
        changed = f"SystemModstamp >= {soql.moment(begun.window_from)}" if begun.window_from else ""
        paging.resume(begun, soql.select(paging.fields, paging.spec.sobject, [changed, "" if changed and begun.api == REST else paging.spec.filter_soql]))

    def _beside(self, survey: rest.Survey, now: datetime) -> None:
        """What goes with the rows: deleted ids, the count of the source, all ids when they are due."""
        manifest = self.manifest
        manifest.source_count = survey.active
        if self.request.mode is Mode.RECORDS or self.request.limit is not None:
            return
        deleted = survey.deleted
        if isinstance(deleted, SalesforceFailed):
            self.sweep = True
            manifest.notes.append(f"getDeleted was refused ({deleted.error_code}); all ids were compared.")
        elif deleted is not None:
            with self.connect() as conn:
                state.fence(conn, self.spec.name, manifest.epoch)
                manifest.deleted_ids = sides.stage_deleted(conn, self.spec, deleted)
            manifest.deleted_until = now.isoformat()
            if not deleted.complete:
                self.sweep = True
                manifest.notes.append("Salesforce's log of deletions does not reach back far enough; all ids were compared.")
        if manifest.mode == Mode.FULL:
            with self.connect() as conn:
                state.fence(conn, self.spec.name, manifest.epoch)
                sides.ids_from_rows(conn, self.spec)
            manifest.swept, manifest.deleted_until = True, manifest.window_to
        elif self.sweep or deleted is None or self._sweep_due():
            sides.stage_ids(self.client, self.connect, self.spec, manifest.epoch, survey.active or 0)
            manifest.swept, manifest.deleted_until = True, now.isoformat()

    def _sweep_due(self) -> bool:
        swept = self.begun.swept_at
        return swept is None or datetime.now(UTC) - swept > timedelta(days=self.spec.sweep_days)

    def _finish(self, fields: tuple[str, ...]) -> None:
        """Say that all is staged, with what the next steps need to know."""
        manifest = self.manifest
        with self.connect() as conn:
            state.extracted(conn, manifest, fields)
            state.note_extract(conn, manifest)
        fault_point("vms.extract.extracted")
        log_event(log, "salesforce_extracted", object=manifest.object, read=manifest.read, api=manifest.api)


def queried(spec: SyncObject, found: rest.Describe) -> tuple[str, ...]:
    """API names that can be selected: of our system fields an object may lack some, e.g. SystemModstamp."""
    return tuple(name for name in spec.select if name not in SYSTEM_FIELDS or found.has(name) or not found.fields)


_: Any = BULK

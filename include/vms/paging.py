"""Pages of one query into one table, by REST or by Bulk, each committed with the checkpoint that speaks of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import state
from include.vms.salesforce import bulk, csvtext, limits, rest
from include.vms.salesforce.errors import DownloadIncomplete, JobFailed, SalesforceFailed
from include.vms.transfer import copy_page

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg
    from psycopg import sql

    from include.vms.contracts import Connect
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)

REST: Final = "rest"
BULK: Final = "bulk"
# Rows in a page of REST; fewer when records are wide.
REST_PAGE: Final = 2_000
# Jobs that one run makes for one query, and goes at one page, before it leaves it to the task's retry.
_JOBS: Final = 3
_PAGE_TRIES: Final = 3
# Cursors of REST live two days.
_NO_CURSOR: Final = "INVALID_QUERY_LOCATOR"


@dataclass(frozen=True)
class Reading:
    """A query, and how it is to be read.

    Args:
        query: SOQL, without ORDER BY and, for Bulk, LIMIT.
        fields: what it selects, in order.
        expected: rows it will give, about.
        api: REST or BULK.
        reason: why that.
        page: the first page, when it is already there.
        deleted_too: deleted rows as well.
    """

    query: str
    fields: tuple[str, ...]
    expected: int
    api: str
    reason: str
    page: rest.Page | None = None
    deleted_too: bool = True


@dataclass
class Place:
    """How far a reading has come.

    Attributes:
        job_id: of Bulk; None: none was made.
        locator: of the next page; of REST its path. None: the first.
        pages, rows: staged.
    """

    job_id: str | None = None
    locator: str | None = None
    pages: int = 0
    rows: int = 0


class Target:
    """Where pages go: a staging table, without a checkpoint. What breaks off begins anew with the next run.

    Args:
        connect: opens a connection; each page is a transaction.
        spec: the object.
        epoch: of the run, which must still be the newest at each page.
        table: to be filled.
    """

    def __init__(self, connect: Connect, spec: SyncObject, epoch: int, table: sql.Identifier) -> None:
        self.connect = connect
        self.spec = spec
        self.epoch = epoch
        self.table = table

    def clear(self, conn: psycopg.Connection[Any], api: str) -> None:  # noqa: ARG002 - for those that note it
        """Empty the table, since the reading begins anew."""
        from psycopg import sql

        state.fence(conn, self.spec.name, self.epoch)
        conn.execute(sql.SQL("TRUNCATE {}").format(self.table))

    def job_made(
        self,
        conn: psycopg.Connection[Any],
        job_id: str,  # noqa: ARG002 - for those that note it
        created_at: datetime,  # noqa: ARG002
    ) -> None:
        """Note a Bulk job."""
        state.fence(conn, self.spec.name, self.epoch)

    def checkpoint(
        self,
        conn: psycopg.Connection[Any],
        locator: str | None,  # noqa: ARG002 - for those that note it
        rows: int,  # noqa: ARG002
    ) -> None:
        """Note a page."""
        state.fence(conn, self.spec.name, self.epoch)

    def beat(self) -> None:
        """Keep the lease while Salesforce works."""
        with self.connect() as conn:
            state.fence(conn, self.spec.name, self.epoch)


class Staging(Target):
    """The staging table of the object's rows, whose checkpoint survives this process."""

    def clear(self, conn: psycopg.Connection[Any], api: str) -> None:
        """Empty the table, and say so."""
        super().clear(conn, api)
        state.restart(conn, self.spec.name, self.epoch, api)

    def job_made(self, conn: psycopg.Connection[Any], job_id: str, created_at: datetime) -> None:
        """Note a Bulk job, so that another process can go on with it."""
        state.job_made(conn, self.spec.name, self.epoch, job_id, created_at)

    def checkpoint(self, conn: psycopg.Connection[Any], locator: str | None, rows: int) -> None:
        """Note a page and where the next one is."""
        state.checkpoint(conn, self.spec.name, self.epoch, locator, rows)


class Reader:
    """Reads one query into one table.

    Attributes:
        api, reason: how it was read in the end, and why so.
        place: how far it has come.
    """

    def __init__(self, client: Salesforce, target: Target, reading: Reading, page_rows: int, place: Place) -> None:
        self.client = client
        self.target = target
        self.reading = reading
        self.page_rows = page_rows
        self.place = place
        self.api = reading.api
        self.reason = reading.reason

    def read(self) -> int:
        """Read what is still missing; returns the rows in the table.

        Raises:
            SalesforceFailed, Unreachable, DownloadIncomplete, JobFailed, JobTooSlow, QuotaReserved: what is committed
                stays, and may be gone on with.
        """
        if self.api == BULK and self.place.job_id is None:
            self._choose()
        if self.api == BULK:
            self._jobs()
        if self.api == REST:
            self._rest()
        return self.place.rows

    def _choose(self) -> None:
        """Take REST after all when Bulk is refused or its quota is short; then calls must suffice."""
        why = ""
        self._require(self.reading.expected // self.page_rows + 5)
        found = rest.limits(self.client)
        share = self.client.settings.reserve_share
        for name, what in ((limits.BULK_JOBS, "jobs"), (limits.BULK_MEGABYTES, "megabytes")):
            quota = limits.of_limits(found, name)
            if quota is not None and quota.left(share) < 1:
                why = f"the day's Bulk {what} are used up to the reserve"
        if not why:
            try:
                job = bulk.create(self.client, self.reading.query, deleted_too=self.reading.deleted_too)
            except SalesforceFailed as error:
                why = bulk.unsupported(error)
                if not why:
                    raise
            else:
                fault_point("vms.extract.job_made")
                with self.target.connect() as conn:
                    self.target.job_made(conn, job.id, job.created_at)
                self.place = Place(job_id=job.id)
                fault_point("vms.extract.job_noted")
                return
        log_event(log, "salesforce_rest_instead", object=self.target.spec.name, reason=why)
        self.api, self.reason = REST, f"{self.reading.expected:,} rows, but {why}"

    def _require(self, calls: int) -> None:
        """Refuse a reading now that would meet the reserve half-way."""
        share = self.client.settings.reserve_share
        limits.require(self.client.quota, calls, share, "API calls", self.client.server_now())

    def _jobs(self) -> None:
        for tries in range(1, _JOBS + 1):
            try:
                self._job(str(self.place.job_id))
            except (JobFailed, DownloadIncomplete) as error:
                log_event(log, "salesforce_job_again", object=self.target.spec.name, code=error.code, tries=tries)
                if tries == _JOBS:
                    raise
                self._anew(BULK)
                self._choose()
                if self.api == REST:
                    return
            else:
                return

    def _job(self, job_id: str) -> None:
        """Read a job to its end, from the page the checkpoint names."""
        job = bulk.wait(self.client, job_id, self.target.beat)
        fault_point("vms.extract.job_complete")
        failures = 0
        while True:
            before = self.place.pages
            try:
                self._pages(job)
                break
            except DownloadIncomplete:
                # Cut in a way that shows only when it is unpacked or copied: fetch that page again.
                failures = 1 if self.place.pages > before else failures + 1
                if failures >= _PAGE_TRIES:
                    raise
                self.client.sleep(float(failures))
        if job.rows is not None and job.rows != self.place.rows:
            raise DownloadIncomplete(
                f"Bulk job {job.id} says {job.rows:,} rows, and its pages have {self.place.rows:,}.",
                what_to_do="Nothing if a later try succeeds, which makes a new job; else tell Salesforce the job's id.",
            )

    def _pages(self, job: bulk.Job) -> None:
        if self.place.pages and self.place.locator is None:
            # The last page was committed before the process ended.
            return
        found = bulk.pages(self.client, job, self.place.locator, self.page_rows)
        try:
            for page in found:
                try:
                    self._stage(page.chunks(), page.announced, page.following)
                finally:
                    page.close()
        finally:
            found.close()

    def _rest(self) -> None:
        """Read page by page; a cursor that has expired means to begin anew, once."""
        self._require(max(self.reading.expected - self.place.rows, 0) // REST_PAGE)
        try:
            page = self._first()
        except SalesforceFailed as error:
            if error.error_code != _NO_CURSOR:
                raise
            self._anew(REST)
            page = self._first()
        while page is not None:
            rows = self.place.rows + len(page.records)
            # Records that came twice are one later.
            if page.next_path is None and page.total > rows:
                # Whoever goes on would take it for complete.
                self._anew(REST)
                raise DownloadIncomplete(
                    f"A query has {page.total:,} rows, and its pages had {rows:,}.",
                    what_to_do="Nothing if a later try succeeds, which asks again.",
                )
            chunk = csvtext.encode(page.records, self.reading.fields)
            self._stage([chunk], len(page.records), page.next_path)
            page = rest.next_page(self.client, page.next_path) if page.next_path else None

    def _first(self) -> rest.Page | None:
        """The next page to be read; None when the last was read before the process ended."""
        if self.place.locator is not None:
            return rest.next_page(self.client, self.place.locator)
        if self.place.pages:
            return None
        if self.reading.page is not None:
            return self.reading.page
        return rest.first_page(self.client, self.reading.query, deleted_too=self.reading.deleted_too)

    def _anew(self, api: str) -> None:
        """Forget what was read of a job or a cursor that is no more."""
        with self.target.connect() as conn:
            self.target.clear(conn, api)
        self.place = Place()

    def _stage(self, chunks: Iterable[bytes], announced: int | None, following: str | None) -> None:
        with self.target.connect() as conn:
            rows = copy_page(
                conn, statement(self.target.table, self.reading.fields), self.reading.fields, chunks, announced
            )
            fault_point("vms.extract.in_page")
            self.target.checkpoint(conn, following, rows)
        self.place.locator = following
        self.place.pages += 1
        self.place.rows += rows
        fault_point("vms.extract.after_page")


def statement(table: sql.Identifier, fields: Iterable[str]) -> sql.Composed:
    """COPY of CSV with a header row into some columns; empty values become null, quoted or not."""
    from psycopg import sql

    names = sql.SQL(", ").join(map(sql.Identifier, fields))
    return sql.SQL("COPY {table} ({names}) FROM STDIN (FORMAT csv, HEADER MATCH, FORCE_NULL ({names}))").format(
        table=table, names=names
    )


def read_beside(
    client: Salesforce, target: Target, query: str, fields: tuple[str, ...], expected: int, *, deleted_too: bool
) -> int:
    """Read a query into a table beside the rows, by the API that its size says; returns the rows.

    Args:
        client: the session.
        target: table to be emptied and filled.
        query: SOQL.
        fields: what it selects.
        expected: rows, about.
        deleted_too: deleted rows as well.
    """
    by_bulk = expected >= REST_PAGE and target.spec.use_bulk
    reading = Reading(query, fields, expected, BULK if by_bulk else REST, f"{expected:,} rows", deleted_too=deleted_too)
    with target.connect() as conn:
        target.clear(conn, reading.api)
    return Reader(client, target, reading, 250_000, Place()).read()

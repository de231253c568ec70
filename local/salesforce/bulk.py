"""Bulk API 2.0 query jobs: a query runs once, in the background, into a file; its pages are ranges of that file."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.salesforce import bulk_rules, ids
from local.salesforce.behaviours import REFUSALS, Step
from local.salesforce.bulk_results import DELIMITERS, LINE_ENDINGS, Dialect, Snapshot, write_snapshot
from local.salesforce.clock import Clock, stamp
from local.salesforce.errors import ApiError, not_found
from local.salesforce.quotas import BULK_JOBS, BULK_STORAGE_MB, Quotas
from local.salesforce.sessions import USER_ID
from local.salesforce.soql import Plan, compile_query
from local.salesforce.store import Store

_PREFIX = "750"
_LIVES = timedelta(days=7)
# Salesforce cuts results into pages of its own size when nobody asks for one.
USUAL_PAGE_ROWS = 50_000
MOST_PAGE_ROWS = 1_000_000
_RETRIES_LOST = "InternalServerError: Retried more than 15 times"
_WRONG_STATE = "INVALIDJOBSTATE"
_OVER = ("JobComplete", "Failed", "Aborted")
Run = Callable[..., Awaitable[Any]]


@dataclass
class Job:
    """A query job, and what went wrong with it on purpose."""

    id: str
    operation: str
    soql: str
    plan: Plan
    dialect: Dialect
    names: tuple[str, str]  # of delimiter and line ending, as the client gave them
    version: str
    created: datetime
    state: str = "UploadComplete"
    error: str = ""
    snapshot: Snapshot | None = None
    done_at: datetime | None = None
    slow_until: datetime | None = None
    slow_looks: int = 0  # so often it is asked for its state before it is complete
    miscounted_by: int = 0

    def shown_state(self, now: datetime) -> str:
        """Return the state a client sees."""
        slow = self.slow_looks > 0 or (self.slow_until is not None and now < self.slow_until)
        return "InProgress" if slow and self.state == "JobComplete" else self.state


class Jobs:
    """All query jobs of an organisation. Used by the event loop alone; queries run in threads."""

    def __init__(self, store: Store, clock: Clock, quotas: Quotas, run: Run) -> None:
        self._store, self._clock, self._quotas, self._run = store, clock, quotas, run
        self._jobs: dict[str, Job] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)
        self.page_rows, self.most_rows = USUAL_PAGE_ROWS, MOST_PAGE_ROWS
        # So long does a job take, by the organisation's clock.
        self.seconds = 0.0

    def reset(self) -> None:
        """Forget all jobs with their results; results get pages of the usual size, at once."""
        for job in list(self._jobs.values()):
            self._forget(job)
        self.page_rows, self.most_rows, self.seconds = USUAL_PAGE_ROWS, MOST_PAGE_ROWS, 0.0

    # --- jobs --------------------------------------------------------------------------------------
    def create(self, given: dict[str, Any], version: str) -> Job:
        """Check a query and begin to run it. Raises ApiError."""
        soql, operation = str(given.get("query") or ""), str(given.get("operation") or "")
        if operation not in ("query", "queryAll"):
            raise ApiError("INVALIDOPERATION", f"Operation '{operation}' is not supported: query or queryAll")
        if given.get("contentType", "CSV") != "CSV":
            raise ApiError("INVALIDJOB", "ContentType must be CSV")
        names = (str(given.get("columnDelimiter") or "COMMA"), str(given.get("lineEnding") or "LF"))
        if names[0] not in DELIMITERS or names[1] not in LINE_ENDINGS:
            raise ApiError("INVALIDJOB", "columnDelimiter or lineEnding is not supported")
        self._check_quotas()
        bulk_rules.check(soql)
        plan = compile_query(soql, self._store.catalog, self._clock.now(), all_rows=operation == "queryAll")
        if not plan.entity.bulk_supported:
            raise bulk_rules.unsupported(plan.entity.name)
        if any(column.field.is_derived for column in plan.columns):
            raise bulk_rules.compound()
        self._quotas.use(BULK_JOBS)
        key = ids.make_id(_PREFIX, next(self._numbers))
        job = Job(key, operation, soql, plan, Dialect(*names), names, version, self._clock.now())
        if self.seconds:
            job.slow_until = job.created + timedelta(seconds=self.seconds)
        self._jobs[key] = job
        self._running[key] = asyncio.create_task(self._execute(job))
        return job

    def get(self, job_id: str, version: str) -> Job:
        """Return a job of at most seven days. Raises ApiError."""
        key = ids.to_18(job_id) if ids.is_valid(job_id) else job_id
        job = self._jobs.get(key)
        if job is not None and self._clock.now() >= job.created + _LIVES:
            self._forget(job)
            job = None
        if job is None:
            raise not_found()
        if job.version != version:
            message = f"The job was created with API version {job.version}, not {version}"
            raise ApiError("API_VERSION_MISMATCH", message, status=409)
        return job

    def object_of(self, job_id: str) -> str:
        """Return the object of a job; empty when there is no such job."""
        job = self._jobs.get(job_id)
        return job.plan.entity.name if job else ""

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.id, reverse=True)

    async def settle(self, job: Job, patience: float) -> None:
        """Wait until a job has run, at most so many seconds: who asks once need not ask again."""
        running = self._running.get(job.id)
        if running is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), patience)

    def look(self, job: Job) -> dict[str, Any]:
        """Return a job as it shows itself to somebody who asks for its state."""
        found = self.shown(job, whole=True)
        job.slow_looks = max(0, job.slow_looks - 1)
        return found

    def abort(self, job: Job) -> None:
        """Stop a job that is not over yet. Raises ApiError."""
        if job.shown_state(self._clock.now()) in _OVER:
            raise ApiError(_WRONG_STATE, f"A job in the state {job.state} cannot be aborted")
        self._drop(job, "Aborted")

    def delete(self, job: Job) -> None:
        """Remove a job that is over. Raises ApiError."""
        if job.shown_state(self._clock.now()) not in _OVER:
            raise ApiError(_WRONG_STATE, f"A job in the state {job.state} cannot be deleted: abort it first")
        self._forget(job)

    def snapshot(self, job: Job) -> Snapshot:
        """Return the result of a complete job. Raises ApiError."""
        state = job.shown_state(self._clock.now())
        if state != "JobComplete" or job.snapshot is None:
            raise ApiError(_WRONG_STATE, f"Results of a job in the state {state} are not available")
        return job.snapshot

    def misbehave(self, job_id: str, step: Step) -> None:
        """Let a job go wrong as a script says."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        match step.kind:
            case "job_failed":
                self._drop(job, "Failed", step.message or _RETRIES_LOST)
            case "job_aborted":
                self._drop(job, "Aborted")
            case "job_vanished":
                self._forget(job)
            case "job_slow":
                job.slow_looks = step.by
            case "wrong_processed":
                job.miscounted_by = step.by

    def shown(self, job: Job, *, whole: bool) -> dict[str, Any]:
        """Return a job as the answers show it; `whole` with what is known only later."""
        state = job.shown_state(self._clock.now())
        found: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.plan.entity.name,
            "createdById": USER_ID,
            "createdDate": f"{stamp(job.created)[:-1]}+0000",
            "systemModstamp": f"{stamp(job.done_at or job.created)[:-1]}+0000",
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.names[1],
            "columnDelimiter": job.names[0],
        }
        if whole:
            complete = state == "JobComplete" and job.snapshot is not None
            rows = job.snapshot.rows + job.miscounted_by if complete and job.snapshot else 0
            took = (job.done_at or job.created) - job.created
            found |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": rows,
                "retries": 0,
                "totalProcessingTime": int(took / timedelta(milliseconds=1)),
                "isPkChunkingSupported": bulk_rules.can_chunk(job.soql),
            }
            if job.error:
                found["errorMessage"] = job.error
        return found

    # --- what they share ---------------------------------------------------------------------------
    def _check_quotas(self) -> None:
        if self._quotas.remaining(BULK_JOBS) <= 0:
            most, used = self._quotas.most[BULK_JOBS], int(self._quotas.used(BULK_JOBS))
            message = f"Max bulk v2 query jobs ({most}) per 24 hrs has been reached ({used})"
            raise ApiError("LIMIT_EXCEEDED", message)
        if self._quotas.remaining(BULK_STORAGE_MB) <= 0:
            raise ApiError("LIMIT_EXCEEDED", REFUSALS["storage_limit"].message)

    async def _execute(self, job: Job) -> None:
        try:
            job.state = "InProgress"
            snapshot = await self._run(self._write, job)
            if job.id not in self._jobs or job.state != "InProgress":
                snapshot.path.unlink(missing_ok=True)
                return
            job.snapshot, job.state, job.done_at = snapshot, "JobComplete", self._clock.now()
            self._quotas.use(BULK_STORAGE_MB, snapshot.size / 2**20)
        finally:
            self._running.pop(job.id, None)

    def _write(self, job: Job) -> Snapshot:
        path = self._folder() / f"{job.id}.csv"
        columns = [column.name for column in job.plan.columns]
        with self._store.read() as db:
            rows = db.execute(job.plan.sql, job.plan.parameters)
            return write_snapshot(path, columns, job.dialect, _plain(job.plan, rows))

    def _folder(self) -> Path:
        folder = self._store.directory / "results"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _drop(self, job: Job, state: str, error: str = "") -> None:
        job.state, job.error, job.done_at = state, error, self._clock.now()
        if job.snapshot is not None:
            job.snapshot.path.unlink(missing_ok=True)
            job.snapshot = None

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        if job.snapshot is not None:
            job.snapshot.path.unlink(missing_ok=True)


def _plain(plan: Plan, rows: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Return rows as CSV shows them: the selected columns, booleans as words."""
    width = len(plan.columns)
    flags = [column.index for column in plan.columns if column.field.type == "boolean"]
    for row in rows:
        values = list(row[:width])
        for index in flags:
            values[index] = "true" if values[index] else "false"
        yield values

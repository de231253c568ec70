"""Bulk API 2.0 query jobs: made, waited for, their pages fetched to disk, several at a time, in order."""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from include.operations.errors import PipelineError
from include.operations.log import log_event
from include.vms.salesforce.errors import DownloadIncomplete, JobFailed, JobTooSlow, SalesforceFailed, Unreachable

if TYPE_CHECKING:
    from include.vms.salesforce.client import Salesforce

log = logging.getLogger(__name__)

_DONE: Final = "JobComplete"
_OVER: Final = frozenset({"Failed", "Aborted"})
_FIRST_POLL_S: Final = 1.0
_SLOWEST_POLL_S: Final = 20.0
# A job of this age is given back to the task's retry, which goes on waiting for it.
_LONGEST_WAIT_S: Final = 3600.0
_CHUNK: Final = 1 << 17
_PAGE_TRIES: Final = 3
# Pages under way at once: up to five addresses come at a time, and each page waits on disk for its turn.
_AHEAD: Final = 4
_GZIP: Final = 16 + zlib.MAX_WBITS
# Answers that mean that the job or the place in it is no more.
_GONE: Final = frozenset({400, 404, 409, 410})
# resultPages is there from this version on.
_PARALLEL_FROM: Final = 58


@dataclass(frozen=True)
class Job:
    """A query job."""

    id: str
    state: str
    created_at: datetime
    rows: int | None  # known when it is complete


@dataclass
class ResultPage:
    """A page of results on disk, complete as it was sent.

    Attributes:
        announced: rows it should have, by its header; None: not said.
        following: locator of the page after it; None: it is the last.
    """

    announced: int | None
    following: str | None
    _file: IO[bytes] = field(repr=False)
    _gzip: bool

    def chunks(self) -> Iterator[bytes]:
        """The CSV as bytes.

        Raises:
            DownloadIncomplete: what was sent ends too early.
        """
        self._file.seek(0)
        unpack = zlib.decompressobj(_GZIP) if self._gzip else None
        try:
            while chunk := self._file.read(_CHUNK):
                if unpack is None:
                    yield chunk
                    continue
                while chunk:
                    yield unpack.decompress(chunk, _CHUNK * 4)
                    chunk = unpack.unconsumed_tail
        except zlib.error as error:
            raise DownloadIncomplete("A page of results is damaged.", what_to_do=_AGAIN) from error
        if unpack is not None and not unpack.eof:
            raise DownloadIncomplete("A page of results ends too early.", what_to_do=_AGAIN)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


_AGAIN: Final = "Nothing if a later try succeeds: it goes on at this page."


def create(client: Salesforce, query: str, *, deleted_too: bool = True) -> Job:
    """Make a job for a query.

    Raises:
        SalesforceFailed: refused; `unsupported` tells whether for good.
    """
    body = {
        "operation": "queryAll" if deleted_too else "query",
        "query": query,
        "contentType": "CSV",
        "columnDelimiter": "COMMA",
        "lineEnding": "LF",
    }
    return _job(client.post(_path(client), body))


def unsupported(error: SalesforceFailed) -> str:
    """Why Bulk cannot do a query that REST can; empty when the error says no such thing.

    Salesforce has one code for many things here, so its own text decides, as in its clients.
    """
    message = error.error_message
    if error.error_code == "INVALIDENTITY" or "is not supported by the Bulk API" in message:
        return "the object is not supported by the Bulk API"
    if "compound data not supported" in message:
        return "Bulk does not take compound fields"
    if error.error_code in {"FUNCTIONALITY_NOT_ENABLED", "FEATURENOTENABLED"}:
        return "Bulk is not enabled for the org"
    if error.error_code == "LIMIT_EXCEEDED" or "Max bulk v2 query" in message:
        return "the Bulk quota of the last 24 hours is used up"
    return ""


def wait(client: Salesforce, job_id: str, beat: Callable[[], None]) -> Job:
    """Wait until a job is complete; asks less and less often.

    Args:
        client: the session.
        job_id: the job.
        beat: called at each look, to keep a lease alive.

    Raises:
        JobFailed: given up or lost by Salesforce. JobTooSlow: not ready in an hour.
    """
    pause, waited = _FIRST_POLL_S, 0.0
    while True:
        job = look(client, job_id)
        if job.state == _DONE:
            return job
        if waited >= _LONGEST_WAIT_S:
            raise JobTooSlow(
                f"Bulk job {job_id} is {job.state} after {waited / 60:.0f} minutes.",
                what_to_do="Nothing if a later try succeeds: it waits for the same job (Setup, Bulk Data Load Jobs).",
            )
        beat()
        client.sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _SLOWEST_POLL_S)


def look(client: Salesforce, job_id: str) -> Job:
    """Return the state of a job.

    Raises:
        JobFailed: given up or lost by Salesforce.
    """
    try:
        reply = client.get(f"{_path(client)}/{job_id}")
    except SalesforceFailed as error:
        if error.status in _GONE:
            raise _lost(job_id, error) from error
        raise
    job = _job(reply)
    if job.state in _OVER:
        raise JobFailed(
            f"Bulk job {job_id} is {job.state}: {str(reply.get('errorMessage') or 'no reason given')[:300]}",
            what_to_do="Nothing if a later try succeeds, which makes a new job. See Setup, Bulk Data Load Jobs.",
        )
    return job


def pages(
    client: Salesforce, job: Job, locator: str | None, page_rows: int, *, parallel: bool = True
) -> Generator[ResultPage]:
    """Return the pages of a complete job in order, beginning at a locator; None: at the first.

    A job of one page costs one call. Of a bigger one the addresses of five pages come at a time, and pages are fetched
    ahead while earlier ones are worked on, each to disk.

    Raises:
        DownloadIncomplete: a page broke off several times. JobFailed: job or locator are gone.
    """
    several = job.rows is None or job.rows > page_rows
    if not parallel or not several or float(client.settings.version) < _PARALLEL_FROM:
        yield from _one_by_one(client, job.id, locator, page_rows)
        return
    try:
        addresses = _addresses(client, job.id, locator)
        first = next(addresses, None)
    except SalesforceFailed as error:
        if error.status not in _GONE:
            raise
        first = None
    if first is None:
        yield from _one_by_one(client, job.id, locator, page_rows)
        return
    yield from _ahead(client, job.id, first, addresses)


def _one_by_one(client: Salesforce, job_id: str, locator: str | None, page_rows: int) -> Iterator[ResultPage]:
    base = f"{_path(client)}/{job_id}/results?maxRecords={int(page_rows)}"
    while True:
        page = _fetch(client, job_id, base + (f"&locator={locator}" if locator else ""))
        yield page
        if page.following is None:
            return
        locator = page.following


def _ahead(client: Salesforce, job_id: str, first: str, addresses: Iterator[str]) -> Iterator[ResultPage]:
    """Fetch pages in threads, hand them on in order; none is left open when the caller stops."""
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="bulk-page") as pool:
        running: list[tuple[str, Future[ResultPage]]] = []
        upcoming: str | None = first
        try:
            while running or upcoming is not None:
                while upcoming is not None and len(running) < _AHEAD:
                    running.append((upcoming, pool.submit(_fetch, client, job_id, upcoming)))
                    upcoming = next(addresses, None)
                _, fetched = running.pop(0)
                page = fetched.result()
                following = running[0][0] if running else upcoming
                page.following = None if following is None else _locator(following)
                yield page
        finally:
            for _, fetched in running:
                if not fetched.cancel():
                    with suppress(Exception):
                        fetched.result().close()


def _addresses(client: Salesforce, job_id: str, locator: str | None) -> Iterator[str]:
    """Addresses of the pages from a locator on; nothing when the list does not know the locator."""
    path: str | None = f"{_path(client)}/{job_id}/resultPages"
    found = locator is None
    while path is not None:
        reply = client.get(path)
        for one in reply.get("resultPages", ()):
            address = _relative(str(one["resultUrl"]))
            found = found or _locator(address) == locator
            if found:
                yield address
        # The documents name it both ways.
        following = reply.get("nextRecordsUrl") or reply.get("nextRecordUrl")
        path = None if reply.get("done") or not following else _relative(str(following))


def _relative(address: str) -> str:
    """Path and query of an address: the token goes to our own instance only."""
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _locator(address: str) -> str | None:
    return next(iter(parse_qs(urlsplit(address).query).get("locator", ())), None)


def _fetch(client: Salesforce, job_id: str, path: str) -> ResultPage:
    """Fetch one page to disk, again when it breaks off.

    Raises:
        DownloadIncomplete: it broke off each time. JobFailed: job or locator are gone.
    """
    for tries in range(1, _PAGE_TRIES + 1):
        try:
            return _download(client, path)
        except SalesforceFailed as error:
            if error.status in _GONE:
                raise _lost(job_id, error) from error
            raise
        except Unreachable as error:
            if tries == _PAGE_TRIES:
                raise DownloadIncomplete(
                    f"A page of Bulk job {job_id} broke off {tries} times.", what_to_do=_AGAIN
                ) from error
            log_event(log, "salesforce_page_again", job=job_id, tries=tries)
            client.sleep(float(tries))
    raise AssertionError("not reached")


def _download(client: Salesforce, path: str) -> ResultPage:
    import urllib3

    response = client.send("GET", path, stream=True)
    kind = response.headers.get("Content-Type", "")
    if "csv" not in kind:
        response.close()
        raise Unreachable(f"A page of results came as {kind.partition(';')[0] or 'nothing'}")
    # Not a named file: it is gone with the process, whatever ends it.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the page closes it
    try:
        # As it was sent: the length is checked by the library, the rest when it is unpacked.
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            file.write(chunk)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        file.close()
        raise Unreachable("A page of results broke off") from error
    except BaseException:
        file.close()
        raise
    finally:
        response.close()
    announced = response.headers.get("Sforce-NumberOfRecords", "")
    following = response.headers.get("Sforce-Locator", "")
    return ResultPage(
        int(announced) if announced.isdigit() else None,
        None if following in {"", "null"} else following,
        file,
        response.headers.get("Content-Encoding", "") == "gzip",
    )


def _path(client: Salesforce) -> str:
    return f"{client.root}/jobs/query"


def _lost(job_id: str, error: SalesforceFailed) -> PipelineError:
    return JobFailed(
        f"Bulk job {job_id} or its page is no more ({error.status} {error.error_code}).",
        what_to_do="Nothing if a later try succeeds, which makes a new job.",
    )


def _job(reply: Any) -> Job:
    try:
        rows = reply.get("numberRecordsProcessed")
        return Job(
            str(reply["id"]),
            str(reply["state"]),
            datetime.fromisoformat(reply["createdDate"]),
            None if rows is None else int(rows),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable("The reply about a Bulk job has not the form of one") from error

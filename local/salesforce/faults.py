"""What the scripts of behaviours.py do to a request: before it is handled, to its answer, and while that is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from local.salesforce.behaviours import HEADER, JOBS, REFUSALS, Call, Scripts, Step, call_of
from local.salesforce.rows import Row, concerns_rows, edit

CALL = web.RequestKey("call", Call)
STEPS = web.RequestKey("steps", tuple)
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
# As many rows of the page before are remembered for `duplicate_rows` over REST.
_TAIL = 200
_QUERIES = ("query", "query_all", "query_more")


class Organisation(Protocol):
    """What misbehaving needs of the rest: to name objects, to revoke a token, to change a job or records."""

    def now(self) -> datetime:
        """Return the organisation's time."""

    def object_of(self, call: Call) -> str:
        """Return the object behind a job's id or a locator; empty when there is none."""

    def revoke(self, authorization: str) -> None:
        """End the session of an Authorization header."""

    def change_job(self, job_id: str, step: Step) -> None:
        """Let a Bulk job go wrong."""

    async def do(self, operations: Sequence[Mapping[str, Any]]) -> None:
        """Carry out what the admin route takes."""


class Faults:
    """The server asks `before` and `after` it handles a request, for `headers`, and to `stream` long bodies."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._changed = asyncio.Event()
        self._tails: dict[str, list[Row]] = {}
        self.scripts = Scripts()

    def clear(self) -> None:
        """Let everything work again, also for those who hang."""
        self.scripts.clear()
        self._tails.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def before(self, request: web.Request) -> web.StreamResponse | None:
        """Let a request meet the scripts' current steps; return the answer when there is nothing left to do."""
        call = await self._call(request)
        request[CALL], request[STEPS] = call, ()
        try:
            steps = self.scripts.take(call, request.headers.get(HEADER))
        except ValueError as error:
            return web.json_response([{"message": str(error), "errorCode": "SIMULATOR"}], status=400)
        request[STEPS] = steps
        for step in steps:
            if answer := await self._before(request, call, step):
                return answer
        return None

    async def after(self, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        """Change an answer, and send it when it is to be cut, shortened or slowed down."""
        steps: tuple[Step, ...] = request.get(STEPS, ())
        for step in steps:
            if step.kind == "revoke":
                self._organisation.revoke(request.headers.get("Authorization", ""))
            elif step.kind == "lose_reply":
                end(request, reset=True)
        if not isinstance(answer, web.Response) or answer.prepared:
            return answer
        if request[CALL].operation in _QUERIES and answer.status == HTTPStatus.OK:
            self._edit(request[CALL], answer, steps)
        if any(step.kind in ("cut", "truncate", "drip") for step in steps):
            body = answer.body if isinstance(answer.body, bytes) else b""
            streamed = web.StreamResponse(status=answer.status, headers=answer.headers)
            streamed.headers.popall("Content-Length", None)
            return await self.stream(request, streamed, [body])
        return answer

    def headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Change what the header of an answer says, after everybody else has written to it."""
        for step in request.get(STEPS, ()):
            _change_headers(step, response, self._organisation.now())

    async def stream(
        self, request: web.Request, response: web.StreamResponse, pieces: Iterable[bytes]
    ) -> web.StreamResponse:
        """Send a body in pieces, compressed when the client takes it so; cut, shortened or slowed down by the steps."""
        steps: tuple[Step, ...] = request.get(STEPS, ())
        cut = next((step for step in steps if step.kind in ("cut", "truncate")), None)
        drip = next((step for step in steps if step.kind == "drip"), None)
        if cut is not None:
            body = b"".join(pieces)
            pieces = [body[: _place(body, cut)]]
        if drip is not None:
            pieces = _small(pieces, drip.bytes or 1024)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
            pieces = _gzip(pieces, whole=cut is None or cut.kind == "truncate")
        response.enable_chunked_encoding()
        await response.prepare(request)
        if cut is not None and request.transport is not None:
            request.transport.set_write_buffer_limits(0)  # `write` then returns when the kernel has it all
        for piece in pieces:
            await response.write(piece)
            if drip is not None:
                await self._wait(drip.seconds)
        if cut is not None and cut.kind == "cut":
            end(request, reset=False)
        else:
            await response.write_eof()
        return response

    # --- before ----------------------------------------------------------------------------------
    async def _call(self, request: web.Request) -> Call:
        soql = request.query.get("q", "")
        if request.method == "POST" and request.path.rstrip("/").endswith("/jobs/query"):
            with contextlib.suppress(ValueError):
                body = json.loads(await request.read())
                soql = str(body.get("query", "")) if isinstance(body, dict) else ""
        call = call_of(request.method, request.path, soql)
        if call.job or call.locator:
            return replace(call, object=self._organisation.object_of(call))
        return call

    async def _before(self, request: web.Request, call: Call, step: Step) -> web.StreamResponse | None:
        """Do what comes before the work; return the answer when there is no work."""
        if step.kind in ("hang", "lose_reply"):
            if step.kind == "hang":
                await self._wait(step.seconds)
        elif step.kind in ("reset", "drop"):
            await request.read()  # the client has sent everything and waits: it always fails at the same place
            end(request, reset=step.kind == "reset")
            return web.Response()
        elif step.kind == "do":
            await self._organisation.do(step.operations)
        elif step.kind in JOBS and call.job:
            self._organisation.change_job(call.job, step)
        elif step.kind in REFUSALS:
            if step.kind == "field_removed" and not _names(call.soql, step.field):
                return None
            if step.kind == "expire_token":
                self._organisation.revoke(request.headers.get("Authorization", ""))
            if step.kind == "job_vanished":
                self._organisation.change_job(call.job, step)
            return refusal(step, call, self._organisation.now())
        return None

    async def _wait(self, seconds: float) -> None:
        """Wait, or until the scripts are cleared."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def _edit(self, call: Call, answer: web.Response, steps: Sequence[Step]) -> None:
        """Change the records of a page, and remember its last ones while a script may want them again."""
        if not concerns_rows(steps) and not self.scripts.active("duplicate_rows"):
            return
        content = json.loads(answer.text or "{}")
        records = content.get("records", [])
        page = edit(steps, records, self._tails.get(call.object.lower(), []))
        self._tails[call.object.lower()] = records[-_TAIL:]
        content["records"] = page.rows
        answer.text = json.dumps(content)


def refusal(step: Step, call: Call, now: datetime) -> web.Response:
    """Return the answer of a step that refuses."""
    usual = REFUSALS[step.kind]
    status = step.status or usual.status
    headers = {}
    if step.retry_after is not None:
        kind, _, ahead = step.retry_after.partition(":")
        # A date by the real time: that is what a client compares it with.
        later = datetime.now(UTC) + timedelta(seconds=float(ahead)) if kind == "date" else now
        headers["Retry-After"] = format_datetime(later, usegmt=True) if kind == "date" else step.retry_after
    body = step.body or usual.body
    if body == "empty":
        return web.Response(status=status, headers=headers)
    if body == "html":
        phrase = f"{status} {_phrase(status)}"
        return web.Response(status=status, headers=headers, text=_PAGE.format(phrase), content_type="text/html")
    message = step.message or usual.message.format(object=call.object)
    if step.kind == "field_removed" and step.message is None:
        message = no_such_column(call.soql, step.field, call.object)
    return web.json_response(
        [{"message": message, "errorCode": step.code or usual.code}], status=status, headers=headers
    )


def no_such_column(soql: str, name: str, entity: str) -> str:
    """Return Salesforce's text for a field that an object does not have."""
    column = soql.lower().find(name.lower()) + 1
    shown = soql[max(column - 30, 0) : column + len(name) + 30]
    mark = " " * (column - 1 - max(column - 30, 0)) + "^"
    return (
        f"\n{shown}\n{mark}\nERROR at Row:1:Column:{column}\nNo such column '{name}' on entity '{entity}'. If you are "
        "attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference "
        "your WSDL or the describe call for the appropriate names."
    )


def end(request: web.Request, *, reset: bool) -> None:
    """End the connection: with a RST, or in good order but without a last chunk."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        # A linger time of zero makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _names(soql: str, name: str) -> bool:
    return name.lower() in soql.lower()


def _phrase(status: int) -> str:
    # 420 is no status of HTTP's own.
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Enhance Your Calm"


def _change_headers(step: Step, response: web.StreamResponse, now: datetime) -> None:
    headers = response.headers
    if step.kind == "no_count":
        headers.popall("Sforce-NumberOfRecords", None)
    elif step.kind == "wrong_count" and "Sforce-NumberOfRecords" in headers:
        headers["Sforce-NumberOfRecords"] = str(int(headers["Sforce-NumberOfRecords"]) + step.by)
    elif step.kind == "no_locator":
        headers.popall("Sforce-Locator", None)
    elif step.kind == "clock_skew":
        shown = parsedate_to_datetime(headers["Date"]) if "Date" in headers else now
        headers["Date"] = format_datetime(shown + timedelta(seconds=step.seconds), usegmt=True)
    elif step.kind == "limit_info":
        headers["Sforce-Limit-Info"] = step.value
    elif step.kind == "no_limit_info":
        headers.popall("Sforce-Limit-Info", None)


def _place(body: bytes, step: Step) -> int:
    """Return where a body ends too early: at so many bytes, or around its middle at the wanted sort of place."""
    if step.bytes is not None:
        return min(step.bytes, len(body))
    place = len(body) // 2
    if not step.inside:
        return place
    quoted = body.count(b'"', 0, place) % 2 == 1
    while place < len(body) - 1:
        letter = body[place : place + 1]
        quoted = quoted != (letter == b'"')
        place += 1
        if step.inside == "quotes" and quoted and letter != b'"':
            break
        if step.inside == "row" and not quoted and letter == b"\n":
            break
    return place


def _small(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        yield from (piece[start : start + size] for start in range(0, len(piece), size))


def _gzip(pieces: Iterable[bytes], *, whole: bool) -> Iterator[bytes]:
    """Compress for speed; what is not whole lacks the trailer."""
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece) + (b"" if whole else packer.flush(zlib.Z_SYNC_FLUSH)):
            yield packed
    if whole:
        yield packer.flush()

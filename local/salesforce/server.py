"""The HTTP server: logins, REST, bulk jobs and admin routes of one organisation, on loopback."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from email.utils import format_datetime

from aiohttp import hdrs, web

from local.salesforce import admin, bulk_routes, live, oauth
from local.salesforce.answer import Answer, Call
from local.salesforce.errors import ApiError
from local.salesforce.generate import fill
from local.salesforce.org import CALLS_MADE, JOB_ID, LIMIT_INFO, ORG, SOQL, Org
from local.salesforce.quotas import CALLS
from local.salesforce.requests import Entry
from local.salesforce.rest import check_version, version_list
from local.salesforce.settings import HOST, Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MOST_BYTES = 64_000_000
_LONGEST_URI = 16_384
_SMALLEST_TO_COMPRESS = 1000
_DATA = re.compile(r"/services/data/v([^/]+)(?:/(.*))?\Z", re.DOTALL)
_URI_TOO_LONG = "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>"


class SalesforceSimulator:
    """One organisation that answers in the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._socket = socket.create_server((HOST, settings.port), backlog=512)
        self._socket.setblocking(False)
        # Port 0 became a real one.
        self.settings = replace(settings, port=int(self._socket.getsockname()[1]))
        self.org = Org(self.settings)
        self._runner: web.AppRunner | None = None
        self._live: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fill an empty organisation if the settings say so, and begin to answer."""
        if self.settings.demo_percent:
            await self.org.run(_fill, self.org, self.settings.demo_percent)
        app = web.Application(client_max_size=_MOST_BYTES, middlewares=[_logged, _misbehaving, _guarded])
        app[ORG] = self.org
        app.on_response_prepare.append(_headers)
        app.add_routes(oauth.routes())
        app.add_routes(admin.routes())
        app.add_routes(bulk_routes.routes())
        app.add_routes(
            [
                web.get("/services/data", _versions),
                web.get("/services/data/", _versions),
                web.route("*", "/services/data/{rest:.*}", _rest),
                web.get("/health", _health),
            ]
        )
        # A query travels in the URI: longer ones than Salesforce accepts must reach the check.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, max_line_size=2**20, max_field_size=2**16
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket, ssl_context=_tls(self.settings.certificate)).start()
        if self.settings.live:
            self._live = asyncio.create_task(live.run(self.org.store))

    async def stop(self) -> None:
        """Stop answering."""
        if self._live is not None:
            self._live.cancel()
            with suppress(asyncio.CancelledError):
                await self._live
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()
        self.org.close()


def _tls(certificate: str) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _fill(org: Org, percent: float) -> None:
    if not any(org.store.count(meta.name, deleted=True) for meta in org.store.catalog):
        # A start that was interrupted begins anew.
        with org.store.transaction():
            fill(org.store, percent=percent, now=org.clock.now())


# --- what happens around every request -------------------------------------------------------------
@web.middleware
async def _logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith("/services"):
        return await handler(request)
    org, status, size = request.app[ORG], 0, 0
    try:
        response = await handler(request)
        await _compress(request, response)
        # What is not sent yet has a length already.
        status, size = response.status, response.body_length or response.content_length or 0
        if request.transport is None or request.transport.is_closing():
            status = 0
        return response
    finally:
        # Also of a request whose connection was cut: status 0 then.
        org.requests.add(
            Entry(
                at=org.clock.stamp(),
                method=request.method,
                path=request.path,
                query=request.get(SOQL, ""),
                status=status,
                bytes=size,
                job_id=request.get(JOB_ID, ""),
                calls=request.get(CALLS_MADE, 0),
            )
        )


@web.middleware
async def _misbehaving(request: web.Request, handler: Handler) -> web.StreamResponse:
    faults = request.app[ORG].faults
    if not request.path.startswith("/services"):
        return await handler(request)
    response = await faults.before(request)
    if response is None:
        response = await handler(request)
    return await faults.after(request, response)


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become Salesforce's; below a version only logged-in users come in, as long as there are calls left."""
    org = request.app[ORG]
    try:
        found = _DATA.match(request.path)
        if found is None:
            return await handler(request)
        if len(request.raw_path) > _LONGEST_URI:
            return web.Response(status=414, text=_URI_TOO_LONG, content_type="text/html")
        check_version(found[1])
        org.sessions.check(request.headers.get(hdrs.AUTHORIZATION, ""))
        request[LIMIT_INFO] = True
        if org.quotas.remaining(CALLS) <= 0:
            raise ApiError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")  # noqa: TRY301
        request[CALLS_MADE] = 1
        org.quotas.use(CALLS)
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)


async def _compress(request: web.Request, response: web.StreamResponse) -> None:
    """Compress a whole answer if the client takes it so; streams do it themselves."""
    if not isinstance(response, web.Response) or response.prepared or hdrs.CONTENT_ENCODING in response.headers:
        return
    body, wanted = response.body, "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    if wanted and isinstance(body, bytes) and len(body) >= _SMALLEST_TO_COMPRESS:
        response.body = await request.app[ORG].run(gzip.compress, body, 5)
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer carries, streamed ones included."""
    org = request.app[ORG]
    response.headers[hdrs.DATE] = format_datetime(org.clock.now(), usegmt=True)
    if request.get(LIMIT_INFO):
        response.headers["Sforce-Limit-Info"] = org.quotas.header()
    org.faults.headers(request, response)


# --- handlers --------------------------------------------------------------------------------------
async def _versions(_: web.Request) -> web.Response:
    return web.json_response(version_list())


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _rest(request: web.Request) -> web.Response:
    org = request.app[ORG]
    found = _DATA.match(request.path)
    if found is None:
        raise ApiError("NOT_FOUND", "The requested resource does not exist")
    query = dict(request.query)
    request[SOQL] = query.get("q", "")
    call = Call(request.method, found[1], (found[2] or "").strip("/"), query, request.headers, await request.read())
    answer: Answer = await org.run(org.rest.answer, call)
    if answer.calls > 1:
        request[CALLS_MADE] = answer.calls
        org.quotas.use(CALLS, answer.calls - 1)
    content = answer.content()
    response = web.Response(body=content, status=answer.status, headers=dict(answer.headers))
    response.content_type, response.charset = "application/json", "UTF-8"
    return response

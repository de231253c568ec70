"""What arrived, for tests (JSON) and for people (a page); and the switch that makes a service misbehave."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from aiohttp import web

from local.simulators.faults import Faults
from local.simulators.http import Handler
from local.simulators.inbox import Inbox
from local.simulators.page import render
from local.simulators.settings import Settings

_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


class Reader:
    """Routes that need the reader's key: in the query for a browser, as a bearer token for a program."""

    def __init__(self, settings: Settings, inbox: Inbox, faults: Faults) -> None:
        self._settings = settings
        self._inbox = inbox
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/health", self._health),
            web.get("/", self._keyed(self._page)),
            web.get("/inbox/version", self._keyed(self._version)),
            web.get(r"/inbox/{kind:slack|email|sentry|action}.json", self._keyed(self._entries)),
            web.get("/inbox/requests.json", self._keyed(self._requests)),
            web.get("/inbox/files/{id}", self._keyed(self._file)),
            web.get("/faults", self._keyed(self._chosen)),
            web.put("/faults/{service}", self._keyed(self._choose)),
            web.delete("/inbox", self._keyed(self._clear)),
        ]

    def _keyed(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if request.method == "GET":
                # Changing something takes a header, which no foreign page can make a browser send.
                given = given or request.query.get("key", "")
            if not secrets.compare_digest(given.encode(), self._settings.reader_key.encode()):
                return web.Response(status=403, text="the key is missing: use the address in .local/env\n")
            answer = await handler(request)
            answer.headers.update(_PRIVATE)
            return answer

        return handle

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _page(self, request: web.Request) -> web.Response:
        page, policy = render(self._inbox, self._faults, request.query.get("view", ""), self._settings.reader_key)
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def _version(self, _request: web.Request) -> web.Response:
        return web.Response(text=str(self._inbox.version))

    async def _entries(self, request: web.Request) -> web.Response:
        return _json(self._inbox.all(request.match_info["kind"]))

    async def _requests(self, _request: web.Request) -> web.Response:
        return _json(self._faults.requests())

    async def _chosen(self, _request: web.Request) -> web.Response:
        return _json(self._faults.chosen())

    async def _choose(self, request: web.Request) -> web.Response:
        try:
            self._faults.choose(request.match_info["service"], await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return _json(self._faults.chosen())

    async def _clear(self, _request: web.Request) -> web.Response:
        self._inbox.clear()
        self._faults.clear()
        return _json({})

    async def _file(self, request: web.Request) -> web.Response:
        found = self._inbox.get("file", request.match_info["id"])
        if found is None:
            return web.Response(status=404, text="not found")
        content = base64.b64decode(found["content"])
        # Only pictures are shown; anything else could be a page with scripts.
        picture = content.startswith(b"\x89PNG\r\n\x1a\n")
        return web.Response(body=content, content_type="image/png" if picture else "application/octet-stream")


def _json(value: Any) -> web.Response:
    return web.json_response(value)

"""Sentry's envelope endpoint, as the real SDK calls it."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from typing import Any

from aiohttp import web

from local.simulators.faults import Fault, Faults
from local.simulators.http import faulty
from local.simulators.inbox import Inbox
from local.simulators.settings import PROJECT, Settings

# Sentry refuses events above one megabyte.
MOST_BYTES = 1_000_000


class Sentry:
    """One project."""

    def __init__(self, settings: Settings, inbox: Inbox, faults: Faults) -> None:
        self._settings = settings
        self._inbox = inbox
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the endpoint."""
        handler = faulty(self._faults, "sentry", "envelope", _refuse, self._envelope)
        return [web.post(r"/api/{project:\d+}/envelope/", handler)]

    async def _envelope(self, request: web.Request) -> web.Response:
        key = _key(request)
        if not key:
            return _refused(401, "missing authorization information")
        known = secrets.compare_digest(key.encode(), self._settings.sentry_key.encode())
        if not known or request.match_info["project"] != str(PROJECT):
            return _refused(403, "event submission rejected with_reason: ProjectId")
        body = await request.read()  # aiohttp has unpacked it
        try:
            header, items = parse(body)
        except ValueError as error:
            return _refused(400, f"invalid event envelope: {error}")
        if any(len(payload) > MOST_BYTES for _, payload in items):
            return _refused(413, "payload too large")
        event_id = str(header.get("event_id") or uuid.uuid4().hex)
        for item, payload in items:
            self._keep(event_id, str(item.get("type")), payload)
        return web.json_response({"id": event_id})

    def _keep(self, event_id: str, kind: str, payload: bytes) -> None:
        try:
            content: Any = json.loads(payload)
        except ValueError:
            content = {"bytes": len(payload)}  # an attachment
        key = event_id if kind == "event" else uuid.uuid4().hex
        entry = {"event_id": event_id, "type": kind, "payload": content, "received_at": time.time()}
        self._inbox.put("sentry", key, entry)


def parse(body: bytes) -> tuple[dict[str, Any], list[tuple[dict[str, Any], bytes]]]:
    """Split an envelope into its header and its items (develop.sentry.dev/sdk/data-model/envelopes).

    Raises ValueError when it breaks the format.
    """
    line, _, rest = body.partition(b"\n")
    header = _json_line(line)
    items = []
    while rest.strip(b"\n"):
        line, _, rest = rest.lstrip(b"\n").partition(b"\n")
        item = _json_line(line)
        length = item.get("length")
        if length is None:
            payload, _, rest = rest.partition(b"\n")
        else:
            if not isinstance(length, int) or length < 0 or length > len(rest):
                raise ValueError("an item is shorter than its length")
            payload, rest = rest[:length], rest[length:]
            if rest and not rest.startswith(b"\n"):
                raise ValueError("an item is longer than its length")
        items.append((item, payload))
    return header, items


def _json_line(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("a header is not an object")  # noqa: TRY004 - it is the data that is wrong
    return found


def _key(request: web.Request) -> str:
    """Return the public key of X-Sentry-Auth, else of the query."""
    found = re.search(r"\bsentry_key=([^,\s]+)", request.headers.get("X-Sentry-Auth", ""))
    return found[1] if found else request.query.get("sentry_key", "")


def _refused(status: int, detail: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status)


def _refuse(fault: Fault) -> web.Response:
    if fault.mode == "rate_limit":
        answer = _refused(429, "Sentry dropped data due to a quota or internal rate limit being reached.")
        answer.headers["X-Sentry-Rate-Limits"] = f"{fault.retry_after}:error:organization"
        return answer
    if fault.mode == "server_error":
        return _refused(fault.status, "internal error")
    return _refused(403, "event submission rejected with_reason: ProjectId")

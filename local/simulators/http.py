"""What the HTTP services share: each request meets the chosen fault first and is noted afterwards."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from local.simulators.faults import Fault, Faults

Handler = Callable[[web.Request], Awaitable[web.Response]]
Refuse = Callable[[Fault], web.Response]
# What the log of requests says of an answer when its status does not say enough.
OUTCOME = web.ResponseKey("outcome", str)
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


def faulty(faults: Faults, service: str, method: str, refuse: Refuse, handler: Handler) -> Handler:
    """Wrap a handler; `method` may name a part of the path as `{name}`; `refuse` answers in the service's own words."""

    async def handle(request: web.Request) -> web.Response:
        name = method.format(**request.match_info)
        fault = faults.take(service, name)
        if fault.mode == "hang":
            await faults.hang(fault)
            if request.transport is None or request.transport.is_closing():
                return _noted(faults, service, name, _never_sent("hang: the client has gone"))
        elif fault.mode in ("reset", "drop"):
            await request.read()  # the client has sent everything and waits: it always fails at the same place
            _cut(request, reset=fault.mode == "reset")
            return _noted(faults, service, name, _never_sent(fault.mode))
        elif fault.mode not in ("ok", "lose_reply"):
            return _noted(faults, service, name, _refused(fault, refuse))
        answer = await handler(request)
        if fault.mode == "lose_reply":
            _cut(request, reset=True)
        return _noted(faults, service, name, answer)

    return handle


def _never_sent(outcome: str) -> web.Response:
    """Return an answer for a connection that is gone."""
    answer = web.Response()
    answer[OUTCOME] = outcome
    return answer


def _refused(fault: Fault, refuse: Refuse) -> web.Response:
    if fault.mode == "rate_limit":
        answer = refuse(fault)
        answer.headers["Retry-After"] = str(fault.retry_after)
        return answer
    if fault.mode == "server_error" and fault.status in (502, 503, 504):
        page = _PAGE.format(f"{fault.status} {HTTPStatus(fault.status).phrase}")
        return web.Response(status=fault.status, text=page, content_type="text/html")
    return refuse(fault)


def _noted(faults: Faults, service: str, name: str, answer: web.Response) -> web.Response:
    faults.note(service, name, str(answer.get(OUTCOME, answer.status)))
    return answer


def _cut(request: web.Request, *, reset: bool) -> None:
    """End the connection without an answer: with a RST, or in good order."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        # A linger time of zero makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

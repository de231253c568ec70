"""How the organisation misbehaves. The server asks before it answers a request, and before it sends the answer."""

from __future__ import annotations

from aiohttp import web


class Faults:
    """Nothing is wrong unless somebody says so."""

    async def before(self, request: web.Request) -> web.StreamResponse | None:
        """Return the answer to give instead of the real one; None: the request is handled."""
        del request
        return None

    async def after(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Return the answer to send: the given one, changed, or another one."""
        del request
        return response

    def headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Change what the header of an answer says, after everybody else has written to it."""
        del request, response

    def clear(self) -> None:
        """Behave well again."""

"""The process: one HTTP server for Slack, Sentry, calendar and tasks, and the reader, one SMTP server, on loopback."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from local.simulators.actions import Actions
from local.simulators.faults import Faults
from local.simulators.inbox import Inbox
from local.simulators.mail import Mail
from local.simulators.reader import Reader
from local.simulators.sentry import Sentry
from local.simulators.settings import HOST, Settings
from local.simulators.slack import Slack
from local.simulators.slack_messages import Workspace

MOST_BYTES = 12_000_000


class Simulators:
    """All simulated services in the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._http, self._smtp = _listen(settings.http_port), _listen(settings.smtp_port)
        # Port 0 became a real one.
        self.settings = replace(settings, http_port=_port(self._http), smtp_port=_port(self._smtp))
        self.inbox = Inbox(Path(settings.journal) if settings.journal else None)
        self.faults = Faults()
        self._runner: web.AppRunner | None = None
        self._mail = Mail(self.settings, self.inbox, self.faults)
        self._mail_server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes(Slack(self.settings, Workspace(self.inbox), self.faults).routes())
        app.add_routes(Sentry(self.settings, self.inbox, self.faults).routes())
        app.add_routes(Actions(self.settings, self.inbox, self.faults).routes())
        app.add_routes(Reader(self.settings, self.inbox, self.faults).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.SockSite(self._runner, self._http).start()
        self._mail_server = await asyncio.get_running_loop().create_server(self._mail.protocol, sock=self._smtp)

    async def stop(self) -> None:
        """Stop answering; requests that hang go on first."""
        self.faults.clear()
        if self._mail_server is not None:
            self._mail_server.close()
            self._mail.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._http.close()
        self._smtp.close()
        self.inbox.close()


def _listen(port: int) -> socket.socket:
    listener = socket.create_server((HOST, port))
    listener.setblocking(False)
    return listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])

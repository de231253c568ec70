"""The simulators in a test: `with AlertSink() as sink`, or `AlertSink.attach(env)` to those of a running system."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from local.simulators.settings import ACTIONS, INBOX, SECRETS, SENTRY, SLACK, SMTP, Settings

Entries = list[dict[str, Any]]


class AlertSink:
    """Slack, a mail server and Sentry on free ports, empty at first; they end with the `with` block.

    `certificate` makes the mail server want STARTTLS (`certificate.make`); clients trust it through SSL_CERT_FILE.
    """

    def __init__(self, *, certificate: Path | None = None) -> None:
        self._certificate = "" if certificate is None else str(certificate)
        self._thread: _Thread | None = None
        self._root = self._key = ""
        # Variables of the connections: AIRFLOW_CONN_SLACK_ALERTS, _SMTP_ALERTS, _SENTRY, _INTERVENTIONS.
        self.connections: dict[str, str] = {}

    @classmethod
    def attach(cls, env: Mapping[str, str]) -> Self:
        """Read and steer the simulators of a running system, given its variables."""
        sink = cls()
        sink._attach(env[INBOX])
        sink.connections = {name: env[name] for name in (SLACK, SMTP, SENTRY, ACTIONS) if name in env}
        return sink

    def __enter__(self) -> Self:
        made = {name: make() for name, make in SECRETS.items()}
        self._thread = _Thread(Settings(http_port=0, smtp_port=0, certificate=self._certificate, **made))
        self._attach(self.settings.inbox_url)
        self.connections = self.settings.connections()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    @property
    def settings(self) -> Settings:
        """Addresses and secrets; only of a sink started here."""
        if self._thread is None:
            raise RuntimeError("not started here: use .connections")
        return self._thread.settings

    # --- what arrived ----------------------------------------------------------------------------
    def slack_messages(self, *, deleted: bool = False) -> Entries:
        """Return the messages, oldest first.

        Of each: ts, thread_ts, channel, channel_name, text, blocks, attachments, files, via (api or webhook), edits
        (what was there before each edit), received_at (seconds since 1970).
        """
        return [m for m in self._json("GET", "/inbox/slack.json") if deleted or not m["deleted"]]

    def emails(self) -> Entries:
        """Return the mails, oldest first: from, to, subject, headers, text, html, attachments, received_at."""
        found: Entries = self._json("GET", "/inbox/email.json")
        return found

    def sentry_events(self) -> Entries:
        """Return the payloads of the events, oldest first; client reports and the like are in `sentry_items`."""
        return [item["payload"] for item in self.sentry_items() if item["type"] == "event"]

    def sentry_items(self) -> Entries:
        """Return all items of all envelopes: event_id, type, payload, received_at."""
        found: Entries = self._json("GET", "/inbox/sentry.json")
        return found

    def actions(self) -> Entries:
        """Return the actions in calendars and task lists, oldest first.

        Of each: system, asked (person, action, parameters), state, revision, captured, effects (how often it took
        effect or was cancelled), at (seconds since 1970).
        """
        found: Entries = self._json("GET", "/inbox/action.json")
        return found

    def file(self, file_id: str) -> bytes:
        """Return the content of a file that was uploaded to Slack."""
        return self._send("GET", f"/inbox/files/{file_id}")

    def requests(self, service: str = "") -> Entries:
        """Return what was asked, refused requests included: service, method, outcome, at."""
        return [r for r in self._json("GET", "/inbox/requests.json") if service in ("", r["service"])]

    def wait(self, condition: Callable[[Self], Any], timeout: float = 60) -> Any:
        """Wait until a condition on this sink is true, and return what it returned. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not (found := condition(self)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true after {timeout:.0f} s; requests: {self.requests()[-5:]}")
            time.sleep(0.02)
        return found

    # --- steering --------------------------------------------------------------------------------
    def behave(self, service: str, mode: str = "ok", **options: Any) -> None:
        """Choose how `slack`, `smtp`, `sentry` or `actions` behaves; modes and options: local/simulators/faults.py.

        Raises ValueError for a mode or an option that is not known.
        """
        self._json("PUT", f"/faults/{service}", {"mode": mode, **options})

    def clear(self) -> None:
        """Forget what arrived, and let all services work."""
        self._json("DELETE", "/inbox")

    # --- HTTP ------------------------------------------------------------------------------------
    def _attach(self, inbox_url: str) -> None:
        parts = urlsplit(inbox_url)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._key = parse_qs(parts.query)["key"][0]

    def _json(self, method: str, path: str, body: object = None) -> Any:
        return json.loads(self._send(method, path, None if body is None else json.dumps(body).encode()))

    def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = Request(self._root + path, body, headers, method=method)  # noqa: S310 - our own loopback address
        try:
            # A proxy for the outside world cannot reach loopback.
            with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            with error:
                raise ValueError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None


class _Thread:
    """An event loop of its own for the simulators of one test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="alert-sink", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the thread that waits for the start gets it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from local.simulators.server import Simulators

        self._loop = asyncio.get_running_loop()
        simulators = Simulators(self.settings)
        await simulators.start()
        self.settings = simulators.settings
        self._started.set()
        await self._end.wait()
        await simulators.stop()

"""Sentry, by a client of our own: Airflow's leaks local variables and passwords, and reports every try.

Connection `sentry`: the DSN as password (or as the extra `dsn`). An event carries no local variables, no stack and
nothing about the host's user; it is built from the same scrubbed message every channel gets.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from include.operations.alerts.channels.base import CONNECT_S, READ_S, NotDelivered
from include.operations.alerts.message import Message
from include.operations.errors import classify, parse_retry_after
from include.operations.scrub import scrub

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sentry_sdk.types import Event, Hint

_LEVEL: Final = {"P1": "fatal", "P2": "error", "P3": "warning", "P4": "info"}
_FLUSH_S: Final = 2.0
_LONGEST: Final = 1000


def from_connection(connection: Connection) -> Sentry:
    """Make the channel a connection describes.

    Raises:
        NotDelivered: it holds no DSN, or something else.
    """
    dsn = str(connection.password or connection.extra_dejson.get("dsn") or "").strip()
    if not dsn:
        raise NotDelivered("NO_DSN")
    parts = urlsplit(dsn)
    if parts.scheme not in ("http", "https") or not (parts.hostname and parts.username and parts.path.strip("/")):
        raise NotDelivered("BAD_DSN")
    return Sentry(dsn)


@dataclass(frozen=True, slots=True)
class Sentry:
    """One project."""

    dsn: str
    name: str = "sentry"
    edits: bool = False

    def send(self, message: Message, *, key: str, place: Mapping[str, Any], edit: bool) -> dict[str, Any]:  # noqa: ARG002
        """Send; see `Channel.send`. Sentry drops a second event of the same id."""
        import sentry_sdk

        logging.getLogger("sentry_sdk.errors").setLevel(logging.CRITICAL)
        outcome = _Outcome()
        # A client for each event: one made before a fork would wait for a thread that is not there.
        client = sentry_sdk.Client(
            dsn=self.dsn,
            transport=_transport(outcome),
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            max_request_body_size="never",
            server_name="",
            environment=message.environment or None,
            release=message.release or None,
            before_send=scrub_event,
            send_client_reports=False,
        )
        event_id = uuid.uuid5(uuid.NAMESPACE_URL, key).hex
        try:
            client.capture_event(cast("Event", event_of(message, event_id)))
            client.flush(timeout=_FLUSH_S)
        finally:
            client.close(timeout=0)
        outcome.check()
        return {"event_id": event_id}


def event_of(message: Message, event_id: str) -> dict[str, Any]:
    """Build the event."""
    return {
        "event_id": event_id,
        "level": _LEVEL[message.severity],
        "logger": "alerts",
        "platform": "python",
        "message": {"formatted": message.title},
        "transaction": f"{message.dag_id}.{message.task_id}".strip("."),
        "fingerprint": [message.dag_id, message.task_id, message.error_class],
        "tags": {
            "dag_id": message.dag_id,
            "task_id": message.task_id,
            "error_class": message.error_class,
            "code": message.code,
            "severity": message.severity,
            "error_fingerprint": message.fingerprint,
        },
        "contexts": {"alert": {**message.facts, **message.links}},
        "extra": {
            "detail": list(message.detail),
            "impact": message.impact,
            "what_to_do": message.what_to_do,
            "excerpt": message.excerpt,
            "runbook": message.runbook,
            "run_id": message.run_id,
        },
    }


def scrub_event(event: Event, hint: Hint) -> Event | None:  # noqa: ARG001
    """Scrub every text of an event: the last look before it leaves."""
    return cast("Event", {name: value if name in _OURS else _scrubbed(value) for name, value in event.items()})


# Names, ids and times of the SDK's own making; the scrubber would take some of them for phone numbers.
_OURS: Final = frozenset({"event_id", "timestamp", "sdk", "level", "platform", "modules"})


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value, limit=_LONGEST)
    if isinstance(value, Mapping):
        return {name: _scrubbed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(each) for each in value]
    return value


class _Outcome:
    """What became of the event: the SDK itself tells nobody."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.error = ""
        self.retry_after: timedelta | None = None

    def check(self) -> None:
        if self.error:
            raise NotDelivered(self.error)
        if self.status is None:
            raise NotDelivered("TIMEOUT")
        if not 200 <= self.status < 300:
            raise NotDelivered(f"HTTP_{self.status}", retry_after=self.retry_after)


def _transport(outcome: _Outcome) -> type[Any]:
    """Sentry's own transport with short time-outs, which writes down how it went."""
    import urllib3
    from sentry_sdk.transport import HttpTransport

    class Transport(HttpTransport):
        def _get_pool_options(self) -> dict[str, Any]:
            timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
            return {**super()._get_pool_options(), "timeout": timeout, "retries": False}

        def _request(self, *arguments: Any, **named: Any) -> Any:
            try:
                response = super()._request(*arguments, **named)
            except Exception as error:
                outcome.error = classify(error).code
                raise
            outcome.retry_after = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            outcome.status = response.status
            return response

    return Transport

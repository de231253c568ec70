"""The alert channels: reached and logged in, without sending anything. Each is optional; a missing one is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from include.operations.doctor.finding import Finding, fail, failed, ok, warn
from include.operations.scrub import register_secrets

if TYPE_CHECKING:
    from airflow.sdk import Connection

SLACK, SMTP, SENTRY = "slack_alerts", "smtp_alerts", "sentry"
_TIMEOUT_S: Final = 5
_NEEDED_SCOPE: Final = "chat:write"
# Scopes with which a stolen token reads or rules the workspace.
_DANGEROUS_SCOPES: Final = (
    "admin",
    "channels:history",
    "groups:history",
    "im:history",
    "mpim:history",
    "users:read.email",
)


def check() -> Iterator[Finding]:
    """Every channel, and that there is at least one."""
    missing = []
    for conn_id, probe in _PROBES.items():
        connection = _find(conn_id)
        if connection is None:
            missing.append(conn_id)
            continue
        register_secrets(connection.password)
        try:
            yield from probe(connection)
        except Exception as error:  # noqa: BLE001 - an error is what the doctor is asked to find
            yield failed(conn_id, error)
    if len(missing) == len(_PROBES):
        yield warn("alerts", "no channel: a failure tells nobody", "define slack_alerts, smtp_alerts or sentry")
    elif missing:
        yield ok("alerts", f"not configured and left out: {', '.join(missing)}")


def _find(conn_id: str) -> Connection | None:
    from airflow.sdk import Connection

    try:
        found: Connection = Connection.get(conn_id)
    except Exception as error:
        if type(error).__name__ == "AirflowNotFoundException":
            return None
        raise
    return found


def _slack(connection: Connection) -> Iterator[Finding]:
    if connection.conn_type == "slackwebhook":
        yield _webhook(connection.password or "")
        return
    from slack_sdk import WebClient

    base_url = connection.extra_dejson.get("base_url") or WebClient.BASE_URL
    client = WebClient(token=connection.password, base_url=base_url, timeout=_TIMEOUT_S)
    answer = client.auth_test()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    scopes = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip()}
    if scopes and _NEEDED_SCOPE not in scopes:
        yield fail(
            SLACK, f"the bot lacks the scope {_NEEDED_SCOPE}", "add it on the app's page, and install the app anew"
        )
    elif excess := sorted(scope for scope in scopes if scope.startswith(_DANGEROUS_SCOPES)):
        found = f"the bot may do more than send alerts: {', '.join(excess)}"
        yield warn(SLACK, found, "take these scopes from the app, and install it anew")
    else:
        yield ok(SLACK, f"logged in as {answer.get('user')} of {answer.get('team')}")


def _webhook(url: str) -> Finding:
    """Post a message without a text, which Slack refuses only after it has found the webhook."""
    status, answer = _post(url, b"{}", {"Content-Type": "application/json"})
    if status == 400 and answer in {"no_text", "invalid_payload", "missing_text_or_fallback_or_attachments"}:
        return ok(SLACK, "the webhook is there")
    return fail(SLACK, f"the webhook answers {status} {answer[:60]}", "make a new webhook on the app's page")


def _smtp(connection: Connection) -> Iterator[Finding]:
    import smtplib

    extra = connection.extra_dejson
    host, secure = connection.host or "localhost", str(extra.get("disable_ssl")).lower() != "true"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with kind(host, connection.port or (465 if secure else 25), timeout=_TIMEOUT_S) as server:
        if not secure and str(extra.get("disable_tls")).lower() != "true":
            server.starttls()
            secure = True
        if connection.login:
            server.login(connection.login, connection.password or "")
        server.noop()
    yield ok(
        SMTP,
        f"reached, {'encrypted' if secure else 'not encrypted'}, {'logged in' if connection.login else 'no login'}",
    )


def _sentry(connection: Connection) -> Iterator[Finding]:
    """Post an envelope without items, which Sentry accepts and forgets."""
    from sentry_sdk.utils import Dsn

    dsn = Dsn(connection.password or connection.host or "")
    auth = dsn.to_auth("doctor")
    status, _ = _post(auth.get_api_url(), b"{}\n", {"X-Sentry-Auth": auth.to_header()})
    if status == 200:
        yield ok(SENTRY, f"project {dsn.project_id} at {dsn.host} accepts us")
    else:
        yield fail(SENTRY, f"HTTP {status} from {dsn.host}", "copy the DSN from the project's settings again")


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    from http.client import HTTPConnection, HTTPSConnection

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(200).decode(errors="replace").strip()
    finally:
        connection.close()


_PROBES: Final[dict[str, Callable[[Connection], Iterator[Finding]]]] = {SLACK: _slack, SMTP: _smtp, SENTRY: _sentry}

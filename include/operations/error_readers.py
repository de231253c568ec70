"""What an exception carries beside words: status, code, SQLSTATE, Retry-After. One reader for each kind of library.

A reader returns verdict and code, or None when the exception carries nothing that it knows. It never raises.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from include.operations import error_rules as rules
from include.operations import error_services as services
from include.operations.error_rules import Verdict

Found = tuple[Verdict, str] | None

_GOOGLE_MIDNIGHT: Final = "America/Los_Angeles"
# Salesforce counts the last 24 hours, so some calls are free again at any time; nobody knows how many before asking.
_ASK_AGAIN: Final = timedelta(hours=1)


def peek(thing: object, name: str) -> Any:
    """The attribute, or None when there is none or when it cannot be read."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a property of a foreign class may raise anything; then it has no value
        return None


def _of_status(status: object, first: Mapping[int, Verdict] | None = None) -> Found:
    if not isinstance(status, int):
        return None
    tables = (first or {}, rules.HTTP_STATUS)
    verdict = next((table[status] for table in tables if status in table), rules.HTTP_HUNDREDS.get(status // 100))
    return (verdict, f"HTTP_{int(status)}") if verdict else None


def _read_http(exc: BaseException) -> Found:
    response = peek(exc, "response")
    for thing, name in ((response, "status_code"), (exc, "status"), (exc, "code")):
        if isinstance(status := peek(thing, name), int):
            return _of_status(status)
    return None


def _read_sqlstate(exc: BaseException) -> Found:
    state = peek(exc, "sqlstate") or peek(exc, "pgcode")
    if not isinstance(state, str) or not re.fullmatch(r"[0-9A-Z]{5}", state):
        return _read_failed_login(exc)
    verdict = rules.SQLSTATE.get(state) or rules.SQLSTATE_CLASS.get(state[:2]) or rules.DATABASE_FOR_GOOD
    return verdict, state


def _read_failed_login(exc: BaseException) -> Found:
    """Tell a refused login from an unreachable server: libpq gives no SQLSTATE for either (see `postgres_connect`).

    It does say whether it came as far as the password. A missing database, or slots kept for superusers, look the
    same from here, since the server reports them after the login.
    """
    connection = peek(exc, "pgconn")
    asked = peek(connection, "needs_password") is True or peek(connection, "used_password") is True
    return (rules.AUTH, "LOGIN_REFUSED") if asked and peek(connection, "backend_pid") == 0 else None


def _read_neo4j(exc: BaseException) -> Found:
    code = peek(exc, "code")
    if not isinstance(code, str) or code == rules.NEO4J_NO_CODE or not re.fullmatch(r"Neo(\.[A-Za-z0-9]+){3}", code):
        return None
    verdict = rules.NEO4J_CODE.get(code)
    if verdict is None:
        prefixes = sorted(rules.NEO4J_PREFIX, key=len, reverse=True)
        verdict = next((rules.NEO4J_PREFIX[prefix] for prefix in prefixes if code.startswith(prefix)), None)
    return (verdict, code) if verdict else None


def _read_redis(exc: BaseException) -> Found:
    """Read the reply's code word: kept by redis-py for some codes, else the first word of the reply."""
    word = peek(exc, "status_code")
    if word not in rules.REDIS_CODE:
        text = exc.args[0] if exc.args and isinstance(exc.args[0], str) else ""
        # In a pipeline redis-py puts its own frame before the reply.
        word = text.rpartition(" of pipeline caused error: ")[2].partition(" ")[0]
    return (rules.REDIS_CODE[word], word) if word in rules.REDIS_CODE else None


def _read_errno(exc: BaseException) -> Found:
    number = peek(exc, "errno")
    verdict = rules.ERRNO.get(number) if isinstance(number, int) else None
    return (verdict, errno.errorcode[number]) if verdict else None


def _read_airflow_api(exc: BaseException) -> Found:
    kind = peek(peek(peek(exc, "error"), "error"), "value")
    verdict = rules.AIRFLOW_API.get(kind) if isinstance(kind, str) else None
    return (verdict, kind) if verdict else None


def _read_salesforce(exc: BaseException) -> Found:
    """The errorCode of the reply, else its HTTP status; a failed login carries its code as an attribute."""
    own = peek(exc, "code")
    for code, message in [(own, "")] if isinstance(own, str) else _salesforce_errors(peek(exc, "content")):
        verdict = services.SALESFORCE_CODE.get(code)
        if verdict is rules.RATE_LIMIT and message.partition(" ")[0] in services.SALESFORCE_DAILY:
            verdict = rules.DAILY_LIMIT
        if verdict is not None:
            return verdict, code
    return _of_status(own if isinstance(own, int) else peek(exc, "status"), services.SALESFORCE_STATUS)


def _salesforce_errors(content: object) -> Iterator[tuple[str, str]]:
    """Code and message of each error: a list of objects, of OAuth one object."""
    for each in content if isinstance(content, list) else [content]:
        if isinstance(each, dict):
            code = each.get("errorCode") or each.get("error")
            yield str(code), str(each.get("message", ""))


def _read_google(exc: BaseException) -> Found:
    """The reason of the reply, else its HTTP status."""
    status = peek(peek(exc, "resp"), "status")
    for reason, quota in _google_reasons(peek(exc, "content")):
        verdict = services.GOOGLE_REASON.get(reason)
        if verdict is rules.RATE_LIMIT and services.GOOGLE_DAILY in quota:
            verdict = rules.DAILY_LIMIT
        if verdict is not None:
            return verdict, reason
    return _of_status(status)


def _google_reasons(content: object) -> Iterator[tuple[str, str]]:
    """Reason and name of the quota, in the new form of an error, the old one, and as gRPC status."""
    try:
        error = json.loads(content)["error"] if isinstance(content, bytes | str) else {}
        details = [*error.get("details", ()), *error.get("errors", ())]
        for each in details:
            yield str(each.get("reason")), str((each.get("metadata") or {}).get("quota_limit", ""))
        yield str(error.get("status")), ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return


def _read_google_auth(exc: BaseException) -> Found:
    """Google's own word on whether asking again can help."""
    return (rules.NETWORK, type(exc).__name__) if peek(exc, "retryable") is True else None


def _read_slack(exc: BaseException) -> Found:
    """The error of the reply; everything Slack refuses by name and we do not know is a wrong request."""
    response = peek(exc, "response")
    get = peek(response, "get")
    word = _quietly(get, "error") if callable(get) else None
    if isinstance(word, str) and re.fullmatch(r"[a-z_]{3,60}", word):
        return services.SLACK_ERROR.get(word, rules.VALIDATION), word
    return _of_status(peek(response, "status_code"))


def _read_smtp(exc: BaseException) -> Found:
    """The reply code. Of several recipients that were all refused, one that may be accepted later decides."""
    codes = [peek(exc, "smtp_code")]
    if isinstance(refused := peek(exc, "recipients"), dict):
        codes += [reply[0] for reply in refused.values() if isinstance(reply, tuple) and reply]
    for code in sorted(code for code in codes if isinstance(code, int)):
        verdict = services.SMTP_CODE.get(code) or services.SMTP_HUNDREDS.get(code // 100)
        if verdict is not None:
            return verdict, f"SMTP_{code}"
    return None


READERS: Final[dict[str, Callable[[BaseException], Found]]] = {
    "http": _read_http,
    "sqlstate": _read_sqlstate,
    "neo4j": _read_neo4j,
    "redis": _read_redis,
    "errno": _read_errno,
    "airflow_api": _read_airflow_api,
    "salesforce": _read_salesforce,
    "google": _read_google,
    "google_auth": _read_google_auth,
    "slack": _read_slack,
    "smtp": _read_smtp,
}


def retry_after(exc: BaseException, now: datetime) -> timedelta | None:
    """What the reply asks to wait; None when it does not."""
    for reply in (peek(exc, "response"), peek(exc, "resp"), exc):
        # googleapiclient's reply is itself the mapping of headers.
        for headers in (peek(reply, "headers"), reply):
            get = peek(headers, "get")
            for name in ("Retry-After", "retry-after"):
                if callable(get) and (found := parse_retry_after(_quietly(get, name), now)) is not None:
                    return found
    return None


def _quietly(get: Callable[[str], object], name: str) -> object:
    try:
        return get(name)
    except Exception:  # noqa: BLE001 - of a foreign object; without a readable value there is none
        return None


def parse_retry_after(value: object, now: datetime) -> timedelta | None:
    """Read a Retry-After header, seconds or an HTTP date; None when it is neither. A moment past is no wait."""
    if not isinstance(value, str):
        return None
    value = value.strip()
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return timedelta(seconds=float(value))
        moment = parsedate_to_datetime(value)
        # A date without a zone is UTC by the HTTP standard.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(moment - now, timedelta(0))
    except (ValueError, OverflowError):
        return None


def until_reset(service: str | None, now: datetime) -> timedelta:
    """How long a service refuses after its daily limit: Google until midnight in California, others an hour at a time.

    Salesforce's limit is one of the last 24 hours, so after an hour one call asks again.
    """
    if service != "google":
        return _ASK_AGAIN
    from zoneinfo import ZoneInfo

    here = now.astimezone(ZoneInfo(_GOOGLE_MIDNIGHT))
    # The clock on the wall decides, so that a day of 23 or 25 hours ends at midnight too.
    midnight = datetime.combine(here.date() + timedelta(days=1), time(), tzinfo=here.tzinfo)
    return midnight.astimezone(UTC) - now.astimezone(UTC)

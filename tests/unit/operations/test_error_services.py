"""Errors of Salesforce, Google, Slack, mail and further HTTP clients, raised by the real libraries' classes."""

import json
import multiprocessing
import smtplib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import aiohttp
import aiohttp.client_exceptions
import google.api_core.exceptions as api_core
import google.auth.exceptions as google_auth
import httplib2
import pytest
import requests
import simple_salesforce.exceptions as salesforce
import slack_sdk.errors
from googleapiclient.errors import HttpError
from simple_salesforce.util import exception_handler
from slack_sdk.web import SlackResponse

from include.operations.errors import DailyLimitReached, ErrorClass, classify
from include.operations.retry import retry_delay

AUTH, RATE, NETWORK, DATABASE, VALIDATION, TIMEOUT, UNKNOWN = ErrorClass
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sf(status, content):
    """What simple_salesforce raises for a reply."""
    reply = requests.Response()
    reply.status_code, reply.url = status, "https://example.test/query"
    reply._content = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    with pytest.raises(salesforce.SalesforceError) as caught:
        exception_handler(reply, "query")
    return caught.value


def sf_code(status, code, message="hunter2"):
    return sf(status, [{"message": message, "errorCode": code}])


def google(status, error=None, headers=None):
    reply = httplib2.Response({"status": str(status), **(headers or {})})
    return HttpError(reply, json.dumps({"error": error}).encode() if error else b"<html>hunter2</html>")


def quota(name):
    detail = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_limit": name}}
    return google(429, {"message": "hunter2", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x"}, detail]})


def slack(word=None, status=200, headers=None):
    # What the client makes of a page of HTML.
    data = {"ok": False, "error": word or "Received a response in a non-JSON format: <html>hunter2"}
    response = SlackResponse(
        client=None,
        http_verb="POST",
        api_url="https://example.test",
        req_args={},
        data=data,
        headers=headers or {},
        status_code=status,
    )
    return slack_sdk.errors.SlackApiError("hunter2", response)


CASES = [
    # Salesforce: the errorCode first, then the status
    (sf_code(401, "INVALID_SESSION_ID"), AUTH, False, "INVALID_SESSION_ID"),
    (sf_code(403, "API_DISABLED_FOR_ORG"), AUTH, False, "API_DISABLED_FOR_ORG"),
    (sf_code(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."), RATE, True, None),
    (sf_code(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), RATE, False, "REQUEST_LIMIT_EXCEEDED"),
    (sf_code(400, "LIMIT_EXCEEDED"), RATE, False, "LIMIT_EXCEEDED"),
    (sf_code(400, "QUERY_TIMEOUT"), TIMEOUT, True, "QUERY_TIMEOUT"),
    (sf_code(400, "INVALID_QUERY_LOCATOR"), TIMEOUT, True, "INVALID_QUERY_LOCATOR"),
    (sf_code(400, "UNABLE_TO_LOCK_ROW"), DATABASE, True, "UNABLE_TO_LOCK_ROW"),
    (sf_code(400, "INVALID_FIELD"), VALIDATION, False, "INVALID_FIELD"),
    (sf_code(404, "NOT_FOUND"), VALIDATION, False, "NOT_FOUND"),
    (sf_code(503, "SERVER_UNAVAILABLE"), NETWORK, True, "SERVER_UNAVAILABLE"),
    (sf_code(400, "A_NEW_CODE"), VALIDATION, False, "HTTP_400"),
    (sf_code(403, "A_NEW_CODE"), AUTH, False, "HTTP_403"),
    (sf(503, "<html>hunter2</html>"), NETWORK, True, "HTTP_503"),
    (sf(420, ""), NETWORK, True, "HTTP_420"),
    (sf(406, "<html>"), NETWORK, True, "HTTP_406"),
    (sf(400, {"error": "invalid_client_id", "error_description": "hunter2"}), AUTH, False, "invalid_client_id"),
    (salesforce.SalesforceAuthenticationFailed("invalid_grant", "hunter2"), AUTH, False, "invalid_grant"),
    (salesforce.SalesforceAuthenticationFailed("SERVER_UNAVAILABLE", "x"), NETWORK, True, "SERVER_UNAVAILABLE"),
    (salesforce.SalesforceAuthenticationFailed(503, None), NETWORK, True, "HTTP_503"),
    (salesforce.SalesforceAuthenticationFailed(None, None), AUTH, False, "HTTP_401"),
    (salesforce.SalesforceBulkV2ExtractError("hunter2"), NETWORK, True, "SalesforceBulkV2ExtractError"),
    # Google: the reason first, because a spent quota answers 403 as well
    (quota("ReadRequestsPerMinutePerUser"), RATE, True, "RATE_LIMIT_EXCEEDED"),
    (quota("ReadRequestsPerDayPerProject"), RATE, False, "RATE_LIMIT_EXCEEDED"),
    (google(403, {"message": "x", "errors": [{"reason": "userRateLimitExceeded"}]}), RATE, True, None),
    (google(403, {"message": "x", "errors": [{"reason": "dailyLimitExceeded"}]}), RATE, False, "dailyLimitExceeded"),
    (google(403, {"message": "x", "status": "PERMISSION_DENIED"}), AUTH, False, "HTTP_403"),
    (google(404, {"message": "x", "status": "NOT_FOUND"}), VALIDATION, False, "HTTP_404"),
    (google(503), NETWORK, True, "HTTP_503"),
    (google(500, {"message": "x", "errors": [{"reason": "backendError"}]}), NETWORK, True, "backendError"),
    (google_auth.RefreshError("hunter2"), AUTH, False, "RefreshError"),
    (google_auth.RefreshError("hunter2", retryable=True), NETWORK, True, "RefreshError"),
    (google_auth.DefaultCredentialsError("x"), AUTH, False, "DefaultCredentialsError"),
    (google_auth.TransportError(ConnectionResetError(104, "x")), NETWORK, True, "ECONNRESET"),
    (api_core.TooManyRequests("x"), RATE, True, "HTTP_429"),
    (api_core.Forbidden("x"), AUTH, False, "HTTP_403"),
    (api_core.RetryError("x", cause=None), TIMEOUT, True, "RetryError"),
    (httplib2.ServerNotFoundError("x"), NETWORK, True, "ServerNotFoundError"),
    # Slack
    (slack("ratelimited", 429, {"Retry-After": "30"}), RATE, True, "ratelimited"),
    (slack("invalid_auth"), AUTH, False, "invalid_auth"),
    (slack("token_revoked"), AUTH, False, "token_revoked"),
    (slack("channel_not_found"), VALIDATION, False, "channel_not_found"),
    (slack("invalid_blocks"), VALIDATION, False, "invalid_blocks"),
    (slack("internal_error"), NETWORK, True, "internal_error"),
    (slack("request_timeout"), TIMEOUT, True, "request_timeout"),
    (slack(None, 503), NETWORK, True, "HTTP_503"),
    (slack_sdk.errors.SlackRequestError("x"), VALIDATION, False, "SlackRequestError"),
    (slack_sdk.errors.SlackTokenRotationError(slack("internal_error")), NETWORK, True, "internal_error"),
    # Mail
    (smtplib.SMTPAuthenticationError(535, b"hunter2"), AUTH, False, "SMTP_535"),
    (smtplib.SMTPSenderRefused(530, b"x", "a@example.test"), AUTH, False, "SMTP_530"),
    (smtplib.SMTPDataError(451, b"x"), NETWORK, True, "SMTP_451"),
    (smtplib.SMTPDataError(452, b"x"), RATE, True, "SMTP_452"),
    (smtplib.SMTPDataError(554, b"x"), VALIDATION, False, "SMTP_554"),
    (smtplib.SMTPConnectError(421, b"x"), NETWORK, True, "SMTP_421"),
    (smtplib.SMTPServerDisconnected("x"), NETWORK, True, "SMTPServerDisconnected"),
    (smtplib.SMTPRecipientsRefused({"a@example.test": (550, b"x")}), VALIDATION, False, "SMTP_550"),
    (smtplib.SMTPRecipientsRefused({"a": (550, b"x"), "b": (450, b"x")}), NETWORK, True, "SMTP_450"),
    (smtplib.SMTPNotSupportedError("x"), VALIDATION, False, "SMTPNotSupportedError"),
    # Others
    (aiohttp.ClientResponseError(SimpleNamespace(real_url="x"), (), status=429), RATE, True, "HTTP_429"),
    (aiohttp.ServerTimeoutError(), TIMEOUT, True, "ServerTimeoutError"),
    (aiohttp.ServerDisconnectedError(), NETWORK, True, "ServerDisconnectedError"),
    (multiprocessing.TimeoutError(), TIMEOUT, True, "TimeoutError"),
]


@pytest.mark.parametrize(("error", "error_class", "transient", "code"), CASES)
def test_classes(error, error_class, transient, code):
    found = classify(error, now=NOW)
    assert (found.error_class, found.transient) == (error_class, transient)
    assert code is None or found.code == code
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("error", "service"),
    [
        (sf_code(400, "INVALID_FIELD"), "salesforce"),
        (google(503), "google"),
        (google_auth.RefreshError("x"), "google"),
        (slack("invalid_auth"), "slack"),
        (smtplib.SMTPServerDisconnected("x"), "smtp"),
        (TimeoutError(), None),
    ],
)
def test_services(error, service):
    assert classify(error).service == service


def test_a_daily_limit_waits_for_its_reset_and_is_not_retried():
    salesforce_limit = classify(sf_code(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), now=NOW)
    assert salesforce_limit.retry_after == HOUR
    assert retry_delay(salesforce_limit, 1, lambda: 0.0) is None
    assert "until the limit is reset" in salesforce_limit.what_to_do
    # Noon in Greenwich is four in the morning in California.
    assert classify(quota("XPerDay"), now=NOW).retry_after == 20 * HOUR
    # The day clocks go forward has 23 hours.
    assert classify(quota("XPerDay"), now=datetime(2026, 3, 8, 8, tzinfo=UTC)).retry_after == 23 * HOUR


def test_the_services_own_word_on_when_to_come_back():
    assert classify(slack("ratelimited", 429, {"Retry-After": "30"})).retry_after == timedelta(seconds=30)
    assert classify(slack("ratelimited", 429, {"retry-after": "30"})).retry_after == timedelta(seconds=30)
    assert classify(google(429, headers={"retry-after": "7"})).retry_after == timedelta(seconds=7)
    with pytest.raises(DailyLimitReached) as caught:
        raise DailyLimitReached("x", what_to_do="y", retry_after=2 * HOUR) from sf_code(403, "X")
    found = classify(caught.value)
    assert (found.error_class, found.service, found.retry_after) == (RATE, "salesforce", 2 * HOUR)


@pytest.mark.parametrize("content", ["", "null", "[]", "[1]", '{"error": 3}', '{"error": {"details": [3]}}', "\udcff"])
def test_odd_replies_never_raise(content):
    error = HttpError(httplib2.Response({"status": "403"}), content.encode(errors="replace"))
    assert classify(error).code == "HTTP_403"
    reply = salesforce.SalesforceRefusedRequest(
        "u", 403, "r", json.loads(content) if content.startswith(("[", "{")) else content
    )
    assert classify(reply).code == "HTTP_403"

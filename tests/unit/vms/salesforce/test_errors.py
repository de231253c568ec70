"""Errors of the client tell what they may, and survive the way to another process."""

import pickle

import pytest

from include.operations.errors import ErrorClass, classify
from include.vms.salesforce.errors import SalesforceFailed, Unreachable


def failed(status, content, **headers):
    return SalesforceFailed("GET /services/data/v62.0/query", status, content, headers)


def one(code, message="told"):
    return [{"errorCode": code, "message": message}]


@pytest.mark.parametrize(
    ("error", "error_class", "transient", "code"),
    [
        (failed(401, one("INVALID_SESSION_ID")), ErrorClass.AUTH, False, "INVALID_SESSION_ID"),
        (failed(400, {"error": "invalid_grant"}), ErrorClass.AUTH, False, "invalid_grant"),
        (failed(429, None), ErrorClass.RATE_LIMIT, True, "HTTP_429"),
        (failed(406, None), ErrorClass.NETWORK, True, "HTTP_406"),
        (failed(420, None), ErrorClass.NETWORK, True, "HTTP_420"),
        (failed(503, None), ErrorClass.NETWORK, True, "HTTP_503"),
        (failed(400, one("QUERY_TIMEOUT")), ErrorClass.TIMEOUT, True, "QUERY_TIMEOUT"),
        (failed(400, one("MALFORMED_QUERY")), ErrorClass.VALIDATION, False, "MALFORMED_QUERY"),
        (failed(400, one("LIMIT_EXCEEDED")), ErrorClass.RATE_LIMIT, False, "LIMIT_EXCEEDED"),
        (
            failed(403, one("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")),
            ErrorClass.RATE_LIMIT,
            False,
            "REQUEST_LIMIT_EXCEEDED",
        ),
        (
            failed(403, one("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")),
            ErrorClass.RATE_LIMIT,
            True,
            "REQUEST_LIMIT_EXCEEDED",
        ),
        (Unreachable("no reply"), ErrorClass.NETWORK, True, "Unreachable"),
    ],
)
def test_class(error, error_class, transient, code):
    found = classify(error)
    assert (found.error_class, found.transient, found.code, found.service) == (
        error_class,
        transient,
        code,
        "salesforce",
    )


def test_text_of_salesforce_is_shown_for_codes_that_speak_of_our_query_only():
    assert "No such column" in str(failed(400, one("INVALID_FIELD", "No such column 'X'")))
    assert "Jane" not in str(failed(400, one("FIELD_INTEGRITY_EXCEPTION", "Jane Doe is no value")))


def test_survives_the_way_to_another_process():
    again = pickle.loads(pickle.dumps(failed(503, one("SERVER_UNAVAILABLE"), **{"Retry-After": "3"})))  # noqa: S301 - ours
    assert (again.status, again.error_code, again.headers["Retry-After"]) == (503, "SERVER_UNAVAILABLE", "3")

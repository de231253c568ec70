"""Scripts of misbehaviour: what a request is, and that every kind is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.salesforce.behaviours import KINDS, OPERATIONS, call_of

_PAGE = Path(__file__).parents[4] / "docs" / "simulators-salesforce.md"


def test_every_kind_and_operation_is_documented() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    assert {name for name in KINDS | OPERATIONS if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    ("method", "path", "operation", "named"),
    [
        ("POST", "/services/oauth2/token", "token", ""),
        ("GET", "/services/data/v62.0/query/", "query", "Contact"),
        ("GET", "/services/data/v62.0/queryAll", "query_all", "Contact"),
        ("GET", "/services/data/v62.0/query/01g-2000", "query_more", ""),
        ("GET", "/services/data/v62.0/sobjects/Account/describe", "describe", "Account"),
        ("GET", "/services/data/v62.0/sobjects/Account/001", "record", "Account"),
        ("POST", "/services/data/v62.0/composite", "composite", ""),
        ("POST", "/services/data/v62.0/composite/batch", "batch", ""),
        ("POST", "/services/data/v62.0/jobs/query", "job_create", "Contact"),
        ("GET", "/services/data/v62.0/jobs/query/750/results", "results", ""),
        ("GET", "/services/data/v62.0/jobs/query/750/resultPages", "result_pages", ""),
        ("DELETE", "/services/data/v62.0/jobs/query/750", "job_delete", ""),
        ("GET", "/health", "", ""),
    ],
)
def test_what_a_request_is(method: str, path: str, operation: str, named: str) -> None:
    soql = "SELECT Id\nfrom Contact" if named == "Contact" else ""
    call = call_of(method, path, soql)
    assert (call.operation, call.object) == (operation, named)

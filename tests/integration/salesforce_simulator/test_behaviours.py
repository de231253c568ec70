"""Scripts of misbehaviour, as a client meets them."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from local.salesforce.testing import SalesforceServer

ROWS = 30


@pytest.fixture
def job(salesforce: SalesforceServer, client: httpx.Client) -> str:
    """A complete job of 30 rows whose texts hold line breaks and quotes."""
    salesforce.store.insert_many("Account", [{"Name": f'The "{n}"\nDistrict, é'} for n in range(ROWS)])
    body = {"operation": "query", "query": "SELECT Id, Name, SystemModstamp FROM Account"}
    made: str = client.post("/jobs/query", json=body).json()["id"]
    assert client.get(f"/jobs/query/{made}").json()["state"] == "JobComplete"
    return made


def page(client: httpx.Client, job: str, first: int = 0) -> httpx.Response:
    locator = {0: {}, 10: {"locator": "MTA"}, 20: {"locator": "MjA"}}[first]
    return client.get(f"/jobs/query/{job}/results", params={"maxRecords": 10, **locator})


def parsed(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def codes(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()[0]["errorCode"]


def test_a_script_waits_counts_and_goes_on(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave(
        {"kind": "unavailable", "on": "limits", "after": 2, "times": 2},
        {"kind": "ok", "on": "limits", "times": 1},
        {"kind": "rate_limit", "on": "limits", "retry_after": 7},
    )
    found = [client.get("/limits") for _ in range(7)]
    assert [answer.status_code for answer in found] == [200, 200, 503, 503, 200, 429, 200]
    assert found[5].headers["Retry-After"] == "7"
    assert client.get("/sobjects").status_code == 200


def test_only_one_object(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "server_error", "object": "contact", "times": None})
    count = {name: {"q": f"SELECT COUNT() FROM {name}"} for name in ("Account", "Contact")}
    assert client.get("/query", params=count["Account"]).status_code == 200
    assert client.get("/query", params=count["Contact"]).status_code == 500
    assert client.get("/sobjects/Contact/describe").status_code == 500
    salesforce.behave()
    assert client.get("/query", params=count["Contact"]).status_code == 200


def test_one_request_by_its_header(client: httpx.Client) -> None:
    asked = {"X-Simulator-Behave": '{"kind": "forbidden"}'}
    assert codes(client.get("/limits", headers=asked)) == (403, "INSUFFICIENT_ACCESS")
    assert client.get("/limits").status_code == 200
    assert client.get("/limits", headers={"X-Simulator-Behave": '{"kind": "magic"}'}).status_code == 400


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "magic"},
        {"kind": "cut", "on": "moon"},
        {"kind": "cut", "speed": 1},
        {"kind": "nul"},
        {"kind": "ok", "times": 0},
    ],
)
def test_a_wrong_step_is_refused(salesforce: SalesforceServer, step: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="400"):
        salesforce.behave(step)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("unauthorized", 401, "INVALID_SESSION_ID"),
        ("bad_auth_header", 401, "INVALID_AUTH_HEADER"),
        ("total_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("concurrent_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("query_timeout", 400, "QUERY_TIMEOUT"),
        ("metering", 400, "TXN_SECURITY_METERING_ERROR"),
        ("unavailable", 503, "SERVER_UNAVAILABLE"),
    ],
)
def test_refusals(salesforce: SalesforceServer, client: httpx.Client, kind: str, status: int, code: str) -> None:
    salesforce.behave({"kind": kind})
    assert codes(client.get("/limits")) == (status, code)


def test_refusals_without_json(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "not_acceptable"}, {"kind": "enhance_calm"}, {"kind": "server_error", "body": "html"})
    found = [client.get("/limits") for _ in range(3)]
    assert [answer.status_code for answer in found] == [406, 420, 500]
    assert [answer.text.startswith("<html>") for answer in found] == [True, False, True]
    assert found[1].content == b""


def test_a_date_in_retry_after(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "rate_limit", "retry_after": "date:90"})
    ahead = parsedate_to_datetime(client.get("/limits").headers["Retry-After"]) - datetime.now(UTC)
    assert ahead.total_seconds() <= 90


def test_a_token_that_ends_stays_ended(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    salesforce.behave({"kind": "expire_token", "on": "results", "after": 1})
    assert [page(client, job).status_code for _ in range(3)] == [200, 401, 401]
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    assert page(client, job).status_code == 200


@pytest.mark.parametrize("kind", ["reset", "drop", "lose_reply"])
def test_connections_end(salesforce: SalesforceServer, client: httpx.Client, kind: str) -> None:
    salesforce.behave({"kind": kind, "on": "record"})
    with pytest.raises(httpx.TransportError):
        client.post("/sobjects/Account", json={"Name": "x"})
    # With lose_reply it was done, and the client cannot know.
    assert len(salesforce.store.rows("Account")) == (1 if kind == "lose_reply" else 0)
    assert salesforce.requests("/sobjects")[-1]["status"] == 0
    assert client.get("/limits").status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "identity"])
@pytest.mark.parametrize("inside", ["quotes", "row"])
def test_a_page_breaks_off(
    salesforce: SalesforceServer, client: httpx.Client, job: str, inside: str, coding: str
) -> None:
    client.headers["Accept-Encoding"] = coding
    whole = page(client, job)
    salesforce.behave({"kind": "cut", "on": "results", "inside": inside})
    content = bytearray()

    def read() -> None:
        with client.stream("GET", f"/jobs/query/{job}/results", params={"maxRecords": 10}) as answer:
            for piece in answer.iter_raw():
                content.extend(piece)

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    if coding == "identity":
        assert content
        assert whole.content.startswith(content)
        assert (content.count(b'"') % 2 == 1) is (inside == "quotes")
    assert page(client, job).content == whole.content


def test_a_page_ends_too_early_and_nobody_says_so(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    whole = page(client, job)
    salesforce.behave({"kind": "truncate", "on": "results", "inside": "quotes"})
    short = page(client, job)
    assert short.status_code == 200
    assert whole.content.startswith(short.content)
    assert len(short.content) < len(whole.content)
    assert short.headers["Sforce-NumberOfRecords"] == "10"


def test_rows_that_are_wrong(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    first, second = parsed(page(client, job)), parsed(page(client, job, 10))

    def after(**step: Any) -> tuple[list[dict[str, str]], httpx.Response]:
        salesforce.behave({"on": "results", **step})
        answer = page(client, job, 10)
        return parsed(answer), answer

    found, answer = after(kind="duplicate_rows", rows=3)
    assert (found, answer.headers["Sforce-NumberOfRecords"]) == (first[-3:] + second, "13")
    found, answer = after(kind="short_rows", rows=2)
    assert (found, answer.headers["Sforce-NumberOfRecords"]) == (second[:-2], "10")
    found, _ = after(kind="alter", field="name", value="odd", row=4)
    assert (found[4]["Name"], found[5]) == ("odd", second[5])
    found, answer = after(kind="nul", field="Name")
    assert answer.content.count(b"\0") == 1
    found, _ = after(kind="future_modstamp")
    assert found[0]["SystemModstamp"].startswith("2999-12-31T")
    found, _ = after(kind="ties")
    assert len({row["SystemModstamp"] for row in found}) == 1
    _, answer = after(kind="no_header_row")
    assert not answer.text.startswith('"Id"')
    _, answer = after(kind="no_count")
    assert "Sforce-NumberOfRecords" not in answer.headers
    _, answer = after(kind="wrong_count", by=-1)
    assert answer.headers["Sforce-NumberOfRecords"] == "9"
    _, answer = after(kind="no_locator")
    assert "Sforce-Locator" not in answer.headers
    assert parsed(page(client, job, 10)) == second


def test_rows_that_are_wrong_by_rest(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    soql = {"q": "SELECT Id, Name FROM Account"}
    right = client.get("/query", params=soql).json()["records"]
    salesforce.behave({"kind": "alter", "on": "query", "object": "Account", "field": "Name", "value": "odd"})
    found = client.get("/query", params=soql).json()["records"]
    assert (found[0]["Name"], found[1:]) == ("odd", right[1:])


@pytest.mark.parametrize(
    ("step", "state", "words"),
    [
        ({"kind": "job_failed"}, "Failed", "InternalServerError: Retried more than 15 times"),
        ({"kind": "job_failed", "message": "InvalidBatch: x"}, "Failed", "InvalidBatch: x"),
        ({"kind": "job_aborted"}, "Aborted", None),
    ],
)
@pytest.mark.parametrize("on", ["job_create", "job_info"])
def test_jobs_that_do_not_end_well(
    salesforce: SalesforceServer, client: httpx.Client, step: dict[str, str], state: str, words: str | None, on: str
) -> None:
    salesforce.behave({"on": on, **step})
    made = client.post("/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"}).json()["id"]
    found = client.get(f"/jobs/query/{made}").json()
    assert (found["state"], found.get("errorMessage")) == (state, words)
    assert client.get(f"/jobs/query/{made}/results").status_code == 400


def test_jobs_that_are_slow_miscounted_or_gone(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    path = f"/jobs/query/{job}"
    salesforce.behave({"kind": "job_slow", "on": "job_info", "by": 2})
    assert [client.get(path).json()["state"] for _ in range(3)] == ["InProgress", "InProgress", "JobComplete"]
    salesforce.behave({"kind": "wrong_processed", "on": "job_info", "by": 5})
    assert client.get(path).json()["numberRecordsProcessed"] == ROWS + 5
    salesforce.behave({"kind": "job_vanished", "on": "results"})
    assert [page(client, job).status_code, client.get(path).status_code] == [404, 404]


def test_headers_that_lie(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "clock_skew", "seconds": 7200})
    ahead = parsedate_to_datetime(client.get("/limits").headers["Date"]) - salesforce.clock.now()
    assert ahead.total_seconds() > 3600
    salesforce.behave({"kind": "limit_info", "value": "api-usage=99999/100000"}, {"kind": "no_limit_info"})
    assert client.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=99999/100000"
    assert "Sforce-Limit-Info" not in client.get("/limits").headers


def test_a_field_that_went_between_describe_and_query(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "field_removed", "field": "Type", "times": None})
    assert client.get("/query", params={"q": "SELECT Id FROM Account"}).status_code == 200
    answer = client.get("/query", params={"q": "SELECT Id, Type FROM Account"})
    assert codes(answer) == (400, "INVALID_FIELD")
    assert "No such column 'Type' on entity 'Account'" in answer.json()[0]["message"]


def test_records_change_just_before_a_request(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    change = {"op": "insert", "object": "Account", "rows": [{"Name": "in between"}]}
    salesforce.behave({"kind": "do", "on": "query", "operations": [change]})
    count = {"q": "SELECT COUNT() FROM Account"}
    assert client.get("/query", params=count).json()["totalSize"] == ROWS + 1


def test_a_hang_ends_with_the_scripts(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.behave({"kind": "hang", "on": "limits", "seconds": 600})
    with pytest.raises(httpx.ReadTimeout):
        client.get("/limits", timeout=0.2)
    assert client.get("/limits").status_code == 200


def test_a_slow_drip_is_whole(salesforce: SalesforceServer, client: httpx.Client, job: str) -> None:
    whole = page(client, job)
    salesforce.behave({"kind": "drip", "on": "results", "bytes": 100, "seconds": 0.001})
    assert page(client, job).content == whole.content
    salesforce.behave({"kind": "drip", "on": "limits", "seconds": 0.001})
    client.headers["Accept-Encoding"] = "gzip"
    with client.stream("GET", "/limits") as answer:
        assert b"DailyApiRequests" in gzip.decompress(b"".join(answer.iter_raw()))

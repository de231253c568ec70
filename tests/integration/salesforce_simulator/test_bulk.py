"""Bulk API 2.0 query jobs over HTTP: shapes, states, pages, CSV, quotas, refusals, and how long things live."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.salesforce.testing import SalesforceServer

NASTY = ('say "hi"', "a,b;c", "two\nlines\r\nthree", "É'; DROP", "{{ x }}", "\\.", "NULL", " blanks ")


def create(client: httpx.Client, query: str, operation: str = "query", **others: str) -> dict[str, Any]:
    answer = client.post("/jobs/query", json={"operation": operation, "query": query, "contentType": "CSV", **others})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: httpx.Client, query: str, **others: str) -> tuple[int, str, str]:
    answer = client.post("/jobs/query", json={"operation": "query", "query": query, **others})
    (entry,) = answer.json()
    return answer.status_code, entry["errorCode"], entry["message"]


def finish(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/jobs/query/{job['id']}").json()
    while found["state"] in ("UploadComplete", "InProgress"):
        found = client.get(f"/jobs/query/{job['id']}").json()
    return found


def results(client: httpx.Client, job: dict[str, Any], **params: Any) -> httpx.Response:
    return client.get(f"/jobs/query/{job['id']}/results", params=params)


def rows(answer: httpx.Response, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.text, newline=""), delimiter=delimiter))


def test_a_job_from_start_to_end(salesforce: SalesforceServer, client: httpx.Client) -> None:
    account = salesforce.store.insert("Account", {"Name": "Élan", "SystemModstamp": "2013-05-20T20:49:32Z"})
    names = sorted(NASTY)
    salesforce.store.insert_many("Contact", [{"LastName": name, "AccountId": account} for name in names])
    job = create(client, "SELECT LastName, Id, IsDeleted, Email, Account.SystemModstamp FROM Contact", "queryAll")
    assert job["id"].startswith("750")
    expected = {"operation": "queryAll", "object": "Contact", "state": "UploadComplete", "apiVersion": 62.0}
    assert job.items() >= {**expected, "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}.items()
    done = finish(client, job)
    assert (done["state"], done["jobType"], done["numberRecordsProcessed"]) == ("JobComplete", "V2Query", len(NASTY))
    assert (done["retries"], done["isPkChunkingSupported"]) == (0, True)
    answer = results(client, job)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert (answer.headers["Sforce-NumberOfRecords"], answer.headers["Sforce-Locator"]) == (str(len(NASTY)), "null")
    header, *found = rows(answer)
    # Columns come as they were asked for, everything is quoted, null is an empty field.
    assert header == ["LastName", "Id", "IsDeleted", "Email", "Account.SystemModstamp"]
    assert answer.text.startswith('"LastName","Id","IsDeleted","Email","Account.SystemModstamp"\n')
    assert [row[0] for row in found] == names
    assert {tuple(row[2:]) for row in found} == {("false", "", "2013-05-20T20:49:32.000Z")}
    assert [entry["job_id"] for entry in salesforce.requests("/jobs/query")] == [job["id"]] * 3
    assert salesforce.requests("/jobs/query")[0]["query"].startswith("SELECT LastName")


def test_pages_never_change_and_each_has_the_header(salesforce: SalesforceServer, client: httpx.Client) -> None:
    made = salesforce.store.insert_many("Account", [{"Name": f"{n}\n{n}"} for n in range(25)])
    job = create(client, "SELECT Id FROM Account")
    finish(client, job)
    salesforce.store.hard_delete("Account", made[10:15])
    locator, seen = "", []
    while locator != "null":
        page = results(client, job, maxRecords=10, **({"locator": locator} if locator else {}))
        again = results(client, job, maxRecords=10, **({"locator": locator} if locator else {}))
        assert page.content == again.content
        header, *found = rows(page)
        assert header == ["Id"]
        assert page.headers["Sforce-NumberOfRecords"] == str(len(found))
        seen += [key for (key,) in found]
        locator = page.headers["Sforce-Locator"]
    assert seen == made
    for wrong in ("junk!", "MTAwMDA"):
        answer = results(client, job, locator=wrong)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


@pytest.mark.parametrize("count", [0, 1, 10, 11, 50, 51, 123])
def test_result_pages_cover_everything_five_at_a_time(
    salesforce: SalesforceServer, client: httpx.Client, count: int
) -> None:
    made = salesforce.store.insert_many("Account", [{"Name": "x"} for _ in range(count)])
    salesforce.bulk(page_rows=10)
    job = create(client, "SELECT Id FROM Account")
    finish(client, job)
    url, seen, listed = f"/services/data/v62.0/jobs/query/{job['id']}/resultPages", [], []
    while url:
        body = client.get(salesforce.instance_url + url).json()
        assert 1 <= len(body["resultPages"]) <= 5
        assert ("nextRecordsUrl" in body) is not body["done"]
        listed += [page["resultUrl"] for page in body["resultPages"]]
        url = body.get("nextRecordsUrl", "")
    for each in listed:
        _, *found = rows(client.get(salesforce.instance_url + each))
        seen += [key for (key,) in found]
    assert seen == made
    assert len(listed) == max(1, -(-count // 10))


def test_a_page_has_no_more_rows_than_the_server_allows(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": "x"} for _ in range(5)])
    salesforce.bulk(most_rows=3)
    job = create(client, "SELECT Id FROM Account")
    finish(client, job)
    answer = results(client, job, maxRecords=50)
    assert answer.headers["Sforce-NumberOfRecords"] == "3"
    answer = results(client, job, maxRecords=50, locator=answer.headers["Sforce-Locator"])
    assert (answer.headers["Sforce-NumberOfRecords"], answer.headers["Sforce-Locator"]) == ("2", "null")


def test_an_empty_result_has_its_header(client: httpx.Client) -> None:
    job = create(client, "SELECT Id, Name FROM Account")
    assert finish(client, job)["numberRecordsProcessed"] == 0
    answer = results(client, job)
    assert answer.text == '"Id","Name"\n'
    assert answer.headers["Sforce-NumberOfRecords"] == "0"


def test_other_delimiters_and_endings(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert("Account", {"Name": "a|b"})
    job = create(client, "SELECT Name, Type FROM Account", columnDelimiter="PIPE", lineEnding="CRLF")
    finish(client, job)
    assert results(client, job).content == b'"Name"|"Type"\r\n"a|b"|""\r\n'
    assert refused(client, "SELECT Id FROM Account", columnDelimiter="DOT")[:2] == (400, "INVALIDJOB")


def test_gzip_only_when_asked(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": "the same"} for _ in range(1000)])
    job = create(client, "SELECT Name FROM Account")
    finish(client, job)
    sizes = []
    for coding in ("gzip", "identity"):
        answer = client.get(f"/jobs/query/{job['id']}/results", headers={"Accept-Encoding": coding})
        assert ("Content-Encoding" in answer.headers) is (coding == "gzip")
        assert len(rows(answer)) == 1001
        sizes.append(salesforce.requests("/results")[-1]["bytes"])
    assert sizes[0] * 10 < sizes[1]


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("SELECT COUNT() FROM Contact", "FUNCTIONALITY_NOT_ENABLED", "not supported in Bulk Query"),
        ("SELECT Id FROM Contact OFFSET 5", "FUNCTIONALITY_NOT_ENABLED", "Offset not supported in Bulk Query"),
        ("SELECT Type FROM Account GROUP BY Type", "FUNCTIONALITY_NOT_ENABLED", "Group By not supported in Bulk Query"),
        (
            "SELECT Id, MailingAddress FROM Contact",
            "FUNCTIONALITY_NOT_ENABLED",
            "Selecting compound data not supported",
        ),
        ("SELECT Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo'"),
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported"),
        ("SELECT", "MALFORMED_QUERY", "unexpected token"),
    ],
)
def test_what_no_job_may_ask(client: httpx.Client, query: str, code: str, words: str) -> None:
    status, found, message = refused(client, query)
    assert (status, found) == (400, code)
    assert words in message
    assert client.get("/jobs/query").json()["records"] == []


def test_a_text_may_look_like_what_is_refused(client: httpx.Client) -> None:
    create(client, "SELECT Id FROM Account WHERE Name = 'GROUP BY x OFFSET 5 (SELECT Id FROM y)'")


def test_chunking_is_told(client: httpx.Client) -> None:
    for query, possible in (("SELECT Id FROM Account", True), ("SELECT Id FROM Account ORDER BY Id", False)):
        assert finish(client, create(client, query))["isPkChunkingSupported"] is possible


def test_jobs_end(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.bulk(seconds=3600)
    slow = create(client, "SELECT Id FROM Account")
    assert client.get(f"/jobs/query/{slow['id']}").json()["state"] == "InProgress"
    assert results(client, slow).json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert client.delete(f"/jobs/query/{slow['id']}").status_code == 400
    aborted = client.patch(f"/jobs/query/{slow['id']}", json={"state": "Aborted"})
    assert (aborted.status_code, aborted.json()["state"]) == (200, "Aborted")
    assert results(client, slow).status_code == 400
    salesforce.bulk(seconds=0)
    done = create(client, "SELECT Id FROM Account")
    assert finish(client, done)["state"] == "JobComplete"
    assert client.patch(f"/jobs/query/{done['id']}", json={"state": "Aborted"}).status_code == 400
    assert [job["id"] for job in client.get("/jobs/query").json()["records"]] == [done["id"], slow["id"]]
    assert client.delete(f"/jobs/query/{done['id']}").status_code == 204
    assert client.get(f"/jobs/query/{done['id']}").status_code == 404


def test_a_job_takes_its_time_by_the_organisations_clock(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.clock.stop()
    salesforce.bulk(seconds=60)
    job = create(client, "SELECT Id FROM Account")
    for _ in range(2):
        assert client.get(f"/jobs/query/{job['id']}").json()["state"] == "InProgress"
    salesforce.clock.move(60)
    assert finish(client, job)["state"] == "JobComplete"


def test_a_job_belongs_to_its_version_and_lives_seven_days(salesforce: SalesforceServer, client: httpx.Client) -> None:
    job = create(client, "SELECT Id FROM Account")
    finish(client, job)
    old = f"{salesforce.instance_url}/services/data/v57.0/jobs/query/{job['id']}"
    assert client.get(f"{old}/results").status_code == 409
    salesforce.clock.move(timedelta(days=7, seconds=-60).total_seconds())
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    assert results(client, job).status_code == 200
    salesforce.clock.move(60)
    assert results(client, job).status_code == 404
    young = client.post(old.rpartition("/")[0], json={"operation": "query", "query": "SELECT Id FROM Account"}).json()
    assert client.get(f"{old.rpartition('/')[0]}/{young['id']}/resultPages").status_code == 404


def test_quotas_of_jobs(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": "x" * 200} for _ in range(6000)])
    before = client.get("/limits").json()
    finish(client, create(client, "SELECT Id, Name FROM Account"))
    after = client.get("/limits").json()
    assert before["DailyBulkV2QueryJobs"]["Remaining"] - after["DailyBulkV2QueryJobs"]["Remaining"] == 1
    assert (
        before["DailyBulkV2QueryFileStorageMB"]["Remaining"] - after["DailyBulkV2QueryFileStorageMB"]["Remaining"] == 2
    )
    salesforce.quotas(DailyBulkV2QueryJobs={"used": 10_000})
    assert refused(client, "SELECT Id FROM Account") == (
        400,
        "LIMIT_EXCEEDED",
        "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10000)",
    )
    salesforce.quotas(DailyBulkV2QueryJobs={"used": 0}, DailyBulkV2QueryFileStorageMB={"used": 10**6})
    assert "query result size stored" in refused(client, "SELECT Id FROM Account")[2]

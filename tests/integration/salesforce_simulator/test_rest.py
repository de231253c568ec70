"""The REST interface over HTTP: queries and their pages, describe, replication, records, limits, headers, errors."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from local.salesforce.answer import Answer, Call
from local.salesforce.metadata import FieldMeta
from local.salesforce.server import SalesforceSimulator
from local.salesforce.settings import Settings
from local.salesforce.testing import SalesforceServer

DATA = "/services/data/v62.0"
START = datetime(2026, 5, 2, 12, tzinfo=UTC)


def query(client: httpx.Client, soql: str, path: str = "/query", **headers: str) -> dict[str, Any]:
    answer = client.get(path, params={"q": soql}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def error(answer: httpx.Response) -> tuple[int, str, str]:
    (entry,) = answer.json()
    return answer.status_code, entry["errorCode"], entry["message"]


# --- queries -----------------------------------------------------------------------------------------
def test_a_page_has_the_shape_of_salesforces(salesforce: SalesforceServer, client: httpx.Client) -> None:
    account = salesforce.store.insert("Account", {"Name": "Élan"})
    contact = salesforce.store.insert(
        "Contact",
        {"LastName": "O'Neil", "AccountId": account, "MailingCity": "Rome", "SystemModstamp": "2013-05-20T20:49:32Z"},
    )
    soql = "SELECT Id, Name, SystemModstamp, IsDeleted, Account.Name, MailingAddress FROM Contact"
    address = dict.fromkeys(("country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street"))
    root = "/services/data/v62.0/sobjects"
    assert query(client, soql) == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "Contact", "url": f"{root}/Contact/{contact}"},
                "Id": contact,
                "Name": "O'Neil",
                "SystemModstamp": "2013-05-20T20:49:32.000+0000",
                "IsDeleted": False,
                "Account": {"attributes": {"type": "Account", "url": f"{root}/Account/{account}"}, "Name": "Élan"},
                "MailingAddress": {"city": "Rome", **address},
            }
        ],
    }
    # The address of a record does not need its Id among the fields; no parent, no address: null.
    salesforce.store.update("Contact", contact, {"AccountId": None, "MailingCity": ""})
    (record,) = query(client, "SELECT Account.Name, MailingAddress FROM Contact")["records"]
    assert record["attributes"]["url"].endswith(contact)
    assert (record["Account"], record["MailingAddress"]) == (None, None)


def test_counts(salesforce: SalesforceServer, client: httpx.Client) -> None:
    made = salesforce.store.insert_many("Contact", [{"LastName": str(n)} for n in range(3)])
    salesforce.store.delete("Contact", made[:1])
    assert query(client, "SELECT COUNT() FROM Contact") == {"totalSize": 2, "done": True, "records": []}
    counted = query(client, "SELECT COUNT(Id) n FROM Contact", "/queryAll")
    assert counted["records"] == [{"attributes": {"type": "AggregateResult"}, "n": 3}]
    assert counted["totalSize"] == 1


def test_pages_show_one_moment_and_can_be_read_again(salesforce: SalesforceServer, client: httpx.Client) -> None:
    made = salesforce.store.insert_many("Account", [{"Name": f"{n}"} for n in range(4100)])
    salesforce.store.delete("Account", made[:1])
    page = query(client, "SELECT Id FROM Account", "/queryAll")
    assert (page["totalSize"], page["done"], len(page["records"])) == (4100, False, 2000)
    second = page["nextRecordsUrl"]
    # Also after queryAll it says /query/.
    assert second.startswith("/services/data/v62.0/query/01g")
    assert second.endswith("-2000")
    salesforce.store.hard_delete("Account", made[2000:2100])
    seen = [record["Id"] for record in page["records"]]
    while not page["done"]:
        url = salesforce.instance_url + page["nextRecordsUrl"]
        page, again = client.get(url).json(), client.get(url).json()
        assert page == again
        seen += [record["Id"] for record in page["records"]]
    assert seen == made


def test_a_client_chooses_smaller_pages(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": f"{n}"} for n in range(450)])
    page = query(client, "SELECT Id FROM Account", **{"Sforce-Query-Options": "batchSize=200"})
    assert (len(page["records"]), page["totalSize"]) == (200, 450)
    page = query(client, "SELECT Id FROM Account", **{"Sforce-Query-Options": "batchSize=1"})
    assert len(page["records"]) == 200


def test_a_locator_ends_after_two_days(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": f"{n}"} for n in range(2001)])
    url = salesforce.instance_url + query(client, "SELECT Id FROM Account")["nextRecordsUrl"]
    salesforce.clock.move(timedelta(days=2, seconds=-60).total_seconds())
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    assert client.get(url).status_code == 200
    salesforce.clock.move(60)
    assert error(client.get(url))[:2] == (400, "INVALID_QUERY_LOCATOR")
    assert error(client.get("/query/01g000000000001AAA-2000"))[:2] == (400, "INVALID_QUERY_LOCATOR")


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        (None, "MALFORMED_QUERY"),
        ("SELECT Id FORM Contact", "MALFORMED_QUERY"),
        ("SELECT Id, Foo FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Foo", "INVALID_TYPE"),
    ],
)
def test_errors_of_queries(client: httpx.Client, soql: str | None, code: str) -> None:
    answer = client.get("/query", params={"q": soql} if soql is not None else {})
    assert error(answer)[:2] == (400, code)
    # Also a refused call was a call.
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/100000"


def test_a_query_that_is_too_long_for_a_uri(client: httpx.Client) -> None:
    fields = ", ".join(["Id"] * 4000)
    answer = client.get("/query", params={"q": f"SELECT {fields} FROM Contact"})
    assert answer.status_code == 414
    assert answer.headers["Content-Type"].startswith("text/html")


def test_others_are_answered_during_a_long_query(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    async def scenario() -> None:
        simulator = SalesforceSimulator(Settings.make())
        answer = simulator.org.rest.answer

        def slow(call: Call) -> Answer:
            if call.path == "query":
                assert go_on.wait(60)
            return answer(call)

        monkeypatch.setattr(simulator.org.rest, "answer", slow)
        await simulator.start()
        headers = {"Authorization": f"Bearer {simulator.org.sessions.issue()}"}
        root = simulator.settings.url + DATA
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as client:
            long = asyncio.create_task(client.get(f"{root}/query", params={"q": "SELECT COUNT() FROM Contact"}))
            assert (await client.get(f"{root}/limits")).status_code == 200
            assert not long.done()
            go_on.set()
            assert (await long).status_code == 200
        await simulator.stop()

    asyncio.run(scenario())


# --- describe ----------------------------------------------------------------------------------------
def test_describe_and_its_not_modified(salesforce: SalesforceServer, client: httpx.Client) -> None:
    answer = client.get("/sobjects/contact/describe")
    found = answer.json()
    assert (found["name"], found["keyPrefix"], found["replicateable"], found["mergeable"]) == (
        "Contact",
        "003",
        True,
        True,
    )
    fields = {field["name"]: field for field in found["fields"]}
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert (fields["MailingCity"]["compoundFieldName"], fields["MailingAddress"]["type"]) == (
        "MailingAddress",
        "address",
    )
    assert fields["SystemModstamp"]["soapType"] == "xsd:dateTime"
    accounts = client.get("/sobjects/Account/describe").json()
    (contacts,) = [
        c for c in accounts["childRelationships"] if (c["childSObject"], c["field"]) == ("Contact", "AccountId")
    ]
    assert contacts["cascadeDelete"] is True

    known = {"If-Modified-Since": answer.headers["Last-Modified"]}
    unchanged = client.get("/sobjects/Contact/describe", headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    salesforce.clock.move(60)
    salesforce.store.add_field("Contact", FieldMeta(name="New__c", type="double", precision=6, scale=2))
    changed = client.get("/sobjects/Contact/describe", headers=known)
    (new,) = [field for field in changed.json()["fields"] if field["name"] == "New__c"]
    assert (new["type"], new["precision"], new["scale"], new["custom"]) == ("double", 6, 2, True)
    assert client.get("/sobjects/Account/describe", headers=known).status_code == 304


def test_global_describe_and_versions(salesforce: SalesforceServer, client: httpx.Client) -> None:
    names = {each["name"] for each in client.get("/sobjects").json()["sobjects"]}
    assert {"Account", "Contact", "npe5__Affiliation__c", "Class__c"} <= names
    plain = httpx.get(f"{salesforce.instance_url}/services/data/", trust_env=False, timeout=60)
    assert {"label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0"} in plain.json()
    assert "Sforce-Limit-Info" not in plain.headers
    root = salesforce.instance_url + "/services/data"
    assert error(client.get(f"{root}/v30.0/limits"))[:2] == (410, "UNSUPPORTED_API_VERSION")
    assert error(client.get(f"{root}/v99.0/limits"))[:2] == (404, "NOT_FOUND")
    assert error(client.get("/sobjects/Foo/describe"))[:2] == (404, "NOT_FOUND")
    assert error(client.post("/limits"))[:2] == (405, "METHOD_NOT_ALLOWED")


# --- replication -------------------------------------------------------------------------------------
def span(client: httpx.Client, kind: str, start: datetime, end: datetime, name: str = "Contact") -> httpx.Response:
    params = {"start": start.isoformat(), "end": end.isoformat()}
    return client.get(f"/sobjects/{name}/{kind}", params=params)


def test_deleted_and_updated(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.clock.stop()
    salesforce.clock.set(START)
    kept, gone, purged, back = salesforce.store.insert_many("Contact", [{"LastName": str(n)} for n in range(4)])
    salesforce.clock.move(600)
    salesforce.store.delete("Contact", [gone, back])
    salesforce.store.undelete("Contact", [back])
    salesforce.store.hard_delete("Contact", [purged])
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    hour = timedelta(hours=1)
    found = span(client, "deleted", START - hour, START + hour).json()
    at = "2026-05-02T12:10:00.000+0000"
    assert found["deletedRecords"] == [{"id": gone, "deletedDate": at}, {"id": purged, "deletedDate": at}]
    # What was asked for lies in the future: it is covered up to now.
    assert found["latestDateCovered"] == at
    assert span(client, "deleted", START + timedelta(minutes=11), START + hour).json()["deletedRecords"] == []
    # Seconds are ignored.
    late = span(client, "deleted", START + timedelta(minutes=10, seconds=59), START + hour).json()
    assert [each["id"] for each in late["deletedRecords"]] == [gone, purged]
    assert span(client, "updated", START, START + hour).json()["ids"] == [kept, back]


def test_replication_promises_nothing_about_transactions_under_way(
    salesforce: SalesforceServer, client: httpx.Client
) -> None:
    salesforce.clock.stop()
    salesforce.clock.set(START)
    record = salesforce.store.insert("Contact", {"LastName": "X"})
    salesforce.store.delete("Contact", [record], late_by=900)
    salesforce.clock.move(600)
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    found = span(client, "deleted", START - timedelta(hours=1), START + timedelta(minutes=5)).json()
    assert found["deletedRecords"] == []
    assert found["latestDateCovered"] == "2026-05-02T12:00:00.000+0000"


def test_replication_has_limits(salesforce: SalesforceServer, client: httpx.Client) -> None:
    now = salesforce.clock.now()
    code = (400, "INVALID_REPLICATION_DATE")
    assert error(span(client, "deleted", now, now))[:2] == code
    assert error(span(client, "deleted", now - timedelta(days=16), now))[:2] == code
    assert span(client, "updated", now - timedelta(days=16), now).status_code == 200
    assert error(span(client, "updated", now - timedelta(days=31), now))[:2] == code
    made = salesforce.store.insert_many("Contact", [{"LastName": str(n)} for n in range(3)])
    salesforce.store.delete("Contact", made)
    salesforce.replication(most_ids=2)
    tomorrow = now + timedelta(days=1)
    assert error(span(client, "deleted", now - timedelta(days=1), tomorrow))[:2] == (400, "EXCEEDED_ID_LIMIT")
    salesforce.replication(most_ids=600_000, log_since=(now + timedelta(hours=1)).isoformat())
    found = span(client, "deleted", now - timedelta(days=1), tomorrow).json()
    assert found["deletedRecords"] == []
    assert datetime.fromisoformat(found["earliestDateAvailable"]) > now
    assert error(client.get("/sobjects/Contact/deleted?start=x&end=y"))[0] == 400


# --- records -----------------------------------------------------------------------------------------
def test_a_record_lives_and_dies(client: httpx.Client) -> None:
    made = client.post("/sobjects/Contact", json={"LastName": "X", "Email": "x@example.org"})
    assert made.status_code == 201
    key = made.json()["id"]
    assert client.patch(f"/sobjects/Contact/{key[:15]}", json={"FirstName": "A"}).status_code == 204
    found = client.get(f"/sobjects/Contact/{key}").json()
    assert (found["Name"], found["IsDeleted"], found["attributes"]["type"]) == ("A X", False, "Contact")
    few = client.get(f"/sobjects/Contact/{key}", params={"fields": "Email"}).json()
    assert (few.keys(), few["Email"]) == ({"attributes", "Email"}, "x@example.org")
    assert client.delete(f"/sobjects/Contact/{key}").status_code == 204
    assert error(client.get(f"/sobjects/Contact/{key}"))[:2] == (404, "NOT_FOUND")
    assert error(client.delete(f"/sobjects/Contact/{key}"))[:2] == (404, "ENTITY_IS_DELETED")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"FirstName": "A"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG"),
        ({"LastName": "X", "Email": "nobody"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": "X", "Foo": 1}, "INVALID_FIELD"),
        ({"LastName": "X", "SystemModstamp": "2024-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "X", "Birthdate": "soon"}, "JSON_PARSER_ERROR"),
    ],
)
def test_what_nobody_may_enter(client: httpx.Client, values: dict[str, Any], code: str) -> None:
    answer = client.post("/sobjects/Contact", json=values)
    assert error(answer)[:2] == (400, code)
    assert query(client, "SELECT COUNT() FROM Contact")["totalSize"] == 0


def test_collections(client: httpx.Client) -> None:
    contact, account = {"type": "Contact"}, {"type": "Account"}
    records = [{"attributes": contact, "LastName": "A"}, {"attributes": contact}, {"attributes": account, "Name": "B"}]
    outcomes = client.post("/composite/sobjects", json={"records": records}).json()
    assert [each["success"] for each in outcomes] == [True, False, True]
    assert outcomes[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    first, third = outcomes[0]["id"], outcomes[2]["id"]
    change = {"records": [{"attributes": contact, "id": first, "LastName": "C"}]}
    assert client.patch("/composite/sobjects", json=change).json()[0]["success"] is True
    shown = client.get(
        "/composite/sobjects/Contact", params={"ids": f"{first},003000000000000AAA", "fields": "LastName"}
    )
    assert [each and each["LastName"] for each in shown.json()] == ["C", None]
    injected = client.get("/composite/sobjects/Contact", params={"ids": first, "fields": "Id FROM Account --"})
    assert error(injected)[:2] == (400, "INVALID_FIELD")
    done = client.delete("/composite/sobjects", params={"ids": f"{first},{third}"}).json()
    assert [each["success"] for each in done] == [True, True]
    assert query(client, "SELECT COUNT() FROM Account")["totalSize"] == 0


# --- several in one ----------------------------------------------------------------------------------
def test_composite_is_one_call_and_batch_is_many(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert("Contact", {"LastName": "X"})
    root = "/services/data/v62.0"
    known = {"If-Modified-Since": client.get("/sobjects/Contact/describe").headers["Last-Modified"]}
    parts = [
        {"method": "GET", "url": f"{root}/query?q=SELECT+COUNT()+FROM+Contact", "referenceId": "count"},
        {"method": "GET", "url": f"{root}/sobjects/Contact/describe", "referenceId": "same", "httpHeaders": known},
        {"method": "GET", "url": f"{root}/limits", "referenceId": "limits"},
        {"method": "GET", "url": f"{root}/query?q=SELECT+Foo+FROM+Contact", "referenceId": "wrong"},
    ]
    found = client.post("/composite", json={"compositeRequest": parts}).json()["compositeResponse"]
    assert [each["referenceId"] for each in found] == ["count", "same", "limits", "wrong"]
    assert [each["httpStatusCode"] for each in found] == [200, 304, 200, 400]
    assert found[0]["body"]["totalSize"] == 1
    assert found[3]["body"][0]["errorCode"] == "INVALID_FIELD"
    urls = [part["url"].removeprefix("/services/data/") for part in parts[:1] + parts[2:]]
    requests = [{"method": "GET", "url": url} for url in urls]
    batch = client.post("/composite/batch", json={"batchRequests": requests}).json()
    assert batch["hasErrors"] is True
    assert [each["statusCode"] for each in batch["results"]] == [200, 200, 400]
    assert [entry["calls"] for entry in salesforce.requests("/composite")] == [1, 3]
    # describe, composite, three of the batch, and this one.
    assert client.get("/limits").json()["DailyApiRequests"]["Remaining"] == 100_000 - 6


@pytest.mark.parametrize(
    ("path", "name", "count"),
    [
        ("/composite", "compositeRequest", 26),
        ("/composite", "compositeRequest", 6),
        ("/composite/batch", "batchRequests", 26),
    ],
)
def test_composites_have_limits(client: httpx.Client, path: str, name: str, count: int) -> None:
    url = "/services/data/v62.0/query?q=SELECT+COUNT()+FROM+Contact" if count == 6 else "/services/data/v62.0/limits"
    part = {"method": "GET", "url": url, "referenceId": "x"}
    assert error(client.post(path, json={name: [part] * count}))[:2] == (400, "INVALID_INPUT")


def test_no_composite_inside_another(client: httpx.Client) -> None:
    part = {
        "method": "POST",
        "url": "/services/data/v62.0/composite",
        "referenceId": "x",
        "body": {"compositeRequest": []},
    }
    (found,) = client.post("/composite", json={"compositeRequest": [part]}).json()["compositeResponse"]
    assert found["httpStatusCode"] == 400


# --- around every answer -----------------------------------------------------------------------------
def test_limits_and_both_forms_of_their_header(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.quotas(DailyApiRequests={"max": 10, "used": 7}, bursts=True)
    assert client.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=8/10; api-bursts=1/750"
    salesforce.quotas(bursts=False)
    answer = client.get("/limits")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=9/10"
    assert answer.json()["DailyApiRequests"] == {"Max": 10, "Remaining": 1}
    client.get("/limits")
    refused = client.get("/limits")
    assert error(refused) == (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    assert refused.headers["Sforce-Limit-Info"] == "api-usage=10/10"
    salesforce.clock.move(timedelta(hours=25).total_seconds())
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    assert client.get("/limits").status_code == 200


def test_the_date_is_the_organisations(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.clock.stop()
    salesforce.clock.set(START)
    client.headers["Authorization"] = f"Bearer {salesforce.token()}"
    assert parsedate_to_datetime(client.get("/limits").headers["Date"]) == START


def test_gzip_only_when_asked(salesforce: SalesforceServer, client: httpx.Client) -> None:
    salesforce.store.insert_many("Account", [{"Name": "the same"} for _ in range(100)])
    sizes = {}
    for coding in ("gzip", "identity"):
        answer = client.get("/query", params={"q": "SELECT Name FROM Account"}, headers={"Accept-Encoding": coding})
        assert answer.headers.get("Content-Encoding") == (coding if coding == "gzip" else None)
        assert len(answer.json()["records"]) == 100
        sizes[coding] = int(answer.headers["Content-Length"])
    assert sizes["gzip"] * 10 < sizes["identity"]
    assert [entry["bytes"] for entry in salesforce.requests("/query")] == list(sizes.values())


def test_requests_are_remembered(salesforce: SalesforceServer, client: httpx.Client) -> None:
    client.get("/query", params={"q": "SELECT COUNT() FROM Contact"})
    client.get("/sobjects/Foo/describe")
    seen = [(e["method"], e["path"], e["status"], e["query"], e["calls"]) for e in salesforce.requests()]
    assert seen == [
        ("GET", "/services/data/v62.0/query", 200, "SELECT COUNT() FROM Contact", 1),
        ("GET", "/services/data/v62.0/sobjects/Foo/describe", 404, "", 1),
    ]
    salesforce.forget_requests()
    assert salesforce.requests() == []

"""Other people's clients, unchanged: simple-salesforce and Airflow's hook, over HTTPS and with their own logins."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.models import Connection
from airflow.providers.salesforce.hooks.salesforce import SalesforceHook
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
)

from local.salesforce.settings import API_VERSION, USERNAME
from local.salesforce.testing import SalesforceServer
from local.simulators import certificate

NASTY = ("O'Neil", 'say "hi"', "two\nlines", "Élan", "NA", "None")


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SalesforceServer]:
    made = certificate.make(tmp_path_factory.mktemp("tls") / "salesforce.pem")
    with SalesforceServer(certificate=made) as server:
        yield server


@pytest.fixture
def server(https: SalesforceServer, monkeypatch: pytest.MonkeyPatch) -> SalesforceServer:
    https.reset()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", https.settings.certificate)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return https


@pytest.fixture
def sf(server: SalesforceServer) -> Salesforce:
    """simple-salesforce with a session that somebody else has begun."""
    return Salesforce(session_id=server.token(), instance_url=server.instance_url, version=API_VERSION)


class ToSimulator(HTTPAdapter):
    """What is sent to Salesforce's login servers reaches the simulator."""

    def __init__(self, server: SalesforceServer) -> None:
        super().__init__()
        self._server = server

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = re.sub(r"https://[\w.]+\.salesforce\.com", self._server.instance_url, request.url or "")
        kwargs["verify"] = self._server.settings.certificate
        return super().send(request, *args, **kwargs)


def login_session(server: SalesforceServer) -> requests.Session:
    session = requests.Session()
    session.mount("https://", ToSimulator(server))
    session.verify = server.settings.certificate
    return session


def contacts(server: SalesforceServer, count: int = 0) -> list[str]:
    names = [*NASTY, *(f"n{n}" for n in range(count - len(NASTY)))]
    return server.store.insert_many("Contact", [{"LastName": name} for name in names])


# --- simple-salesforce -------------------------------------------------------------------------------
def test_queries(server: SalesforceServer, sf: Salesforce) -> None:
    made = contacts(server, 4500)
    server.store.delete("Contact", made[:1])
    assert sf.query("SELECT COUNT() FROM Contact")["totalSize"] == 4499
    assert len(sf.query_all("SELECT Id FROM Contact")["records"]) == 4499
    found = list(sf.query_all_iter("SELECT Id, LastName, Account.Name FROM Contact", include_deleted=True))
    assert [record["Id"] for record in found] == made
    assert [record["LastName"] for record in found[: len(NASTY)]] == list(NASTY)
    with pytest.raises(SalesforceMalformedRequest, match="No such column 'Foo' on entity 'Contact'"):
        sf.query("SELECT Foo FROM Contact")


def test_bulk2(server: SalesforceServer, sf: Salesforce, tmp_path: Path) -> None:
    made = contacts(server, 250)
    pages = list(sf.bulk2.Contact.query("SELECT Id, LastName FROM Contact", max_records=100, wait=0))
    rows = [row for page in pages for row in csv.reader(page.splitlines(keepends=True))]
    assert len(pages) == 3
    assert [row for row in rows if row != ["Id", "LastName"]] == [
        [key, name] for key, name in zip(made, [*NASTY, *(f"n{n}" for n in range(244))], strict=True)
    ]
    found = sf.bulk2.Contact.download("SELECT Id FROM Contact", path=str(tmp_path), max_records=100, wait=0)
    assert sum(part["number_of_records"] for part in found) == 250
    assert sum(len(Path(part["file"]).read_text().splitlines()) for part in found) == 250 + len(found)


def test_describe_limits_and_changes(server: SalesforceServer, sf: Salesforce) -> None:
    assert sf.Contact.describe()["keyPrefix"] == "003"
    assert any(each["name"] == "Account" for each in sf.describe()["sobjects"])
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    made = sf.Contact.create({"LastName": "Made"})
    assert made["success"] is True
    sf.Contact.update(made["id"], {"FirstName": "Well"})
    assert sf.Contact.get(made["id"])["Name"] == "Well Made"
    sf.Contact.delete(made["id"])
    now = server.clock.now()
    span = (now - timedelta(hours=1), now + timedelta(minutes=2))
    kept = contacts(server)
    assert set(sf.Contact.updated(*span)["ids"]) == set(kept)
    assert [each["id"] for each in sf.Contact.deleted(*span)["deletedRecords"]] == [made["id"]]
    assert sf.api_usage["api-usage"].total == 100_000


def test_an_ended_session(server: SalesforceServer, sf: Salesforce) -> None:
    server.sessions(revoke=True)
    with pytest.raises(SalesforceExpiredSession):
        sf.query("SELECT Id FROM Contact")


def test_its_own_logins(server: SalesforceServer) -> None:
    settings = server.settings
    app = {"consumer_key": settings.consumer_key, "domain": "login", "version": API_VERSION}
    user = {"username": USERNAME, "password": settings.password}
    ways: dict[str, dict[str, Any]] = {
        "jwt": {**app, "username": USERNAME, "privatekey": settings.private_key},
        "client credentials": {**app, "consumer_secret": settings.consumer_secret, "domain": "example.my"},
        "soap": {**user, "security_token": settings.security_token, "domain": "login", "version": "59.0"},
    }
    with pytest.raises(SalesforceAuthenticationFailed, match="SOAP API login\\(\\) is disabled by default"):
        Salesforce(session=login_session(server), **ways["soap"])
    server.sessions(soap=True)
    for name, given in ways.items():
        found = Salesforce(session=login_session(server), **given)
        assert found.query("SELECT COUNT() FROM Contact")["totalSize"] == 0, name
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid client credentials"):
        Salesforce(session=login_session(server), **{**ways["client credentials"], "consumer_secret": "wrong"})


# --- Airflow's hook ----------------------------------------------------------------------------------
@pytest.fixture
def hook(server: SalesforceServer, monkeypatch: pytest.MonkeyPatch) -> SalesforceHook:
    extra = {"instance_url": server.instance_url, "version": API_VERSION}
    uri = Connection(conn_id="simulated", conn_type="salesforce", extra=json.dumps(extra)).get_uri()
    monkeypatch.setenv("AIRFLOW_CONN_SIMULATED", uri)
    return SalesforceHook("simulated", session_id=server.token())


def test_hook(server: SalesforceServer, hook: SalesforceHook, tmp_path: Path) -> None:
    made = contacts(server)
    found = hook.make_query("SELECT Id, LastName, SystemModstamp FROM Contact")
    assert [record["Id"] for record in found["records"]] == made
    assert "MailingCity" in hook.get_available_fields("Contact")
    assert hook.describe_object("Contact")["name"] == "Contact"
    path = tmp_path / "contacts.csv"
    hook.write_object_to_file(found["records"], str(path), fmt="csv")
    with path.open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == made
    server.store.delete("Contact", made[:1])
    assert hook.make_query("SELECT Id FROM Contact", include_deleted=True)["totalSize"] == len(NASTY)


def test_hook_logs_in_as_its_connection_says(server: SalesforceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = server.settings
    extra = {"consumer_key": settings.consumer_key, "consumer_secret": settings.consumer_secret}
    extra["domain"] = "example.my"
    uri = Connection(conn_id="simulated", conn_type="salesforce", extra=json.dumps(extra)).get_uri()
    monkeypatch.setenv("AIRFLOW_CONN_SIMULATED", uri)
    hook = SalesforceHook("simulated", session=login_session(server))
    assert hook.test_connection()[0] is True
    assert hook.make_query("SELECT Id FROM Contact")["totalSize"] == 0

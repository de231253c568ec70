"""Whatever stands in a record or a param stays a value: in SQL, SOQL, templates, terminals and logs."""

import json
import logging
from types import SimpleNamespace

import pytest

from include.operations.errors import InputRejected
from include.vms import registry
from include.vms.contracts import Accept, Mode, Request
from include.vms.extract import Tuning
from include.vms.salesforce import soql
from local.salesforce.metadata import FieldMeta
from tests.cli_runner import cli
from tests.integration.vms import mapping
from tests.integration.vms.source import Source

__all__ = ["cli"]

pytestmark = pytest.mark.servers

NASTY = (
    "'; DROP TABLE vms.person; --",
    '"; DROP SCHEMA vms CASCADE; --',
    "\\'; SELECT pg_sleep(60); --",
    "$$; DROP TABLE vms.class; $$",
    "' OR Name != '",
    "%s %(run)s {} {Id} {old.status} :name $1",
    "{{ conn.warehouse.password }}{% for x in y %}",
    '=HYPERLINK("http://example.org")',
    "@SUM(1+1)",
    "one\ntwo\r\nthree, \"four\" 'five'",
    "\x1b[2J\x1b]0;title\x07\x9b31mred",
    "\\.",
    "<script>alert(1)</script>",
    "NULL",
)
SOBJECTS = ("Account", "Contact", "Class__c", "npe5__Affiliation__c")
TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('vms', 'ops') ORDER BY 1, 2"


@pytest.fixture
def source(salesforce, warehouse, redis_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", salesforce.connection_uri)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    return Source(salesforce, warehouse)


@pytest.fixture
def nasty(source):
    """An organisation of records with such texts wherever people can enter text; its bad records by their sObject."""
    store = source.server.store
    kinds = ("School", "School District", "Business")
    accounts = [
        {"Name": text, "Type": kind, "BillingCity": text, "Description": text, "Connector_Account_Name__c": text}
        for kind in kinds
        for text in NASTY
    ]
    schools = store.insert_many("Account", accounts)
    people = [
        {"FirstName": text, "LastName": text, "Title": text, "Department": text, "Email": text, "Phone": text}
        | {"MailingStreet": text, "MailingCity": text, "Volunteer_Skills__c": text, "Contact_Type__c": "Volunteer"}
        | {"Description": text, "Gender__c": text, "Racial_Ethnic_Background__c": text}
        for text in NASTY
    ]
    contacts = store.insert_many("Contact", people)
    classes = [{"Name": text, "School__c": schools[0], "Class_Year_Number__c": 2030} for text in NASTY]
    store.insert_many("Class__c", classes)
    ties = [
        {"npe5__Contact__c": contact, "npe5__Organization__c": schools[0], "npe5__Role__c": text}
        | {"npe5__Status__c": text}
        for contact, text in zip(contacts, NASTY, strict=True)
    ]
    store.insert_many("npe5__Affiliation__c", ties)
    bad = {
        "Class__c": store.insert_many("Class__c", [{"Name": text, "School__c": schools[0]} for text in NASTY]),
        "npe5__Affiliation__c": store.insert_many(
            "npe5__Affiliation__c", [{"npe5__Contact__c": contacts[0], "npe5__Role__c": text} for text in NASTY]
        ),
    }
    source.server.clock.move(3600)
    return SimpleNamespace(bad=bad, source=source)


def harmless(text):
    """No value of ours in it, and nothing that commands a terminal."""
    assert not any(each in text for each in NASTY if each != "NULL")
    return "\x1b" not in text and "\x9b" not in text


@pytest.mark.parametrize("rest_below", [1, 10_000])
def test_texts_of_records_are_stored_as_they_are_and_do_nothing(nasty, caplog, rest_below):
    caplog.set_level(logging.DEBUG)
    source, warehouse = nasty.source, nasty.source.warehouse
    tables = warehouse.rows(TABLES)
    label = FieldMeta(name="Room__c", type="string", label=NASTY[0], length=255)
    tuning = Tuning(page_rows=20, rest_below=rest_below)
    for number, mode in enumerate((Mode.INCREMENTAL, Mode.FULL)):
        for name in registry.objects():
            run = f"{NASTY[number]} {name}"
            source.sync(name, mode, run=run, tuning=tuning, accept=(Accept.REJECTED_SHARE,))
        source.server.store.add_field("Class__c", label) if not number else None
    store = {sobject: source.server.store.rows(sobject) for sobject in SOBJECTS}
    refused = {row[0] for row in warehouse.rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
    assert refused == {one for ids in nasty.bad.values() for one in ids}
    assert mapping.differences(warehouse.rows, mapping.expected(store, refused), refused) == []
    assert warehouse.rows(TABLES) == tables
    held = warehouse.rows("SELECT row ->> 'Name' FROM vms.quarantine WHERE object = 'classes'")
    assert {name for (name,) in held} == {text.strip() for text in NASTY}
    assert harmless(caplog.text)


def test_commands_show_them_as_text(nasty, cli):
    """Also in the samples of a dry run, which a terminal shows."""
    warehouse = nasty.source.warehouse
    tables = warehouse.rows(TABLES)
    for name in ("schools", "classes"):
        shown = cli("sync", name, "--dry-run", "--accept", "rejected_share")
        assert shown.code == 0
        assert sum(line.startswith("  insert ") for line in shown.out.splitlines()) == len(NASTY)
        assert "\x1b" not in shown.out + shown.err
        assert "\x9b" not in shown.out + shown.err
        as_json = json.loads(cli("sync", name, "--dry-run", "--accept", "rejected_share", "--json").out)
        names = {sample["columns"]["name"][1] for sample in as_json[0]["samples"]}
        assert names == {text.strip() for text in NASTY}
    assert warehouse.rows("SELECT count(*) FROM vms.class") == [(0,)]
    assert cli("sync", "classes", "--accept", "rejected_share").code == 0
    listed = cli("quarantine", "list", "classes")
    assert "14 rows" in listed.out
    assert harmless(listed.out)
    # One is mended, and thirteen are still bad.
    nasty.source.server.store.update("Class__c", nasty.bad["Class__c"][0], {"Class_Year_Number__c": 2030})
    replayed = cli("quarantine", "replay", "classes", "--all")
    assert replayed.code == 0
    assert "inserted 1, " in replayed.out
    assert "rejected 13" in replayed.out
    assert harmless(replayed.out + replayed.err)
    assert warehouse.rows(TABLES) == tables


@pytest.mark.parametrize("text", [one for one in NASTY if "\0" not in one])
def test_options_are_refused_or_values(source, cli, text):
    tables = source.warehouse.rows(TABLES)
    for words in (
        ("sync", f"x{text}"),
        ("sync", "classes", "--since", text),
        ("sync", "classes", "--limit", f"1 {text}"),
        ("sync", "classes", "--accept", text),
        ("reconcile", f"x{text}"),
        ("quarantine", "replay", "classes", f"x{text}"),
        ("quarantine", "list", f"x{text}"),
    ):
        done = cli(*words)
        assert done.code == 2, words
        assert "\x1b[2J" not in done.err
    for option in ("--code", "--field"):
        assert cli("quarantine", "list", option, text).out == "0 rows\n"
    assert source.server.requests("/services") == []
    assert source.warehouse.rows(TABLES) == tables


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("param", ["mode", "since"])
def test_params_of_a_run_are_refused_before_anything_is_asked(param, text):
    for params in ({param: text}, {"accept": [text]}):
        with pytest.raises(InputRejected) as refused:
            Request.from_params(params)
        assert text not in str(refused.value)
    with pytest.raises(ValueError, match=r".+"):
        soql.select(["Id"], "Account", limit=f"1 {text}")

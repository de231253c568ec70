"""`sync`, `reconcile` and `quarantine` on the command line, with the simulator behind their connection."""

import json

import pytest

from include.vms import state
from tests.cli_runner import cli
from tests.integration.vms.source import Source

__all__ = ["cli"]

pytestmark = pytest.mark.servers


@pytest.fixture
def source(salesforce, warehouse, redis_server, monkeypatch):
    """Three classes, of which one is bad."""
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", salesforce.connection_uri)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    school = salesforce.store.insert("Account", {"Name": "Lee High", "Type": "School"})
    salesforce.store.insert_many(
        "Class__c",
        [
            {"Name": f"Secret {n}", "School__c": school, "Class_Year_Number__c": number}
            for n, number in enumerate((1, 2, None))
        ],
    )
    salesforce.clock.move(3600)
    return Source(salesforce, warehouse)


def rows(source):
    return source.warehouse.table("class", "salesforce_id")


def status(cli, name="classes"):
    return next(one for one in json.loads(cli("sync", "status", "--json").out) if one["object"] == name)


def test_sync_dry_run_status_quarantine_and_replay(cli, source):
    first = status(cli)
    assert (first["watermark"], first["outcome"], first["quarantine"]) == (None, None, 0)

    tried = json.loads(cli("sync", "classes", "--dry-run", "--json").out)
    assert (tried[0]["dry_run"], tried[0]["counts"]["inserted"], len(tried[0]["samples"])) == (True, 2, 2)
    assert rows(source) == []

    said = cli("sync", "classes", "--full")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("classes: read 3 by ")
    assert "inserted 2" in said.out
    assert "rejected 1" in said.out
    assert len(rows(source)) == 2

    now = status(cli)
    assert (now["outcome"], now["mode"], now["read"], now["pending"], now["quarantine"]) == ("success", "full", 3, 2, 1)
    assert now["watermark"]
    assert now["calls_24h"] > 0
    assert now["api_limit"]
    table = cli("sync", "status").out
    assert "success" in table
    assert "never synced" in table

    held = json.loads(cli("quarantine", "list", "classes", "--json").out)
    assert [one["reasons"][0]["field"] for one in held] == ["Class_Year_Number__c"]
    shown = cli("quarantine", "list").out
    assert held[0]["record_key"] in shown
    assert "Class_Year_Number__c" in shown
    assert "Secret" not in shown + json.dumps(held), "ids and names of fields only"
    assert json.loads(cli("quarantine", "list", "schools", "--json").out) == []

    source.server.store.update("Class__c", held[0]["record_key"], {"Class_Year_Number__c": 3})
    assert "inserted 1" in cli("quarantine", "replay", "classes", held[0]["record_key"]).out
    assert len(rows(source)) == 3
    assert cli("quarantine", "replay", "classes", "--all").out.startswith("nothing to replay")


def test_reconcile_mends_what_is_missing(cli, source):
    assert "never been synced" in cli("reconcile", "classes").err
    assert status(cli)["outcome"] == "failed"
    cli("sync", "classes")
    source.warehouse.run("DELETE FROM vms.class WHERE salesforce_id = (SELECT min(salesforce_id) FROM vms.class)")
    done = json.loads(cli("reconcile", "classes", "--full", "--json").out)
    assert (done["repaired"], done["swept"], done["compared"]) == (1, True, "ids and modstamps")
    assert len(rows(source)) == 2
    again = cli("reconcile", "classes").out
    assert "repaired" not in again
    assert "counts, no values: `sync classes --full` reads those" in again


def test_all_goes_on_after_one_that_fails_and_names_it(cli, source):
    with source.warehouse.connect() as connection:
        state.open_run(connection, "schools", "somebody")
    done = cli("sync", "all", "--json")
    assert done.code == 1
    by_name = {one["object"]: one for one in json.loads(done.out)}
    assert by_name["classes"]["counts"]["inserted"] == 2
    assert "error" in by_name["schools"]
    (line,) = done.err.splitlines()
    assert line.startswith("error: schools: The run somebody is syncing schools (LEASE_HELD). What to do: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sync", "nothing"), "no sync is called"),
        (("sync", "classes", "--since", "2026-01-31"), "time zone"),
        (("sync", "classes", "--since", "2026-99-01T00:00:00Z"), "no ISO-8601 time"),
        (("sync", "classes", "--limit", "9999999999999999999999"), "10000000"),
        (("sync", "classes", "--full", "--since", "2026-01-31T08:00:00Z"), "leave --since out"),
        (("sync", "classes", "--accept", "all"), "mass_delete"),
        (("quarantine", "replay", "classes"), "name ids, or --all"),
        (("quarantine", "replay", "classes", "row:1"), "no Salesforce id"),
        (("reconcile", "nothing"), "no sync is called"),
    ],
)
def test_wrong_usage(cli, words, said):
    done = cli(*words)
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())

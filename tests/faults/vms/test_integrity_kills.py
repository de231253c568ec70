"""SIGKILL after the extraction: rows, links, merges, repairs and new columns are made good by whoever comes next."""

import pytest

from local.salesforce.metadata import FieldMeta
from tests.faults.vms.processes import KILLED, run, sync_once


@pytest.fixture
def synced(salesforce, warehouse):
    """Two schools and a class of each, synced."""
    store = salesforce.store
    loser, winner = store.insert_many("Account", [{"Name": name, "Type": "School"} for name in ("Old", "New")])
    rows = [
        {"Name": name, "School__c": school, "Class_Year_Number__c": 2030}
        for name, school in (("a", loser), ("b", winner))
    ]
    classes = store.insert_many("Class__c", rows)
    salesforce.clock.move(3600)
    for name in ("schools", "classes"):
        assert run(sync_once, salesforce.connection_uri, warehouse.url, name, "first")[0] == 0
    return {"loser": loser, "winner": winner, "classes": classes}


def expire_lease(warehouse):
    warehouse.run("UPDATE ops.sync_state SET lease_until = now()")


@pytest.mark.parametrize(
    ("point", "again"),
    [
        ("vms.validate.in_transaction", "the same run"),
        ("vms.validate.in_transaction", "another run"),
        ("vms.merge.before_commit", "another run"),
        ("vms.merge.after_commit", "another run"),
        ("vms.links.begun", "another run"),
        ("vms.links.in_transaction", "the same run"),
        ("vms.reconcile.mended", "another run"),
        ("vms.reconcile.mended", "the same run"),
        ("vms.formulas.read", "another run"),
    ],
)
def test_nothing_that_was_left_undone_stays_undone(salesforce, warehouse, synced, point, again):
    store = salesforce.store
    store.merge("Account", synced["winner"], [synced["loser"]])
    lost = store.insert("Account", {"Name": "Lost", "Type": "School"})
    store.add_field("Account", FieldMeta(name="Motto__c", type="string", label="Motto", length=80))
    store.update("Account", synced["winner"], {"Motto__c": "Onwards"}, stamps="none")
    salesforce.clock.move(3600)
    # No window has it; only the counts tell.
    store.update("Account", lost, {"SystemModstamp": "2020-01-01T00:00:00.000Z"}, stamps="none")
    code, _ = run(sync_once, salesforce.connection_uri, warehouse.url, "schools", "killed", fault=point)
    assert code == KILLED
    if again == "another run":
        expire_lease(warehouse)
    name = "killed" if again == "the same run" else "next"
    code, manifest = run(sync_once, salesforce.connection_uri, warehouse.url, "schools", name)
    assert code == 0, manifest
    assert warehouse.rows("SELECT DISTINCT school_salesforce_id, school_id FROM vms.class") == [(synced["winner"],) * 2]
    schools = "SELECT salesforce_id, motto FROM vms.school WHERE deleted_at IS NULL"
    assert set(warehouse.rows(schools)) == {(synced["winner"], "Onwards"), (lost, None)}
    outcome = "SELECT outcome FROM ops.sync_run WHERE run_id = %s AND object = 'schools'"
    assert warehouse.rows(outcome, name) == [("success",)]
    # And the next one finds nothing to do.
    salesforce.clock.move(3600)
    code, quiet = run(sync_once, salesforce.connection_uri, warehouse.url, "schools", "quiet")
    assert {key for key, n in quiet["counts"].items() if n} <= {"unchanged", "good"}
    assert quiet["api_calls"] <= 2

"""An organisation at work while it is synced: afterwards the tables say what Salesforce says."""

import pytest

from include.vms import registry
from include.vms.contracts import Accept
from tests.integration.vms.source import Source

HOURS = 3


@pytest.fixture
def source(salesforce, warehouse):
    salesforce.clock.stop()
    salesforce.load(percent=0.5, seed=4)
    return Source(salesforce, warehouse)


def sync(source):
    """All objects once, parents first; in a small organisation a few records are a large share."""
    for name in registry.objects():
        source.sync(name, accept=(Accept.MASS_DELETE, Accept.REJECTED_SHARE))


def test_the_tables_follow_an_organisation_at_work(source):
    sync(source)
    for _ in range(HOURS):
        source.server.live(60, per_minute=2)
        sync(source)
    # What was late is visible, the last minute's changes lie before the window's end, and formulas are due.
    source.server.clock.move(3600)
    source.warehouse.run("UPDATE ops.sync_state SET formulas_at = formulas_at - interval '25 hours'")
    sync(source)
    store, rows = source.server.store, source.warehouse.rows
    contacts = {row["Id"]: row for row in store.rows("Contact")}
    refused = {row[0] for row in rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}

    volunteers = {
        key: (
            row["Title"] and row["Title"].strip(),
            row["AccountId"],
            row["npsp__Primary_Affiliation__c"],
            max(0, row["Number_of_Attended_Volunteer_Sessions__c"] or 0),
            row["Last_Activity_Date__c"],
        )
        for key, row in contacts.items()
        if not row["IsDeleted"] and row["Contact_Type__c"] in ("Volunteer", None) and key not in refused
    }
    found = rows(
        "SELECT salesforce_id, title, salesforce_account_id, salesforce_primary_affiliation_id, times_volunteered,"
        " last_activity_date::text"
        " FROM vms.volunteer JOIN vms.person AS p USING (salesforce_id)"
        " WHERE volunteer.deleted_at IS NULL AND p.deleted_at IS NULL"
    )
    assert {key: tuple(values) for key, *values in found} == volunteers

    ties = {
        row["Id"]: (row["npe5__Contact__c"], row["npe5__Organization__c"], bool(row["npe5__Primary__c"]))
        for row in store.rows("npe5__Affiliation__c")
        if not row["IsDeleted"]
        and contacts.get(row["npe5__Contact__c"], {}).get("Contact_Type__c") != "Student"
        and row["Id"] not in refused
    }
    found = rows(
        "SELECT salesforce_id, salesforce_contact_id, salesforce_org_id, is_primary FROM vms.affiliation"
        " WHERE deleted_at IS NULL"
    )
    assert {key: tuple(values) for key, *values in found} == ties

    organizations = {
        row["Id"]: row["Name"].strip()
        for row in store.rows("Account")
        if not row["IsDeleted"]
        and row["Type"] not in ("Household", "School", "School District")
        and row["Id"] not in refused
    }
    assert dict(rows("SELECT salesforce_id, name FROM vms.organization WHERE deleted_at IS NULL")) == organizations

    merged = {(key, row["MasterRecordId"]) for key, row in contacts.items() if row["MasterRecordId"]}
    assert set(rows("SELECT alias_id, master_id FROM vms.record_alias")) == merged
    assert not rows("SELECT object FROM ops.sync_run WHERE outcome IS DISTINCT FROM 'success'")

"""A whole generated organisation, column by column: the engine's SQL against the rules in plain Python."""

import pytest

from include.vms import registry
from include.vms.contracts import Accept
from tests.integration.vms import mapping
from tests.integration.vms.source import Source

pytestmark = pytest.mark.servers
SOBJECTS = ("Account", "Contact", "Class__c", "npe5__Affiliation__c")


def sync(source):
    """All objects once; in a small organisation a few records are a large share."""
    for name in registry.objects():
        source.sync(name, accept=(Accept.MASS_DELETE, Accept.REJECTED_SHARE))


def compared(source):
    """What differs, and which tables were compared."""
    rows = source.warehouse.rows
    store = {sobject: source.server.store.rows(sobject) for sobject in SOBJECTS}
    refused = {row[0] for row in rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
    tables = mapping.expected(store, refused)
    return mapping.differences(rows, tables, refused), tables


def test_every_column_of_an_organisation_that_is_new_and_at_work(salesforce, warehouse):
    salesforce.clock.stop()
    salesforce.load(percent=1, seed=11)
    source = Source(salesforce, warehouse)
    sync(source)
    different, tables = compared(source)
    assert different == []
    kinds = {"person", "volunteer", "school", "district", "organization", "class", "affiliation"}
    children = {"person_email", "person_phone", "person_address", "person_skill", "district_alias"}
    assert set(tables) >= kinds | children
    assert min(len(tables[kind]) for kind in kinds) > 5
    for _ in range(2):
        salesforce.live(60, per_minute=3)
        sync(source)
    # What was late is visible, the last minute's changes lie before the window's end, and formulas are due.
    salesforce.clock.move(3600)
    warehouse.run("UPDATE ops.sync_state SET formulas_at = formulas_at - interval '25 hours'")
    sync(source)
    assert compared(source)[0] == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE vms.person SET race_ethnicity = 'x' WHERE salesforce_id = {id}", "race_ethnicity is 'x'"),
        ("DELETE FROM vms.person_email WHERE parent_id = {id}", "missing"),
        ("INSERT INTO vms.person_skill VALUES ({id}, 'Magic')", "too many"),
        ("UPDATE vms.volunteer SET deleted_at = now() WHERE salesforce_id = {id}", "missing"),
    ],
)
def test_the_comparison_sees_what_is_wrong(salesforce, warehouse, change, word):
    values = {"FirstName": "Ana", "LastName": "Li", "Email": "a@example.org", "Contact_Type__c": "Volunteer"}
    person = salesforce.store.insert("Contact", values)
    source = Source(salesforce, warehouse)
    salesforce.clock.move(3600)
    source.sync("volunteers")
    assert compared(source)[0] == []
    warehouse.run(change.format(id=f"'{person}'"))
    assert word in str(compared(source)[0])

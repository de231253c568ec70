"""Calculated fields change without a modstamp: they are read again when they are due, columns only."""

import pytest

from include.vms import formulas, registry
from include.vms.contracts import Mode
from tests.integration.vms.source import Source

ADDRESS = "1 Main St, Kansas City, MO 64105"


@pytest.fixture
def source(salesforce, warehouse):
    """Two volunteers, synced; the refresh of their formulas is due."""
    found = Source(salesforce, warehouse)
    people = [{"FirstName": "Ann", "LastName": name, "Contact_Type__c": "Volunteer"} for name in ("Lee", "Kim")]
    found.ids = salesforce.store.insert_many("Contact", people)
    salesforce.clock.move(3600)
    found.sync("volunteers")
    found.sync("volunteers")
    salesforce.clock.move(3600)
    return found


def due(source):
    source.warehouse.run("UPDATE ops.sync_state SET formulas_at = now() - interval '25 hours'")


def volunteer(source, *columns):
    names = ", ".join(columns)
    return source.warehouse.rows(f"SELECT {names} FROM vms.volunteer WHERE salesforce_id = %s", source.ids[0])[0]


def test_a_formula_that_changed_silently_arrives_with_the_refresh_and_nothing_else_does(source):
    store = source.server.store
    store.update(
        "Contact",
        source.ids[0],
        {
            "Number_of_Attended_Volunteer_Sessions__c": 7,
            "Last_Volunteer_Date__c": "2026-02-01",
            "npe01__Work_Address__c": ADDRESS,
            "Title": "not a formula",
        },
        stamps="none",
    )
    source.server.clock.move(3600)
    assert "refreshed" not in source.sync("volunteers").counts
    assert volunteer(source, "times_volunteered", "last_volunteer_date::text") in [(0, None), (None, None)]
    due(source)
    stamp = volunteer(source, "system_modstamp")
    run = source.sync("volunteers")
    assert run.counts["refreshed"] >= 1
    assert volunteer(source, "times_volunteered", "last_volunteer_date::text", "title") == (7, "2026-02-01", None)
    assert volunteer(source, "system_modstamp") == stamp
    # Sets that are made of a formula, too.
    addresses = "SELECT type, city FROM vms.person_address WHERE parent_id = %s"
    assert source.warehouse.rows(addresses, source.ids[0]) == [("professional", "Kansas City")]
    assert (
        source.warehouse.rows("SELECT FROM pg_tables WHERE schemaname = 'vms_stage' AND tablename ~ '_columns'") == []
    )
    # Nothing more to do until it is due again.
    assert "refreshed" not in source.sync("volunteers").counts


def test_a_full_run_needs_no_refresh_after_it(source):
    due(source)
    assert "refreshed" not in source.sync("volunteers", Mode.FULL).counts
    assert "refreshed" not in source.sync("volunteers").counts


def test_an_object_without_formulas_asks_nothing(source):
    source.server.clock.move(3600)
    source.sync("classes")
    due(source)
    assert source.sync("classes").api_calls == 1


def test_a_record_that_is_not_here_yet_gets_no_row(source):
    due(source)
    fresh = {"FirstName": "New", "LastName": "Here", "Contact_Type__c": "Volunteer", "npe01__Work_Address__c": ADDRESS}
    source.server.store.insert("Contact", fresh)
    run = source.sync("volunteers")
    assert run.counts["refreshed"] == 0


def test_only_what_hangs_on_the_fields_is_read():
    spec = registry.get("volunteers")
    narrow = formulas.narrowed(spec, {"Last_Volunteer_Date__c"})
    assert [field.name for field in narrow.fields] == ["Last_Volunteer_Date__c"]
    assert [column.name for column in narrow.table.columns if column.source] == ["last_volunteer_date"]
    assert narrow.children == ()
    wide = formulas.narrowed(spec, {"npe01__Work_Address__c"})
    assert [child.name for child in wide.children] == ["person_address"]
    assert "MailingCity" in wide.by_name

"""The source's schema changes: additions are taken in, what could lose data is refused with the tables as they were."""

from dataclasses import replace

import pytest

from include.operations.errors import ErrorClass, classify
from include.vms import drift, extract, registry
from include.vms.contracts import Accept, Request
from include.vms.drift import SchemaDrift
from include.vms.spec import Field, Kind, Pii
from local.salesforce.metadata import FieldMeta
from tests.integration.vms.source import Source, session


@pytest.fixture
def source(salesforce, warehouse):
    """Three classes, synced."""
    found = Source(salesforce, warehouse)
    row = {"Name": "5b", "Class_Year_Number__c": 2030, "School__c": "001000000000001AAA"}
    found.ids = salesforce.store.insert_many("Class__c", [row] * 3)
    salesforce.clock.move(3600)
    found.sync("classes")
    salesforce.clock.move(3600)
    return found


def meta(name, kind="string", **more):
    return FieldMeta(name=name, type=kind, label=name, **more)


def test_a_new_custom_field_gets_a_column_is_filled_and_selected_from_then_on(source):
    store, warehouse = source.server.store, source.warehouse
    for field in (
        meta("Room__c", length=40),
        meta("npsp__Budget__c", "double", precision=18, scale=2),
        meta("Opened__c", "date"),
        # A column of that name is there.
        meta("name__c", length=20),
    ):
        store.add_field("Class__c", field)
    values = {"Room__c": "12", "npsp__Budget__c": 10.5, "Opened__c": "2026-01-31", "name__c": "n"}
    store.update("Class__c", source.ids[0], values, stamps="none")
    source.server.clock.move(3600)
    run = source.sync("classes")
    assert "Schema of Class__c: Room__c is new; it gets the column class.room." in run.notes
    assert run.counts["refreshed"] == 1
    row = "SELECT room, npsp_budget::real, opened::text, name_2 FROM vms.class WHERE salesforce_id = %s"
    assert warehouse.rows(row, source.ids[0]) == [("12", 10.5, "2026-01-31", "n")]
    # From now on with the rows.
    store.update("Class__c", source.ids[1], {"Room__c": "13", "npsp__Budget__c": 3})
    source.server.clock.move(3600)
    run = source.sync("classes")
    assert (run.notes, run.counts["updated"]) == ([], 1)
    assert warehouse.rows(row, source.ids[1]) == [("13", 3.0, None, None)]
    with warehouse.connect() as connection:
        added = drift.effective(connection, registry.get("classes"))
    assert added.by_name["Room__c"].pii is Pii.PERSONAL
    assert added.by_name["npsp__Budget__c"].kind is Kind.NUMBER
    comment = "SELECT col_description('vms.class'::regclass, attnum) FROM pg_attribute WHERE attname = 'room'"
    assert "Room__c of Salesforce" in warehouse.rows(comment)[0][0]


def test_a_column_that_was_added_outlives_its_field(source):
    store, warehouse = source.server.store, source.warehouse
    store.add_field("Class__c", meta("Room__c", length=40))
    store.update("Class__c", source.ids[0], {"Room__c": "12"})
    source.server.clock.move(3600)
    source.sync("classes")
    store.remove_field("Class__c", "Room__c")
    store.update("Class__c", source.ids[0], {"Name": "6b"})
    source.server.clock.move(3600)
    run = source.sync("classes")
    assert run.notes == ["Schema of Class__c: Room__c is gone; the column room keeps its values."]
    assert warehouse.rows("SELECT name, room FROM vms.class WHERE room IS NOT NULL") == [("6b", "12")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("remove", None), "Class__c no longer has Class_Year_Number__c"),
        (("change", meta("Year__c", "double", precision=4)), "Class__c no longer has Class_Year_Number__c"),
        (("change", meta("Class_Year_Number__c", "date")), "Class_Year_Number__c was double and is date"),
        (("change", meta("Class_Year_Number__c", "double", precision=2)), "Class_Year_Number__c held 4 .* holds 2"),
    ],
    ids=["removed", "renamed", "retyped", "shorter"],
)
def test_a_field_we_need_that_changes_for_the_worse_stops_the_run(source, change, told):
    store, warehouse = source.server.store, source.warehouse
    before = (
        warehouse.rows("SELECT * FROM vms.class ORDER BY 1"),
        warehouse.rows("SELECT watermark FROM ops.sync_state"),
    )
    kind, new = change
    if kind == "remove":
        store.remove_field("Class__c", "Class_Year_Number__c")
    else:
        store.change_field("Class__c", "Class_Year_Number__c", new)
    source.server.clock.move(3600)
    for run in ("first", "second"):
        with pytest.raises(SchemaDrift, match=told) as refused:
            source.sync("classes", run=run)
        source.warehouse.run("UPDATE ops.sync_state SET lease_until = now()")
    found = classify(refused.value)
    assert (found.error_class, found.transient, found.code) == (ErrorClass.VALIDATION, False, "SCHEMA_DRIFT")
    assert "include/vms/objects/classes.py" in found.what_to_do
    after = warehouse.rows("SELECT * FROM vms.class ORDER BY 1"), warehouse.rows("SELECT watermark FROM ops.sync_state")
    assert after == before


def test_a_field_that_was_never_there_is_not_called_gone(source):
    classes = registry.get("classes")
    wanted = replace(classes, fields=(*classes.fields, Field("Rooom__c", Kind.TEXT)))
    with session(source.server) as client, pytest.raises(SchemaDrift, match="Class__c has no Rooom__c: misspelt"):
        extract.extract(client, source.warehouse.connect, wanted, Request(), "new-code")


def test_a_person_may_accept_a_change_once(source):
    source.server.store.change_field("Class__c", "Name", meta("Name", length=10))
    source.server.clock.move(3600)
    with pytest.raises(SchemaDrift, match="Name held 80 characters and holds 10"):
        source.sync("classes", run="refused")
    source.warehouse.run("UPDATE ops.sync_state SET lease_until = now()")
    run = source.sync("classes", accept=(Accept.SCHEMA_CHANGE,))
    assert any("holds 10" in note for note in run.notes)
    source.server.clock.move(3600)
    assert source.sync("classes").notes == []


def test_wider_fields_picklists_and_what_is_not_synced_are_notes(source, caplog):
    store = source.server.store
    store.change_field("Class__c", "Name", meta("Name", "textarea", length=200))
    store.change_field("Class__c", "Class_Year_Number__c", meta("Class_Year_Number__c", "double", precision=9))
    store.add_field("Class__c", meta("Where__c", "location"))
    source.server.clock.move(3600)
    assert source.sync("classes").notes == ["Schema of Class__c: Where__c is new and not synced."]
    assert "vms_schema_changed" in caplog.text
    source.sync("organizations")
    store.change_field("Account", "Type", meta("Type", "picklist", picklist=("School", "Church")))
    source.server.clock.move(3600)
    (note,) = source.sync("organizations").notes
    assert "Type offers 'Church'" in note
    assert "no longer offers" in note


def test_a_dry_run_tells_and_remembers_nothing(source):
    source.server.store.add_field("Class__c", meta("Room__c", length=40))
    source.server.clock.move(3600)
    manifest = source.sync("classes", dry_run=True)
    assert any("Room__c is new" in note for note in manifest.notes)
    assert source.warehouse.rows("SELECT FROM ops.source_field WHERE field = 'Room__c'") == []
    assert source.sync("classes").counts["refreshed"] == 0
    # With the column in it, too.
    assert source.sync("classes", dry_run=True).counts["updated"] == 0

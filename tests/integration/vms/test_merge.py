"""Staged rows become rows of the record tables: what is written, and what is counted."""

import pytest
from psycopg import sql

from include.operations.errors import LeaseLost
from include.vms import merge, registry, validate
from include.vms.contracts import Mode
from include.vms.objects.classes import OBJECT as CLASSES
from include.vms.objects.volunteers import OBJECT as VOLUNTEERS
from tests.integration.vms.harness import csv_bytes, record_id, stamp

pytestmark = pytest.mark.servers

SCHOOL = record_id("001", 7)


def a_class(number, name="Algebra", modified=0, **more):
    return {
        "Id": record_id("a0C", number),
        "Name": name,
        "School__c": SCHOOL,
        "Class_Year_Number__c": "2027.0",
        "SystemModstamp": stamp(modified),
        **more,
    }


def a_volunteer(number, modified=0, **more):
    return {
        "Id": record_id("003", number),
        "FirstName": "Ada",
        "LastName": "Byron",
        "Contact_Type__c": "Volunteer",
        "MailingCity": "Kansas City",
        "SystemModstamp": stamp(modified),
        **more,
    }


def counted(manifest, *names):
    """The counts named, and that nothing else was counted."""
    others = {"unchanged", "inserted", "updated", "restored", "deleted", "left_filter", "rejected", "flagged"}
    assert {name: manifest.counts[name] for name in others - set(names) if manifest.counts[name]} == {}
    return tuple(manifest.counts[name] for name in names)


def active(warehouse, table="class"):
    query = sql.SQL("SELECT salesforce_id FROM vms.{} WHERE deleted_at IS NULL ORDER BY 1").format(
        sql.Identifier(table)
    )
    return [int(row[0][3:15]) for row in warehouse.rows(query)]


def test_new_rows_are_inserted_and_the_same_again_rewrites_nothing(warehouse):
    assert counted(warehouse.load(CLASSES, a_class(1), a_class(2, "Biology")), "inserted") == (2,)
    before = warehouse.table("class", "salesforce_id", "name", "class_year", "xmin")
    assert counted(warehouse.load(CLASSES, a_class(1), a_class(2, "Biology")), "unchanged") == (2,)
    assert warehouse.table("class", "salesforce_id", "name", "class_year", "xmin") == before
    assert [row[1:3] for row in before] == [("Algebra", 2027), ("Biology", 2027)]


def test_only_what_differs_is_updated(warehouse):
    warehouse.load(CLASSES, a_class(1), a_class(2))
    assert counted(warehouse.load(CLASSES, a_class(1), a_class(2, "Botany", 5)), "updated", "unchanged") == (1, 1)
    assert warehouse.rows("SELECT name FROM vms.class ORDER BY 1") == [("Algebra",), ("Botany",)]


def test_a_version_older_than_the_stored_one_changes_nothing(warehouse):
    warehouse.load(CLASSES, a_class(1, "New", 9))
    assert counted(warehouse.load(CLASSES, a_class(1, "Old", 3)), "unchanged") == (1,)
    assert warehouse.rows("SELECT name FROM vms.class") == [("New",)]


def test_of_several_versions_in_one_read_the_newest_counts(warehouse):
    # Equal modstamps: what was read later was the state later.
    run = warehouse.load(CLASSES, a_class(1, "b", 2), a_class(1, "c", 3), a_class(1, "a", 1), a_class(1, "d", 3))
    assert counted(run, "inserted") == (1,)
    assert run.counts["superseded"] == 3
    assert warehouse.rows("SELECT name FROM vms.class") == [("d",)]


def test_ids_of_15_and_18_characters_are_the_same_record(warehouse):
    warehouse.load(CLASSES, a_class(1))
    run = warehouse.load(CLASSES, a_class(1, "Short", 5) | {"Id": record_id("a0C", 1)[:15]}, a_class(1, "Long", 4))
    assert counted(run, "updated") == (1,)
    assert warehouse.rows("SELECT name FROM vms.class") == [("Short",)]


def test_texts_are_trimmed_and_words_for_nothing_stay(warehouse):
    names = ["NULL", "NA", "None", "\u00a0 two  words\t\r\n", 'with "quotes"\nand lines']
    warehouse.load(CLASSES, *(a_class(number, name) for number, name in enumerate(names)))
    assert [row[1] for row in warehouse.table("class", "salesforce_id", "name")] == [
        "NULL",
        "NA",
        "None",
        "two  words",
        'with "quotes"\nand lines',
    ]


def test_deleted_and_undeleted(warehouse):
    warehouse.load(CLASSES, a_class(1), a_class(2))
    gone = a_class(1, modified=5, IsDeleted="true")
    assert counted(warehouse.load(CLASSES, gone), "deleted") == (1,)
    assert counted(warehouse.load(CLASSES, gone)) == ()
    assert active(warehouse) == [2]
    assert warehouse.rows("SELECT deleted_at = system_modstamp FROM vms.class ORDER BY salesforce_id")[0] == (True,)
    assert counted(warehouse.load(CLASSES, a_class(1, modified=8)), "restored") == (1,)
    assert active(warehouse) == [1, 2]


def test_a_record_that_was_never_here_and_is_deleted_leaves_nothing(warehouse):
    assert counted(warehouse.load(CLASSES, a_class(1, IsDeleted="true"))) == ()
    assert warehouse.table("class", "salesforce_id") == []


def test_deletions_by_id_spare_what_was_changed_after_them(warehouse):
    warehouse.load(CLASSES, a_class(1), a_class(2), a_class(3))
    staged = warehouse.stage(CLASSES, csv_bytes(CLASSES, [a_class(2, modified=30)]))
    gone = [(record_id("a0C", number), "2026-03-01T12:20:00.000+0000") for number in (1, 2)]
    with warehouse.connect() as connection:
        connection.cursor().executemany("INSERT INTO vms_stage.classes_deleted (id, deleted_at) VALUES (%s, %s)", gone)
    run = merge.merge(warehouse.connect, CLASSES, validate.validate(warehouse.connect, CLASSES, staged))
    assert counted(run, "deleted", "updated") == (1, 1)
    assert active(warehouse) == [2, 3]


def test_a_contact_that_changes_its_type_leaves_the_volunteers_and_stays_a_person(warehouse):
    warehouse.load(VOLUNTEERS, a_volunteer(1), a_volunteer(2))
    left = warehouse.load(VOLUNTEERS, a_volunteer(1, 5, Contact_Type__c="Teacher"))
    assert counted(left, "left_filter") == (1,)
    assert active(warehouse, "volunteer") == [2]
    assert active(warehouse, "person") == [1, 2]
    # One who never was a volunteer is none of our business.
    assert counted(warehouse.load(VOLUNTEERS, a_volunteer(3, Contact_Type__c="Student"))) == ()
    assert active(warehouse, "person") == [1, 2]
    assert counted(warehouse.load(VOLUNTEERS, a_volunteer(1, 9)), "restored") == (1,)
    # Deleted means gone everywhere.
    assert counted(warehouse.load(VOLUNTEERS, a_volunteer(2, 9, IsDeleted="true")), "deleted") == (1,)
    assert active(warehouse, "person") == [1] == active(warehouse, "volunteer")


def test_children_are_replaced_as_a_set(warehouse):
    def emails():
        return warehouse.rows("SELECT parent_id, email, type, is_primary, xmin FROM vms.person_email ORDER BY 1, 2")

    first = a_volunteer(1, Email="ada@example.org", npe01__WorkEmail__c="Ada@Engine.example")
    other = a_volunteer(2, Email="bob@example.org")
    warehouse.load(VOLUNTEERS, first, other)
    before = emails()
    assert [row[1] for row in before] == ["ada@engine.example", "ada@example.org", "bob@example.org"]
    warehouse.load(VOLUNTEERS, first, other)
    assert emails() == before
    warehouse.load(VOLUNTEERS, a_volunteer(1, 5, Email="ada@example.org", HomePhone="816 555 0100"))
    assert [row[1] for row in emails()] == ["ada@example.org", "bob@example.org"]
    # Of an older version nothing is taken.
    warehouse.load(VOLUNTEERS, a_volunteer(1, 3, Email="old@example.org"))
    assert [row[1] for row in emails()] == ["ada@example.org", "bob@example.org"]


def test_a_reference_that_changes_is_no_longer_resolved(warehouse):
    warehouse.load(registry.get("schools"), {"Id": SCHOOL, "Name": "Central High", "Type": "School"})
    warehouse.load(CLASSES, a_class(1), a_class(2))
    warehouse.run(f"UPDATE vms.class SET school_id = '{SCHOOL}'")
    warehouse.load(CLASSES, a_class(1, "Renamed", 5), a_class(2, "Moved", 5, School__c=record_id("001", 8)))
    assert warehouse.rows("SELECT school_id FROM vms.class ORDER BY salesforce_id") == [(SCHOOL,), (None,)]


def test_every_object_takes_a_row_with_nothing_but_system_fields(warehouse):
    for number, spec in enumerate(registry.objects().values()):
        run = warehouse.load(spec, {"Id": record_id("001", number)})
        done = run.counts["inserted"] + run.counts["rejected"] + run.counts["left_filter"]
        assert done == 1 or not run.counts["good"], spec.name


def test_the_watermark_moves_with_the_rows_and_only_for_a_whole_window(warehouse):
    query = "SELECT watermark, phase, staged_rows, succeeded_at IS NOT NULL FROM ops.sync_state"
    run = warehouse.load(CLASSES, a_class(1), moves_watermark=False)
    assert warehouse.rows(query) == [(None, None, 0, False)]
    run = warehouse.load(CLASSES, a_class(1), window_to="2026-03-01T12:00:00+00:00")
    ((watermark, phase, staged, succeeded),) = warehouse.rows(query)
    assert (watermark.isoformat(), phase, staged, succeeded) == (run.window_to, None, 0, True)


def test_a_second_try_after_the_commit_gives_the_same_counts(warehouse):
    staged = warehouse.stage(CLASSES, csv_bytes(CLASSES, [a_class(1), a_class(2, modified=3)]))
    checked = validate.validate(warehouse.connect, CLASSES, staged)
    before = checked.to_dict()
    first = merge.merge(warehouse.connect, CLASSES, checked)
    again = merge.merge(warehouse.connect, CLASSES, type(checked).from_dict(before))
    assert counted(again, "inserted") == counted(first, "inserted") == (2,)
    assert warehouse.rows("SELECT inserted, updated FROM ops.sync_run") == [(2, 0)]


def test_who_has_lost_the_lease_writes_nothing(warehouse):
    old = validate.validate(
        warehouse.connect, CLASSES, warehouse.stage(CLASSES, csv_bytes(CLASSES, [a_class(1, "Old")]))
    )
    warehouse.stage(CLASSES, csv_bytes(CLASSES, [a_class(1, "New")]))
    with pytest.raises(LeaseLost):
        merge.merge(warehouse.connect, CLASSES, old)
    with pytest.raises(LeaseLost):
        validate.validate(warehouse.connect, CLASSES, old)
    assert warehouse.table("class", "salesforce_id") == []


def test_a_full_run_says_so(warehouse):
    warehouse.load(CLASSES, a_class(1), mode=Mode.FULL, swept=True)
    assert warehouse.rows("SELECT last_full_at IS NOT NULL, swept_at IS NOT NULL FROM ops.sync_state") == [(True, True)]

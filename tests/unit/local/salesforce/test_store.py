"""What happens to records: stamps, recycle bin, cascades, merges, late changes, changed fields, a killed process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.salesforce.describe import describe
from local.salesforce.errors import ApiError
from local.salesforce.metadata import Catalog, FieldMeta, ObjectMeta, standard_catalog
from local.salesforce.store import Store

START = datetime(2026, 5, 2, 12, tzinfo=UTC)
NOON, LATER = "2026-05-02T12:00:00.000Z", "2026-05-02T12:01:00.000Z"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    store.clock.stop()
    store.clock.set(START)
    yield store
    store.close()


def contact(store: Store, **values: object) -> str:
    return store.insert("Contact", {"LastName": "X", **values})


def stamps(store: Store, record_id: str, name: str = "Contact") -> tuple[object, object, object]:
    row = store.get(name, record_id)
    assert row is not None
    return row["CreatedDate"], row["LastModifiedDate"], row["SystemModstamp"]


def test_each_change_stamps_what_it_should(store: Store) -> None:
    record = contact(store)
    assert stamps(store, record) == (NOON, NOON, NOON)
    store.clock.move(60.9)
    store.update("Contact", record, {"Email": "a@example.org"}, stamps="none")
    assert stamps(store, record) == (NOON, NOON, NOON)
    store.update("Contact", record, {"Email": "b@example.org"}, stamps="system")
    assert stamps(store, record) == (NOON, NOON, LATER)
    store.update("Contact", record, {"Email": "c@example.org"})
    assert stamps(store, record) == (NOON, LATER, LATER)
    row = store.get("Contact", record)
    assert row is not None
    assert row["Email"] == "c@example.org"


def test_the_name_of_a_person_follows_its_parts(store: Store) -> None:
    record = contact(store, FirstName="Ada", LastName="Lovelace")
    assert (store.get("Contact", record) or {})["Name"] == "Ada Lovelace"
    store.update("Contact", record, {"FirstName": ""})
    row = store.get("Contact", record) or {}
    assert (row["Name"], row["FirstName"]) == ("Lovelace", None)


def test_a_deletion_takes_along_what_belongs_to_it_and_brings_it_back(store: Store) -> None:
    account = store.insert("Account", {"Name": "School"})
    own, other, gone_before = contact(store, AccountId=account), contact(store), contact(store, AccountId=account)
    store.delete("Contact", [gone_before])
    store.clock.move(60)
    store.delete("Account", [account])
    assert (store.count("Contact"), store.count("Contact", deleted=True)) == (1, 3)
    assert stamps(store, own) == (NOON, LATER, LATER)
    assert stamps(store, other) == (NOON, NOON, NOON)
    assert store.deleted_between("Contact", NOON, "3") == [(gone_before, NOON), (own, LATER)]
    store.undelete("Account", [account])
    # What somebody had deleted before stays where it is.
    assert [row["Id"] for row in store.rows("Contact") if row["IsDeleted"]] == [gone_before]
    assert store.deleted_between("Account", NOON, "3") == []


@pytest.mark.parametrize("logged", [True, False])
def test_a_purged_record_is_gone_and_perhaps_in_the_log(store: Store, logged: bool) -> None:
    account = store.insert("Account", {"Name": "School"})
    child = contact(store, AccountId=account)
    store.delete("Account", [account])
    store.hard_delete("Account", [account], logged=logged)
    assert store.get("Account", account) is None
    assert store.get("Contact", child) is None
    expected = [(child, NOON)] if logged else []
    assert store.deleted_between("Contact", NOON, "3") == expected
    with pytest.raises(ApiError, match="UNDELETE_FAILED"):
        store.undelete("Account", [account])


def test_a_merge_points_everything_to_the_winner_without_new_stamps(store: Store) -> None:
    winner, loser = contact(store, LastName="Kept"), contact(store, LastName="Lost")
    link = store.insert("npe5__Affiliation__c", {"npe5__Contact__c": loser})
    store.clock.move(60)
    store.merge("Contact", winner, [loser], {"Email": "kept@example.org"})
    lost = store.get("Contact", loser) or {}
    assert (lost["IsDeleted"], lost["MasterRecordId"], lost["SystemModstamp"]) == (1, winner, LATER)
    child = store.get("npe5__Affiliation__c", link) or {}
    assert (child["npe5__Contact__c"], child["IsDeleted"], child["SystemModstamp"]) == (winner, 0, NOON)
    kept = store.get("Contact", winner) or {}
    assert (kept["Email"], kept["SystemModstamp"]) == ("kept@example.org", LATER)
    assert store.deleted_between("Contact", NOON, "3") == [(loser, LATER)]


@pytest.mark.parametrize("losers", [0, 3])
def test_a_merge_has_one_or_two_losers(store: Store, losers: int) -> None:
    winner, others = contact(store), [contact(store) for _ in range(losers)]
    with pytest.raises(ApiError, match="one or two"):
        store.merge("Contact", winner, others)
    with pytest.raises(ApiError, match="one or two"):
        store.merge("Contact", winner, [winner])


def test_a_late_change_shows_later_with_the_stamp_of_its_time(store: Store) -> None:
    record = contact(store)
    new = store.insert("Contact", {"LastName": "Late"}, late_by=300)
    store.update("Contact", record, {"LastName": "Changed"}, late_by=300)
    store.clock.move(299)
    assert store.get("Contact", new) is None
    assert (store.get("Contact", record) or {})["LastName"] == "X"
    assert store.oldest_pending() == NOON
    store.clock.move(1)
    assert stamps(store, new) == (NOON, NOON, NOON)
    assert (store.get("Contact", record) or {})["Name"] == "Changed"
    assert store.oldest_pending() is None


def test_a_change_on_its_way_of_which_replication_tells_nothing(store: Store) -> None:
    new = store.insert("Contact", {"LastName": "Late"}, late_by=300, told=False)
    assert store.oldest_pending() is None
    store.clock.move(300)
    assert stamps(store, new) == (NOON, NOON, NOON)


def test_what_changed_while_its_deletion_was_under_way_keeps_its_stamp(store: Store) -> None:
    account = store.insert("Account", {"Name": "School"})
    child = contact(store, AccountId=account)
    store.delete("Account", [account], late_by=300)
    store.clock.move(60)
    store.update("Contact", child, {"LastName": "Changed"})
    store.clock.move(240)
    row = store.get("Contact", child) or {}
    assert (row["IsDeleted"], row["SystemModstamp"]) == (1, LATER)
    assert (child, LATER) in store.deleted_between("Contact", NOON, "9")


def test_a_later_change_is_not_undone_by_a_late_one(store: Store) -> None:
    record = contact(store)
    store.update("Contact", record, {"LastName": "First"}, late_by=300)
    store.clock.move(60)
    store.update("Contact", record, {"LastName": "Second"})
    store.clock.move(600)
    row = store.get("Contact", record) or {}
    assert (row["LastName"], row["SystemModstamp"]) == ("Second", LATER)


def test_whoever_deletes_waits_for_late_changes_of_the_same_records(store: Store) -> None:
    account = store.insert("Account", {"Name": "School"})
    child = contact(store, AccountId=account)
    store.update("Contact", child, {"LastName": "Changed"}, late_by=300)
    late = store.insert("Contact", {"LastName": "Late", "AccountId": account}, late_by=600)
    store.clock.move(60)
    store.delete("Account", [account])
    row = store.get("Contact", child) or {}
    assert (row["LastName"], row["IsDeleted"], row["SystemModstamp"]) == ("Changed", 1, LATER)
    store.clock.move(600)
    assert stamps(store, child)[2] == LATER
    assert (store.get("Contact", late) or {})["IsDeleted"] == 0


def test_a_merge_waits_for_late_changes_of_what_belongs_to_the_losers(store: Store) -> None:
    winner, loser = contact(store), contact(store)
    link = store.insert("npe5__Affiliation__c", {"npe5__Contact__c": loser}, late_by=300)
    store.merge("Contact", winner, [loser])
    store.clock.move(300)
    assert (store.get("npe5__Affiliation__c", link) or {})["npe5__Contact__c"] == winner


def test_a_change_after_a_late_deletion_comes_too_late(store: Store) -> None:
    record = contact(store)
    store.delete("Contact", [record], late_by=300)
    with pytest.raises(ApiError, match="ENTITY_IS_DELETED"):
        store.update("Contact", record, {"LastName": "Y"})


def test_nothing_belongs_to_itself_after_a_merge(store: Store) -> None:
    loser = store.insert("Account", {"Name": "Above"})
    winner = store.insert("Account", {"Name": "Below", "ParentId": loser})
    other = store.insert("Account", {"Name": "Other", "ParentId": loser})
    store.merge("Account", winner, [loser])
    assert (store.get("Account", winner) or {})["ParentId"] is None
    assert (store.get("Account", other) or {})["ParentId"] == winner


def test_a_late_deletion_is_in_the_log_at_its_own_time(store: Store) -> None:
    record = contact(store)
    store.delete("Contact", [record], late_by=60)
    assert store.count("Contact") == 1
    store.clock.move(60)
    assert store.count("Contact") == 0
    assert store.deleted_between("Contact", NOON, LATER) == [(record, NOON)]


def test_fields_come_go_and_change(store: Store) -> None:
    record = contact(store)
    store.add_field("Contact", FieldMeta(name="Shoe_Size__c", type="double"))
    store.update("Contact", record, {"Shoe_Size__c": "42.5"})
    before = stamps(store, record)
    store.change_field("Contact", "Shoe_Size__c", FieldMeta(name="Shoes__c", type="string"))
    assert (store.get("Contact", record) or {})["Shoes__c"] == "42.5"
    store.update("Contact", record, {"Shoes__c": "big"})
    store.change_field("Contact", "shoes__c", FieldMeta(name="Shoes__c", type="double"))
    assert (store.get("Contact", record) or {})["Shoes__c"] is None
    store.remove_field("Contact", "Shoes__c")
    with pytest.raises(ApiError, match="No such column 'Shoes__c'"):
        store.update("Contact", record, {"Shoes__c": 1})
    assert stamps(store, record) == before
    with pytest.raises(ApiError, match="No such column 'SystemModstamp'"):
        store.remove_field("Contact", "SystemModstamp")


def test_a_reference_field_can_be_removed_while_it_is_indexed(store: Store) -> None:
    store.remove_field("npe5__Affiliation__c", "npe5__Contact__c")
    assert store.catalog["npe5__Affiliation__c"].find("npe5__Contact__c") is None
    store.reset()
    assert store.catalog["npe5__Affiliation__c"].find("npe5__Contact__c") is not None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"LastName": "X", "Nothing__c": 1}, "No such column 'Nothing__c'"),
        ({"LastName": "X", "MailingAddress": "x"}, "No such column 'MailingAddress'"),
        ({"LastName": "X", "CreatedDate": "yesterday"}, "CreatedDate: not a value of type datetime"),
        ({"LastName": "X", "IsDeleted": "maybe"}, "IsDeleted: not a value of type boolean"),
    ],
)
def test_what_no_record_can_hold_changes_nothing(store: Store, row: dict[str, object], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        store.insert_many("Contact", [{"LastName": "Fine"}, row])
    record = contact(store)
    with pytest.raises(ApiError, match=words):
        store.update("Contact", record, {"LastName": "Changed", **row})
    assert [r["LastName"] for r in store.rows("Contact")] == ["X"]


def test_deleted_and_missing_records_cannot_be_changed(store: Store) -> None:
    record = contact(store)
    store.delete("Contact", [record])
    with pytest.raises(ApiError, match="ENTITY_IS_DELETED"):
        store.update("Contact", record, {"LastName": "Y"})
    with pytest.raises(ApiError, match="NOT_FOUND"):
        store.delete("Contact", ["0035e0000000099AAA"])


def test_ids_are_never_given_twice(store: Store) -> None:
    first = contact(store)
    own = store.insert("Contact", {"LastName": "X", "Id": "0035e00000000zzAAA"})
    store.hard_delete("Contact", [first, own])
    assert contact(store) > own
    with pytest.raises(ApiError, match="DUPLICATE_VALUE"):
        store.insert_many("Contact", [{"LastName": "X", "Id": own}, {"LastName": "X", "Id": own}])


def test_everything_survives_in_a_directory(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.clock.stop()
    record = contact(store)
    store.add_field("Contact", FieldMeta(name="New__c"))
    late = store.insert("Contact", {"LastName": "Late", "New__c": "x"}, late_by=3600)
    # No close: the process was killed.
    again = Store(tmp_path, clock=store.clock)
    try:
        assert [row["Id"] for row in again.rows("Contact")] == [record]
        again.clock.move(3600)
        assert (again.get("Contact", late) or {})["New__c"] == "x"
        assert contact(again) > late
    finally:
        again.close()
        store.close()


def test_an_older_file_learns_the_fields_of_a_newer_program(tmp_path: Path) -> None:
    def with_fields(*names: str) -> Catalog:
        fields = tuple(FieldMeta(name=name) for name in names)
        return Catalog([ObjectMeta(name="Thing__c", label="Thing", key_prefix="a00", fields=fields)])

    store = Store(tmp_path, catalog=with_fields("Name"))
    store.insert("Thing__c", {"Name": "old"})
    store.close()
    store = Store(tmp_path, catalog=with_fields("Name", "New__c"))
    try:
        store.insert("Thing__c", {"Name": "new", "New__c": "x"})
        assert [(row["Name"], row["New__c"]) for row in store.rows("Thing__c")] == [("old", None), ("new", "x")]
    finally:
        store.close()


def test_a_reader_keeps_its_snapshot_and_stops_no_writer(store: Store) -> None:
    store.insert_many("Contact", [{"LastName": str(n)} for n in range(100)])
    with store.read() as db:
        rows = db.execute("SELECT Id FROM Contact")
        rows.fetchone()
        writer = threading.Thread(target=store.insert, args=("Contact", {"LastName": "new"}))
        writer.start()
        writer.join(30)
        assert not writer.is_alive()
        assert len(rows.fetchall()) == 99
    assert store.count("Contact") == 101


def test_closing_waits_for_those_who_read() -> None:
    store = Store()
    made = store.insert_many("Contact", [{"LastName": str(n)} for n in range(100)])
    began, go_on, seen = threading.Event(), threading.Event(), []

    def read() -> None:
        with store.read() as db:
            rows = db.execute("SELECT Id FROM Contact")
            seen.extend(rows.fetchmany(1))
            began.set()
            go_on.wait(30)
            seen.extend(rows.fetchall())

    def count_for_ever() -> None:
        while True:
            store.count("Contact")

    reader, closer = threading.Thread(target=read), threading.Thread(target=store.close)
    reader.start()
    assert began.wait(30)
    closer.start()
    with pytest.raises(sqlite3.ProgrammingError):
        count_for_ever()
    go_on.set()
    for thread in (reader, closer):
        thread.join(30)
    assert [key for (key,) in seen] == made


def test_a_new_reader_does_not_wait_for_a_long_transaction(store: Store) -> None:
    with store.transaction():
        contact(store)
        counts: list[int] = []
        reader = threading.Thread(target=lambda: counts.append(store.count("Contact")))
        reader.start()
        reader.join(30)
        assert counts == [0]


def test_an_object_without_a_recycle_bin_loses_records_at_once() -> None:
    meta = ObjectMeta(
        name="Member__c",
        label="Member",
        key_prefix="a01",
        fields=(FieldMeta(name="Name"),),
        soft_delete=False,
        without=frozenset({"SystemModstamp"}),
    )
    store = Store(catalog=Catalog([meta]))
    try:
        record = store.insert("Member__c", {"Name": "x"})
        store.delete("Member__c", [record])
        assert store.count("Member__c", deleted=True) == 0
        assert [key for key, _ in store.deleted_between("Member__c", "1", "3")] == [record]
        names = [f["name"] for f in describe(store.catalog, "Member__c", "62.0")["fields"]]
        assert names == ["Id", "CreatedDate", "LastModifiedDate", "Name"]
    finally:
        store.close()


def test_every_object_survives_its_json() -> None:
    for meta in standard_catalog():
        assert ObjectMeta.from_json(meta.to_json()) == meta

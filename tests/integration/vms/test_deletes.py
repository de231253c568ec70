"""Deletions reach the tables within one run, by whichever way they can be seen; undeleted records are back in one."""

import random

import pytest

from include.vms import registry
from include.vms.contracts import Accept, Mode
from include.vms.validate import MassDelete
from tests.integration.vms.source import Source

DAY = 86_400


@pytest.fixture
def source(salesforce, warehouse):
    """One org, one warehouse, and time that passes between runs."""
    return Source(salesforce, warehouse)


def classes(source, count):
    """Classes at the source, synced."""
    rows = [
        {"Name": f"Class {n}", "Class_Year_Number__c": 2030, "School__c": "001000000000001AAA"} for n in range(count)
    ]
    ids = source.server.store.insert_many("Class__c", rows)
    source.server.clock.move(3600)
    source.sync("classes")
    source.server.clock.move(3600)
    return ids


def active(source, table="class"):
    return {row[0] for row in source.warehouse.rows(f"SELECT salesforce_id FROM vms.{table} WHERE deleted_at IS NULL")}


def test_each_kind_of_deletion_is_here_after_one_run_and_undeleted_ones_are_back(source):
    store = source.server.store
    soft, purged, unlogged, back, *stays = classes(source, 8)
    store.delete("Class__c", [soft, back])
    store.hard_delete("Class__c", [purged])
    # Nobody tells of this one: only the counts show that it is gone.
    store.hard_delete("Class__c", [unlogged], logged=False)
    source.server.clock.move(3600)
    run = source.sync("classes")
    assert active(source) == set(stays)
    assert (run.counts["deleted"], run.counts["repaired"], run.deleted_ids) == (3, 1, 3)
    assert "1 extra" in run.notes[0]
    store.undelete("Class__c", [back])
    source.server.clock.move(3600)
    assert source.sync("classes").counts["restored"] == 1
    assert active(source) == {back, *stays}
    # Nothing to do: nothing found, one call.
    source.server.clock.move(3600)
    quiet = source.sync("classes")
    assert {name: n for name, n in quiet.counts.items() if n} == {"pending": 5}
    assert quiet.api_calls == 1


@pytest.mark.parametrize("how", ["too long ago", "too many ids", "purged log"])
def test_where_get_deleted_cannot_help_all_ids_are_compared(source, how):
    server = source.server
    gone, *stays = classes(source, 4)
    server.store.hard_delete("Class__c", [gone])
    server.clock.move(16 * DAY if how == "too long ago" else 3600)
    if how == "too many ids":
        server.replication(most_ids=0)
    if how == "purged log":
        server.replication(log_since=server.clock.now().isoformat())
    run = source.sync("classes")
    assert active(source) == set(stays)
    assert run.swept
    assert run.counts["deleted"] == 1
    assert "repaired" not in run.counts


def test_the_weekly_sweep_finds_what_only_the_ids_tell(source):
    server, warehouse = source.server, source.warehouse
    student, dead, stays = server.store.insert_many(
        "Contact", [{"FirstName": "A", "LastName": f"B{n}", "Contact_Type__c": "Volunteer"} for n in range(3)]
    )
    server.clock.move(3600)
    source.sync("volunteers")
    # Both vanish from the filter without a new modstamp; one of them is still a person.
    server.store.update("Contact", student, {"Contact_Type__c": "Student"}, stamps="none")
    server.store.hard_delete("Contact", [dead], logged=False)
    server.clock.move(8 * DAY)
    run = source.sync("volunteers", accept=(Accept.MASS_DELETE,))
    assert run.swept
    assert active(source, "volunteer") == {stays}
    assert active(source, "person") == {student, stays}
    assert warehouse.rows("SELECT DISTINCT outcome FROM ops.sync_run") == [("success",)]


def test_a_modstamp_of_the_far_future_keeps_no_record_alive(source):
    server = source.server
    future, *stays = server.store.insert_many(
        "Class__c",
        [
            {"Name": f"Class {n}", "Class_Year_Number__c": 2030, "School__c": "001000000000001AAA", **more}
            for n, more in enumerate([{"SystemModstamp": "2999-01-01T00:00:00.000Z"}, {}, {}])
        ],
    )
    server.clock.move(3600)
    source.sync("classes")
    assert active(source) == {future, *stays}
    server.store.hard_delete("Class__c", [future])
    server.clock.move(3600)
    source.sync("classes")
    assert active(source) == set(stays)


def test_a_sweep_that_would_empty_the_table_stops_the_run_until_somebody_says_so(source):
    ids = classes(source, 40)
    source.server.store.hard_delete("Class__c", ids[:20], logged=False)
    source.server.clock.move(3600)
    with pytest.raises(MassDelete, match="20 of 40 records"):
        source.sync("classes", Mode.FULL, run="full")
    assert active(source) == set(ids)
    # The counts alone find it too, in an incremental run, and are as careful.
    with pytest.raises(MassDelete):
        source.sync("classes", run="incremental")
    assert active(source) == set(ids)
    source.sync("classes", Mode.FULL, accept=(Accept.MASS_DELETE,))
    assert active(source) == set(ids[20:])


def test_a_random_life_of_accounts_ends_the_same_on_both_sides(source):
    """Created, renamed, retyped, deleted, purged, undeleted, merged, with syncs in any order in between."""
    chance = random.Random(2026)
    server, store = source.server, source.server.store
    kinds = ["School", "School District", "Business", None]
    tables = {"School": "school", "School District": "district", "Business": "organization", None: "organization"}
    alive: dict[str, str | None] = {}
    bin_: dict[str, str | None] = {}
    for number in range(60):
        one, other = chance.sample(sorted(alive), 2) if len(alive) > 1 else (None, None)
        act = chance.choice(["create", "create", "rename", "retype", "delete", "purge", "undelete", "merge", "sync"])
        if act == "create" or one is None:
            kind = chance.choice(kinds)
            alive[store.insert("Account", {"Name": f"Account {number}", "Type": kind})] = kind
        elif act == "rename":
            store.update("Account", one, {"Name": f"Account {number}"})
        elif act == "retype":
            alive[one] = chance.choice(kinds)
            store.update("Account", one, {"Type": alive[one]})
        elif act == "delete":
            store.delete("Account", [one])
            bin_[one] = alive.pop(one)
        elif act == "purge":
            store.hard_delete("Account", [one], logged=chance.random() < 0.5)
            del alive[one]
        elif act == "undelete" and bin_:
            back = chance.choice(sorted(bin_))
            store.undelete("Account", [back])
            alive[back] = bin_.pop(back)
        elif act == "merge":
            store.merge("Account", one, [other])
            bin_[other] = alive.pop(other)
        server.clock.move(chance.choice([1, 60, 3600]))
        if act == "sync":
            source.sync(chance.choice(["schools", "districts", "organizations"]), accept=(Accept.MASS_DELETE,))
    server.clock.move(3600)
    for name in ("schools", "districts", "organizations"):
        source.sync(name, accept=(Accept.MASS_DELETE,))
    for table in set(tables.values()):
        assert active(source, table) == {one for one, kind in alive.items() if tables[kind] == table}, table
    assert registry.get("schools").table.name == "school"

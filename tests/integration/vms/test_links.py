"""References find their parents whatever the order of the syncs; what waits, gives up and comes back is counted."""

import random
from itertools import permutations

import pytest

from include.vms import links, registry
from tests.integration.vms.harness import record_id, stamp

CLASS, SCHOOL, DISTRICT = record_id("a01", 1), record_id("001", 10), record_id("001", 20)


@pytest.fixture
def sync(warehouse):
    """Load rows of an object and resolve its links."""

    def run(name, *rows, **manifest):
        spec = registry.get(name)
        return links.resolve(warehouse.connect, spec, warehouse.load(spec, *rows, **manifest))

    return run


def school(number=10, **values):
    return {"Id": record_id("001", number), "Name": "Lincoln", "Type": "School", **values}


def a_class(number=1, **values):
    return {"Id": record_id("a01", number), "Name": "5b", "School__c": SCHOOL, "Class_Year_Number__c": "2030", **values}


def pending(warehouse):
    return warehouse.rows(
        "SELECT object, record_id, reference, target_id, tries, orphaned_at IS NOT NULL FROM vms.pending_link"
        " WHERE resolved_at IS NULL ORDER BY 2"
    )


def later(warehouse):
    warehouse.run("UPDATE vms.pending_link SET last_try_at = last_try_at - interval '1 hour'")


def test_a_child_that_comes_first_waits_and_is_linked_by_the_parents_own_sync(warehouse, sync):
    child = sync("classes", a_class())
    assert pending(warehouse) == [("classes", CLASS, "class.school_salesforce_id", SCHOOL, 1, False)]
    assert (child.counts["pending"], child.counts["linked"]) == (1, 0)
    parent = sync("schools", school())
    assert parent.counts["linked"] == 1
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, SCHOOL)]
    assert pending(warehouse) == []
    assert warehouse.rows("SELECT pending FROM ops.sync_run WHERE object = 'classes'") == [(1,)]


def test_every_order_of_syncs_ends_in_the_same_links(warehouse, sync):
    orders = list(permutations(["districts", "schools", "classes"]))
    for number, order in enumerate(orders):
        district, above, below = (
            record_id("001", 100 + number),
            record_id("001", 200 + number),
            record_id("a01", number),
        )
        rows = {
            "districts": {"Id": district, "Name": f"District {number}", "Type": "School District"},
            "schools": school(200 + number, ParentId=district),
            "classes": a_class(number, School__c=above),
        }
        for name in order:
            sync(name, rows[name])
        assert (below, above) in warehouse.table("class", "salesforce_id", "school_id"), order
        assert (above, district) in warehouse.table("school", "salesforce_id", "district_id"), order
    assert pending(warehouse) == []


def test_an_orphan_is_reported_once_after_ten_tries_and_linked_when_the_parent_comes(warehouse, sync, caplog):
    runs = []
    for _ in range(12):
        runs.append(sync("classes", a_class()))
        later(warehouse)
    assert [one.counts["orphaned"] for one in runs] == [0] * 9 + [1] * 3
    assert [bool(one.notes) for one in runs] == [False] * 9 + [True, False, False]
    assert sum("vms_orphans" in line for line in caplog.messages) == 1
    assert pending(warehouse) == [("classes", CLASS, "class.school_salesforce_id", SCHOOL, 10, True)]
    sync("schools", school())
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, SCHOOL)]
    assert pending(warehouse) == []


def test_runs_in_a_row_are_one_try(warehouse, sync):
    for _ in range(3):
        sync("classes", a_class())
    assert pending(warehouse) == [("classes", CLASS, "class.school_salesforce_id", SCHOOL, 1, False)]
    later(warehouse)
    sync("classes", a_class())
    assert [row[4] for row in pending(warehouse)] == [2]


def test_another_missing_parent_starts_counting_anew(warehouse, sync):
    for _ in range(2):
        sync("classes", a_class())
        later(warehouse)
    other = record_id("001", 99)
    sync("classes", a_class(School__c=other, SystemModstamp=stamp(1)))
    assert pending(warehouse) == [("classes", CLASS, "class.school_salesforce_id", other, 1, False)]


def test_a_child_that_is_deleted_waits_no_longer_and_waits_again_when_it_is_back(warehouse, sync):
    sync("classes", a_class())
    sync("classes", a_class(IsDeleted="true", SystemModstamp=stamp(1)))
    assert pending(warehouse) == []
    sync("classes", a_class(SystemModstamp=stamp(2)))
    assert [row[4] for row in pending(warehouse)] == [1]


def test_a_link_changes_with_its_reference(warehouse, sync):
    sync("schools", school(), school(11, Name="Grant"))
    sync("classes", a_class())
    sync("classes", a_class(School__c=record_id("001", 11), SystemModstamp=stamp(1)))
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, record_id("001", 11))]
    sync("classes", a_class(School__c=record_id("001", 12), SystemModstamp=stamp(2)))
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, None)]


def test_a_full_run_mends_a_foreign_key_that_was_changed_by_hand(warehouse, sync):
    right, wrong = record_id("001", 20), record_id("001", 21)
    for district in (right, wrong):
        sync("districts", {"Id": district, "Name": f"District {district}", "Type": "School District"})
    mine, none = school(ParentId=right), school(11, Name="Grant")
    sync("schools", mine, none)
    warehouse.run(f"UPDATE vms.school SET district_id = '{wrong}'")
    assert sync("schools", mine, none, mode="full").notes == [
        "2 foreign keys named another record than Salesforce and were taken back."
    ]
    assert warehouse.table("school", "salesforce_id", "district_id") == [(SCHOOL, right), (none["Id"], None)]
    assert sync("schools", mine, none, mode="full").notes == []


def test_a_parent_that_is_deleted_and_undeleted_keeps_its_children(warehouse, sync):
    sync("schools", school())
    sync("classes", a_class())
    sync("schools", school(IsDeleted="true", SystemModstamp=stamp(1)))
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, SCHOOL)]
    sync("schools", school(SystemModstamp=stamp(2)))
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, SCHOOL)]
    assert pending(warehouse) == []


def affiliation(number=1, **values):
    return {
        "Id": record_id("a02", number),
        "npe5__Contact__c": record_id("003", 1),
        "npe5__Organization__c": record_id("001", 10),
        **values,
    }


def homes(warehouse):
    return warehouse.table("affiliation", "organization_id", "school_id", "district_id")


@pytest.mark.parametrize("first", ["organizations", "schools"])
def test_links_follow_an_organisation_that_becomes_a_school_and_back(warehouse, sync, first):
    def both(minute, kind):
        order = [first, *{"organizations", "schools"} - {first}]
        for name in order:
            sync(name, school(Type=kind, SystemModstamp=stamp(minute)))

    sync("affiliations", affiliation())
    both(1, "Business")
    assert homes(warehouse) == [(SCHOOL, None, None)]
    both(2, "School")
    assert homes(warehouse) == [(None, SCHOOL, None)]
    both(3, "Business")
    assert homes(warehouse) == [(SCHOOL, None, None)]
    # Gone for good: the last home keeps it.
    both(4, "Household")
    assert homes(warehouse) == [(SCHOOL, None, None)]


def test_the_first_load_of_a_table_sets_what_links_would_set(warehouse, sync):
    """Deleted parents, an id in two tables, a merged record, a missing one: the same homes whoever comes first."""
    active, gone, merged, missing = (record_id("001", number) for number in (11, 12, 13, 14))
    both, late = record_id("001", 15), record_id("001", 16)
    children = [
        affiliation(number, npe5__Organization__c=parent)
        for number, parent in enumerate([active, gone, merged, missing, both, late])
    ]
    spec = registry.get("affiliations")

    def parents():
        for number in (11, 12, 13, 15, 16):
            warehouse.load(registry.get("organizations"), school(number, Type="Business"))
        for number in (15, 16):
            warehouse.load(registry.get("schools"), school(number))
        warehouse.run(
            f"UPDATE vms.organization SET deleted_at = now() WHERE salesforce_id IN ('{gone}', '{merged}', '{late}')",
            "INSERT INTO vms.record_alias (alias_id, sobject, master_id, merged_at, applied_at)"
            f" VALUES ('{merged}', 'Account', '{active}', now(), now())",
        )

    def homes_of_all():
        return warehouse.table("affiliation", "salesforce_id", "organization_id", "school_id", "district_id")

    parents()
    manifest = warehouse.load(spec, *children)
    assert [row[1:] for row in homes_of_all()] == [
        (active, None, None),
        (gone, None, None),
        (None, None, None),  # turned to the record that is left by links
        (None, None, None),
        (both, None, None),
        (None, late, None),
    ]
    assert manifest.counts["linked"] == 4
    counts = links.resolve(warehouse.connect, spec, manifest).counts
    # One organisation and the person of all six are missing.
    assert (counts["linked"], counts["pending"]) == (5, 7)
    found = homes_of_all()
    assert found[2][1:] == (active, None, None)

    warehouse.run("TRUNCATE vms.affiliation, vms.organization, vms.school, vms.record_alias, vms.pending_link CASCADE")
    warehouse.load(spec, *children)
    parents()
    sync("affiliations")
    assert homes_of_all() == found


def test_a_run_that_died_before_it_linked_is_made_good_by_the_next_one(warehouse, sync):
    warehouse.load(registry.get("classes"), a_class())
    warehouse.load(registry.get("schools"), school())
    sync("classes")
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, SCHOOL)]


def test_a_dry_run_links_nothing(warehouse, sync):
    spec = registry.get("classes")
    manifest = warehouse.load(spec, a_class())
    warehouse.load(registry.get("schools"), school())
    manifest.dry_run = True
    links.resolve(warehouse.connect, spec, manifest)
    assert warehouse.table("class", "salesforce_id", "school_id") == [(CLASS, None)]


def test_a_thousand_references_in_any_order_agree_with_a_plain_join(warehouse, sync):
    chance = random.Random(6)
    schools = [school(number, Name=f"School {number}") for number in range(1, 60)]
    classes = [a_class(n, School__c=record_id("001", chance.randint(1, 80))) for n in range(1, 1001)]
    chance.shuffle(classes)
    sync("classes", *classes[:600])
    sync("schools", *schools[:30])
    sync("classes", *classes[600:])
    sync("schools", *schools[30:])
    wrong = warehouse.rows(
        "SELECT FROM vms.class AS c LEFT JOIN vms.school AS s ON s.salesforce_id = c.school_salesforce_id"
        " WHERE c.school_id IS DISTINCT FROM s.salesforce_id"
    )
    missing = {row["Id"] for row in classes if row["School__c"] > record_id("001", 59)}
    assert wrong == []
    assert {row[1] for row in pending(warehouse)} == missing

"""Merged accounts and contacts: the alias is remembered, and whatever pointed at the loser points at the winner."""

import pytest

from include.vms import links, registry
from include.vms.spec import Field, Kind
from tests.integration.vms.harness import record_id, stamp
from tests.integration.vms.test_links import a_class, school, sync  # noqa: F401 - a fixture

A, B, C = (record_id("001", number) for number in (1, 2, 3))


@pytest.fixture
def merged(warehouse):
    """Load schools as Salesforce tells of them, with MasterRecordId, and resolve links."""
    from dataclasses import replace

    plain = registry.get("schools")
    spec = replace(plain, fields=(*plain.fields, Field("MasterRecordId", Kind.ID)))

    def run(*rows):
        return links.resolve(warehouse.connect, spec, warehouse.load(spec, *rows))

    return run


def gone(number, master, minute):
    return school(number, IsDeleted="true", MasterRecordId=master, SystemModstamp=stamp(minute))


def classes(warehouse):
    return warehouse.table("class", "school_salesforce_id", "school_id")


def aliases(warehouse):
    return warehouse.table("record_alias", "alias_id", "master_id", "sobject")


def test_children_of_a_loser_point_at_the_winner_at_once(warehouse, sync, merged):  # noqa: F811
    merged(school(1), school(2))
    sync("classes", a_class(School__c=A))
    run = merged(gone(1, B, 5))
    assert (run.counts["merged"], run.counts["turned"], run.counts["deleted"]) == (1, 1, 1)
    assert aliases(warehouse) == [(A, B, "Account")]
    assert classes(warehouse) == [(B, B)]
    assert warehouse.table("school", "salesforce_id")[0] == (A,)


def test_a_child_read_before_the_merge_and_published_after_it_follows(warehouse, sync, merged):  # noqa: F811
    merged(school(1), school(2))
    merged(gone(1, B, 5))
    sync("classes", a_class(School__c=A))
    assert classes(warehouse) == [(B, B)]


def test_chains_end_at_the_last_winner(warehouse, sync, merged):  # noqa: F811
    merged(school(1), school(2), school(3))
    sync("classes", a_class(1, School__c=A), a_class(2, School__c=B))
    merged(gone(1, B, 5))
    merged(gone(2, C, 6))
    sync("classes", a_class(3, School__c=A))
    assert set(classes(warehouse)) == {(C, C)}


def test_both_links_of_a_chain_in_one_run(warehouse, sync, merged):  # noqa: F811
    sync("classes", a_class(1, School__c=A), a_class(2, School__c=B))
    merged(school(3), gone(1, B, 5), gone(2, C, 6))
    assert set(classes(warehouse)) == {(C, C)}


def test_a_loser_that_is_undeleted_is_itself_again_and_children_stay_with_the_winner(warehouse, sync, merged):  # noqa: F811
    merged(school(1), school(2))
    sync("classes", a_class(1, School__c=A))
    merged(gone(1, B, 5))
    merged(school(1, SystemModstamp=stamp(6)))
    assert aliases(warehouse) == []
    assert classes(warehouse) == [(B, B)]
    sync("classes", a_class(2, School__c=A))
    assert set(classes(warehouse)) == {(A, A), (B, B)}
    # The look-back brings the merge again, which is history.
    merged(gone(1, B, 5))
    assert warehouse.rows("SELECT deleted_at FROM vms.school WHERE salesforce_id = %s", A) == [(None,)]


def test_the_winner_may_become_the_loser(warehouse, sync, merged):  # noqa: F811
    merged(school(1), school(2))
    merged(gone(1, B, 5))
    merged(school(1, SystemModstamp=stamp(6)))
    sync("classes", a_class(School__c=B))
    merged(gone(2, A, 7))
    assert classes(warehouse) == [(A, A)]
    assert aliases(warehouse) == [(B, A, "Account")]


def test_ids_that_are_no_reference_follow_too(warehouse, sync, merged):  # noqa: F811
    sync("organizations", {"Id": record_id("001", 50), "Name": "Acme", "Type": "Business", "ParentId": A})
    merged(school(2), gone(1, B, 5))
    assert warehouse.table("organization", "parent_salesforce_id") == [(B,)]


def test_an_object_without_masters_has_no_aliases(warehouse, sync):  # noqa: F811
    assert sync("classes", a_class()).counts["merged"] == 0

"""The generated organisation: the same for the same seed, whole but for its manifest of defects."""

import re
from collections import Counter
from itertools import islice

import pytest

from local.salesforce import ids
from local.salesforce.generate import fill, main
from local.salesforce.generator import Outcome, defects, tables
from local.salesforce.generator.kinds import KINDS, restored
from local.salesforce.generator.organisation import POPULATIONS
from local.salesforce.generator.volumes import Volumes
from local.salesforce.metadata import standard_catalog
from local.salesforce.store import Store
from local.salesforce.values import stored

SEED, PERCENT = 3, 1


@pytest.fixture(scope="module")
def rows():
    return {name: list(found) for name, found in tables(SEED, PERCENT)}


@pytest.fixture(scope="module")
def wrong():
    return defects(SEED, PERCENT)


def by_id(rows):
    return {row["Id"]: row for found in rows.values() for row in found}


def test_same_seed_same_organisation(rows, wrong):
    assert {name: list(found) for name, found in tables(SEED, PERCENT)} == rows
    assert defects(SEED, PERCENT) == wrong
    other = {name: list(found) for name, found in tables(SEED + 1, PERCENT)}
    assert {name: len(found) for name, found in other.items()} == {name: len(found) for name, found in rows.items()}
    assert other["Contact"] != rows["Contact"]


def test_volumes_are_those_of_the_real_organisation():
    whole = Volumes.at(100)
    assert (whole.volunteers, whole.students, whole.affiliations) == (12_643, 159_000, 354_000)
    assert 600_000 <= whole.total <= 660_000
    tenth = Volumes.at(10)
    assert (tenth.volunteers, tenth.students, tenth.organizations) == (1_264, 15_900, 381)


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_impossible_percentage_is_refused(percent):
    with pytest.raises(ValueError, match="percent"):
        Volumes.at(percent)


def test_counts_follow_the_percentage(rows):
    volumes = Volumes.at(PERCENT)
    expected: Counter[str] = Counter()
    for each in POPULATIONS.values():
        expected[each.object] += getattr(volumes, each.volume)
    assert {name: len(found) for name, found in rows.items()} == expected


def test_ids_are_valid_unique_and_of_their_object(rows):
    prefixes = {meta.name: meta.key_prefix for meta in standard_catalog()}
    found = [(name, row["Id"]) for name, those in rows.items() for row in those]
    assert all(ids.is_valid(each) and len(each) == 18 and each.startswith(prefixes[name]) for name, each in found)
    assert len({each for _, each in found}) == len(found)


def test_every_field_is_declared_and_every_value_has_its_type(rows):
    for meta in standard_catalog():
        for row in rows.get(meta.name, ()):
            for name, value in row.items():
                declared = meta.find(name)
                assert declared is not None, (meta.name, name)
                stored(declared, value)


def test_references_lead_to_live_records_of_the_right_object_but_for_the_manifest(rows, wrong):
    known = by_id(rows)
    broken = {(d.record_id, d.field) for d in wrong if d.outcome is Outcome.PENDING}
    gone = {d.record_id for d in wrong if d.outcome in (Outcome.QUARANTINE, Outcome.DELETED, Outcome.ALIAS)}
    catalog = standard_catalog()
    checked = 0
    for name, those in rows.items():
        references = [f for f in catalog[name].all_fields if f.type == "reference"]
        for row in those:
            for field in references:
                target = row.get(field.name)
                if target is None or (row["Id"], field.name) in broken:
                    continue
                checked += 1
                assert target in known, (name, row["Id"], field.name)
                assert catalog.of_id(target).name in field.reference_to
                assert target not in gone, (name, row["Id"], field.name)
    assert checked > 10_000


def test_pending_references_lead_nowhere_a_sync_could_follow(rows, wrong):
    known = by_id(rows)
    for each in (d for d in wrong if d.outcome is Outcome.PENDING):
        parent = known.get(each.value)
        assert parent is None or (each.kind == "school_under_an_organization" and parent["Type"] != "School District")


def test_every_kind_occurs_and_stands_in_the_record(rows, wrong):
    known = by_id(rows)
    assert Counter(d.kind for d in wrong).keys() == {kind.name for kind in KINDS}
    assert min(Counter(d.kind for d in wrong).values()) >= 1
    for each in wrong:
        assert known[each.record_id].get(each.field) == each.value, each
        assert (each.code is not None) or each.outcome not in (Outcome.QUARANTINE, Outcome.FLAG)


def test_nothing_is_wrong_that_the_manifest_does_not_name(rows, wrong):
    named = {(d.record_id, d.kind) for d in wrong}
    by_kind = {d.record_id for d in wrong if d.kind == "name_in_capitals"}
    required = ("FirstName", "LastName")
    for row in rows["Contact"]:
        if not all(row.get(name) for name in required) and row["Contact_Type__c"] in (
            "Volunteer",
            "Teacher",
            "Student",
            None,
        ):
            assert any(record == row["Id"] and "_without_" in kind for record, kind in named)
        last = row.get("LastName") or ""
        if last.isupper() and len(last) > 1 and row["Contact_Type__c"] in ("Volunteer", None):
            assert row["Id"] in by_kind
        email = row.get("Email")
        if email and not re.fullmatch(r"[a-z0-9.]+@[a-z.]+", email):
            assert any(d.record_id == row["Id"] and d.field == "Email" for d in wrong)
    untyped = {d.record_id for d in wrong if d.kind == "organization_without_type"}
    assert {row["Id"] for row in rows["Account"] if not row.get("Type")} == untyped


def test_no_pair_is_tied_twice_but_for_the_manifest(rows, wrong):
    twice = {d.record_id for d in wrong if d.object == "npe5__Affiliation__c"}
    pairs = Counter(
        (row["npe5__Contact__c"], row["npe5__Organization__c"])
        for row in rows["npe5__Affiliation__c"]
        if row["Id"] not in twice
    )
    assert pairs.most_common(1)[0][1] == 1
    known = by_id(rows)
    for each in (d for d in wrong if d.kind == "affiliation_twice"):
        row = known[each.record_id]
        assert pairs[row["npe5__Contact__c"], row["npe5__Organization__c"]] == 1


def test_stamps_are_in_order_past_and_full_of_ties(rows):
    stamps = Counter()
    for found in rows.values():
        for row in found:
            assert row["CreatedDate"] <= row["LastModifiedDate"] <= row["SystemModstamp"] < "2026-05-01T06:00:00.000Z"
            stamps[row["SystemModstamp"]] += 1
    assert stamps.most_common(1)[0][1] > 20


@pytest.mark.parametrize(
    ("capitals", "name"),
    [
        ("O'BRIEN", "O'Brien"),
        ("MCDONALD", "McDonald"),
        ("MACLEOD", "MacLeod"),
        ("GARCÍA-LÓPEZ", "García-López"),
        ("李", None),
    ],
)
def test_capitals_are_expected_to_be_undone(capitals, name):
    assert restored(capitals) == name


def test_records_are_made_one_after_another():
    # Taking a few of the largest object must not make all of them.
    name, found = next((name, found) for name, found in tables(1, 100) if name == "npe5__Affiliation__c")
    assert name
    assert len(list(islice(found, 10))) == 10


def test_the_store_takes_all_of_it(rows, tmp_path):
    store = Store(tmp_path)
    try:
        counts = fill(store, SEED, PERCENT)
        assert counts == {name: len(found) for name, found in rows.items()}
        kept = {row["Id"]: row for row in store.rows("Contact")}
        for row in rows["Contact"][:200]:
            assert kept[row["Id"]]["LastName"] == row.get("LastName")
            assert kept[row["Id"]]["SystemModstamp"] == row["SystemModstamp"]
        new = store.insert("Contact", {"LastName": "New"})
        assert new not in {row["Id"] for row in rows["Contact"]}
    finally:
        store.close()


def test_command_line(tmp_path, capsys):
    target, manifest = tmp_path / "data", tmp_path / "defects.csv"
    assert main(["--percent", "0.5", "--seed", "2", "--into", str(target), "--defects", str(manifest)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^Contact +\d", printed, re.MULTILINE)
    assert manifest.read_text(encoding="utf-8").startswith("object,record_id,population,field,kind,outcome")
    assert main(["--into", str(target)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["--percent", "0", "--into", str(tmp_path / "other")]) == 2

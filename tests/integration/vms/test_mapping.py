"""Whole tables, column by column: the engine's SQL against the rules in plain Python."""

import random

import pytest

from include.vms import registry
from include.vms.contracts import Accept
from include.vms.spec import SYSTEM_FIELDS, Kind
from tests.integration.vms import mapping
from tests.integration.vms.harness import record_id, stamp
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


def test_the_comparison_sees_what_is_wrong(salesforce, warehouse):
    values = {"FirstName": "Ana", "LastName": "Li", "Email": "a@example.org", "Contact_Type__c": "Volunteer"}
    person = salesforce.store.insert("Contact", values)
    source = Source(salesforce, warehouse)
    salesforce.clock.move(3600)
    source.sync("volunteers")
    assert compared(source)[0] == []
    warehouse.run(
        f"UPDATE vms.person SET race_ethnicity = 'x' WHERE salesforce_id = '{person}'",
        f"DELETE FROM vms.person_email WHERE parent_id = '{person}'",
        f"INSERT INTO vms.person_skill VALUES ('{person}', 'Magic')",
    )
    assert compared(source)[0] == [
        f"person ('{person}',): race_ethnicity is 'x', not 'unknown'",
        f"person_email ('{person}', 'a@example.org'): missing",
        f"person_skill ('{person}', 'Magic'): too many",
    ]
    warehouse.run(f"UPDATE vms.volunteer SET deleted_at = now() WHERE salesforce_id = '{person}'")
    assert f"volunteer ('{person}',): missing" in compared(source)[0]


TEXTS = [
    None, "", "  ", "None", "NA", "NULL", "O'BRIEN-SMITH", "MCDONALD", "Ana", "  padded\u00a0", "a@example.org",
    "A@Example.ORG", "not@an@email", "x@y..z", "(816) 555-0100", "816.555.0100", "call me", "Work", "personal",
    "ALTERNATE", "home", "Mobile", "Former", "current", "65+", "18-24", "Under 18", "GED", "Master's Degree",
    "Non-Binary", "male", "Two or More Races, incl. White", "Caucasian", "Asian American", "first nation member",
    "Lee Jr. High", "Highland Park", "Grant Elementary", "Burns, Inc.", "a;b, C", "line one\nline two\r\n",
    "1 A St, Olathe, KS 66061", "\u00e9" * 300, "{{ x }} %s \\N", "'; DROP TABLE vms.person; --",
]  # fmt: skip
DATES = [None, "", "2020-02-29", "2021-02-29", "1850-01-01", "2999-01-01", "soon", "2020-1-1"]
VALUES = {
    Kind.TEXT: TEXTS,
    Kind.ID: [None, record_id("001", 1), record_id("001", 2)],
    Kind.DATE: DATES,
    Kind.INTEGER: [None, 0, 3, 2030],
    Kind.BOOLEAN: [True, False],
    Kind.TIMESTAMP: [None, "2026-02-02T03:30:00.000Z", "2026-07-01T04:59:59.000Z"],
}
PREFIX = {"Account": "001", "Contact": "003", "Class__c": "a0D", "npe5__Affiliation__c": "a0C"}
# Where people mostly give what is asked for.
MOSTLY = {
    "Account": ("Type", ["School", "School District", "Household", "Business", None]),
    "Contact": ("Contact_Type__c", ["Volunteer", None]),
}


def odd_records(sobject, draw, count):
    """Records with values nobody would think of in fields where they do not belong."""
    specs = [spec for spec in registry.objects().values() if spec.sobject == sobject]
    fields = {field.name: field for spec in specs for field in spec.fields}
    for number in range(count):
        row = {name: draw.choice(VALUES[field.kind]) for name, field in fields.items()}
        if sobject in MOSTLY and draw.random() < 0.9:
            name, values = MOSTLY[sobject]
            row[name] = draw.choice(values)
        yield (
            dict.fromkeys(SYSTEM_FIELDS, stamp()) | row | {"Id": record_id(PREFIX[sobject], number), "IsDeleted": False}
        )


def written(spec, row):
    """As Bulk 2.0 writes it."""
    values = {name: value for name, value in row.items() if name in spec.by_name}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}


def test_odd_values_in_every_field(warehouse):
    draw = random.Random(3)
    store = {sobject: list(odd_records(sobject, draw, 400)) for sobject in SOBJECTS}
    for spec in registry.objects().values():
        rows = [written(spec, row) for row in store[spec.sobject]]
        warehouse.load(spec, *rows, accept=[Accept.REJECTED_SHARE])
    refused = {row[0] for row in warehouse.rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
    tables = mapping.expected(store, refused)
    assert mapping.differences(warehouse.rows, tables, refused) == []
    kinds = ("person", "school", "district", "organization", "affiliation", "class")
    assert min(len(tables[kind]) for kind in kinds) > 20

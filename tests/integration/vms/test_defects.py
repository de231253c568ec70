"""A whole generated organisation through the engine: every defect ends where its manifest says, no good row is lost."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from include.vms import extract, registry
from local.salesforce.generator import Defect, Outcome, Row, defects, tables
from local.salesforce.generator.organisation import Organisation
from tests.integration.vms.harness import Warehouse
from tests.integration.vms.source import Source

PERCENT = 1
SYNCS = {
    "districts": "district",
    "schools": "school",
    "organizations": "organization",
    "volunteers": "volunteer",
    "classes": "class",
    "affiliations": "affiliation",
}
SYNC_OF = {population: sync for sync, population in SYNCS.items()}
GONE = (Outcome.QUARANTINE, Outcome.DELETED, Outcome.ALIAS)
# Where the value of a field is to be found; fields of child tables are looked at apart.
COLUMNS = {
    ("district", "Name"): "district.name",
    ("district", "School_Code_External_ID__c"): "district.district_code",
    ("school", "ParentId"): "school.district_id",
    ("organization", "Name"): "organization.name",
    ("organization", "Type"): "organization.type",
    ("organization", "Description"): "organization.description",
    ("volunteer", "LastName"): "person.last_name",
    ("volunteer", "Description"): "person.description",
    ("volunteer", "Volunteer_Recruitment_Notes__c"): "person.notes",
    ("volunteer", "Title"): "volunteer.title",
    ("volunteer", "Department"): "volunteer.department",
    ("volunteer", "Birthdate"): "person.birthdate",
    ("volunteer", "Last_Mailchimp_Email_Date__c"): "volunteer.last_mailchimp_activity_date",
    ("volunteer", "Gender__c"): "person.gender",
    ("volunteer", "Age_Group__c"): "person.age_group",
    ("volunteer", "Highest_Level_of_Educational__c"): "person.education_level",
    ("volunteer", "Racial_Ethnic_Background__c"): "person.race_ethnicity",
    ("volunteer", "Number_of_Attended_Volunteer_Sessions__c"): "volunteer.times_volunteered",
    ("volunteer", "npsp__Primary_Affiliation__c"): "volunteer.organization_id",
    ("class", "School__c"): "class.school_id",
    ("affiliation", "npe5__Contact__c"): "affiliation.person_id",
    ("affiliation", "npe5__Organization__c"): "affiliation.organization_id",
    ("affiliation", "npe5__Status__c"): "affiliation.status",
    ("affiliation", "npe5__Role__c"): "affiliation.role",
}


class World:
    """What Salesforce holds, what is wrong with it, and what has arrived."""

    def __init__(self, warehouse: Warehouse, seed: int) -> None:
        self.warehouse = warehouse
        self.organisation = Organisation(seed, PERCENT)
        self.sources = {name: {row["Id"]: row for row in rows} for name, rows in tables(seed, PERCENT)}
        self.defects = [each for each in defects(seed, PERCENT) if each.population in SYNC_OF]
        self._tables: dict[str, dict[str, Any]] = {}

    def of(self, *outcomes: Outcome, population: str = "") -> Iterator[Defect]:
        """The manifest's entries with these outcomes."""
        for each in self.defects:
            if each.outcome in outcomes and population in ("", each.population):
                yield each

    def rows(self, population: str) -> list[Row]:
        """The source's records of a population; of affiliations those that are synced."""
        size = self.organisation.sizes[population]
        ids = [self.organisation.record_id(population, index) for index in range(size)]
        source = next(rows for rows in self.sources.values() if ids[0] in rows)
        if population != "affiliation":
            return [source[each] for each in ids]
        return [source[each] for each in ids if not self.of_student(source[each])]

    def of_student(self, tie: Row) -> bool:
        """Whether an affiliation is a student's: those are not synced."""
        contact = self.sources["Contact"].get(tie["npe5__Contact__c"], {})
        return contact.get("Contact_Type__c") == "Student"

    def value(self, column: str, record_id: str) -> Any:
        """A column of an active record; KeyError if it is not there."""
        if column not in self._tables:
            table, name = column.split(".")
            alive = "WHERE deleted_at IS NULL"
            self._tables[column] = dict(
                self.warehouse.rows(f'SELECT salesforce_id, "{name}" FROM vms."{table}" {alive}')
            )
        return self._tables[column][record_id]

    def children(self, table: str, column: str, record_id: str) -> set[Any]:
        """The values of a child table."""
        return {
            row[0] for row in self.warehouse.rows(f"SELECT {column} FROM vms.{table} WHERE parent_id = %s", record_id)
        }


@pytest.fixture(params=[(7, extract.REST_BELOW, "rest"), (8, 0, "bulk")], ids=["rest", "bulk"])
def world(request, salesforce, warehouse, monkeypatch):
    seed, rest_below, api = request.param
    monkeypatch.setattr(extract, "Tuning", partial(extract.Tuning, rest_below=rest_below))
    salesforce.load(percent=PERCENT, seed=seed)
    source = Source(salesforce, warehouse)
    for name in SYNCS:
        source.sync(name)
    assert warehouse.rows("SELECT DISTINCT api FROM ops.sync_run WHERE mode = 'full'") == [(api,)]
    return World(warehouse, seed)


def test_every_defect_ends_where_the_manifest_says_and_no_good_row_is_lost(world):
    check_active(world)
    check_quarantine(world)
    check_flags(world)
    check_pending(world)
    check_kept(world)
    check_replaced(world)
    check_aliases(world)


def same(found: Iterable[Any], expected: Iterable[Any], what: str) -> None:
    """Compare two sets and say what is too many and what is missing."""
    found, expected = set(found), set(expected)
    assert found == expected, f"{what}: too many {sorted(found - expected)[:5]}, missing {sorted(expected - found)[:5]}"


def check_active(world):
    for sync, population in SYNCS.items():
        wrong = {each.record_id for each in world.of(*GONE, population=population)}
        table = registry.get(sync).table.name
        active = world.warehouse.rows(f'SELECT salesforce_id FROM vms."{table}" WHERE deleted_at IS NULL')
        expected = [row["Id"] for row in world.rows(population) if row["Id"] not in wrong]
        assert len(expected) > len(wrong)
        same((row[0] for row in active), expected, sync)


def check_quarantine(world):
    found = world.warehouse.rows(
        "SELECT q.object, record_key, r ->> 'code', r ->> 'field' FROM vms.quarantine AS q,"
        " jsonb_array_elements(reasons) AS r WHERE resolved_at IS NULL"
    )
    expected = [(SYNC_OF[d.population], d.record_id, d.code, d.field) for d in world.of(Outcome.QUARANTINE)]
    same(found, expected, "quarantine")


def check_flags(world):
    found = world.warehouse.rows("SELECT object, record_id, issue_type, field FROM vms.data_quality_flag")
    expected = {(SYNC_OF[d.population], d.record_id, d.code, d.field) for d in world.of(Outcome.FLAG)}
    # A name in capitals is flagged in each of its parts.
    expected |= {(*each[:3], "FirstName") for each in expected if each[2] == "all_caps_name"}
    same(found, expected, "flags")


def check_pending(world):
    found = world.warehouse.rows("SELECT object, record_id, target_id FROM vms.pending_link WHERE resolved_at IS NULL")
    expected = {(SYNC_OF[d.population], d.record_id, d.value) for d in world.of(Outcome.PENDING)}
    # Teachers are not synced yet: their affiliations wait for them.
    wrong = {each.record_id for each in world.of(*GONE)}
    for row in world.rows("affiliation"):
        contact = world.sources["Contact"].get(row["npe5__Contact__c"])
        if contact and contact["Contact_Type__c"] == "Teacher" and row["Id"] not in wrong:
            expected.add(("affiliations", row["Id"], contact["Id"]))
    same(found, expected, "pending links")
    for each in world.of(Outcome.PENDING):
        assert world.value(COLUMNS[each.population, each.field], each.record_id) is None, each


def check_kept(world):
    for each in world.of(Outcome.KEEP):
        if each.kind in ("affiliation_to_school", "affiliation_to_district", "affiliation_twice"):
            columns = [f"affiliation.{name}_id" for name in ("organization", "school", "district")]
            assert each.value in [world.value(column, each.record_id) for column in columns], each
            continue
        assert world.value(COLUMNS[each.population, each.field], each.record_id) == each.value.strip(), each


def check_replaced(world):
    for each in world.of(Outcome.FLAG, Outcome.MAP):
        match each.field:
            case "Email" | "npe01__WorkEmail__c":
                values = world.children("person_email", "email", each.record_id)
                assert each.value not in values, each
                assert each.expected is None or each.expected in values, each
            case "MobilePhone":
                assert each.value not in world.children("person_phone", "number", each.record_id), each
            case "MailingStreet":
                assert not world.children("person_address", "address_line1", each.record_id), each
            case "Volunteer_Skills_Text__c":
                skills = world.children("person_skill", "skill", each.record_id)
                assert skills, each
                assert 190 < max(map(len, skills)) <= 200, each
            case _:
                assert world.value(COLUMNS[each.population, each.field], each.record_id) == each.expected, each


def check_aliases(world):
    found = world.warehouse.rows("SELECT alias_id, master_id FROM vms.record_alias")
    same(found, [(each.record_id, each.expected) for each in world.of(Outcome.ALIAS)], "aliases")

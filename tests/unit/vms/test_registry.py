"""The syncs there are: found by themselves, in the order of their dependencies, contradictions refused."""

from dataclasses import replace

import pytest

from include.vms import objects as package
from include.vms import registry
from include.vms.spec import SYSTEM_COLUMNS, ChildSet, Column, Field, Kind, SyncObject, Table, placeholders


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of object modules."""
    monkeypatch.setattr(package, "__path__", [str(tmp_path)])
    registry.objects.cache_clear()
    yield tmp_path
    registry.objects.cache_clear()


def sync(name, *after, **more):
    table = Table(name, name, (Column("name", Kind.TEXT, "Name", "name"),))
    return SyncObject(name, "Account", name, (Field("Name"),), more.pop("tables", (table,)), after=after, **more)


def test_the_objects_of_the_issue():
    assert set(registry.objects()) >= {"districts", "schools", "organizations", "affiliations", "volunteers", "classes"}


def test_parents_come_before_children():
    order = list(registry.objects())
    for name, one in registry.objects().items():
        assert all(order.index(parent) < order.index(name) for parent in one.after)


def test_references_name_columns_and_tables_that_there_are_and_come_before():
    """Else a table's foreign key could not be made, or the first full sync would leave every link pending."""
    tables = {table.name: one for one in registry.objects().values() for table in one.tables}
    for one in registry.objects().values():
        for table in one.tables:
            columns = {column.name: column for column in table.columns}
            for reference in table.references:
                assert columns[reference.raw].source
                for column, target in reference.candidates:
                    assert not columns[column].source
                    assert columns[column].nullable
                    assert target in {other.name for other in one.tables} or tables[target].name in one.after
            assert not set(columns) & set(SYSTEM_COLUMNS)
            assert not table.role_of or table.role_of in {other.name for other in one.tables}
        for child in one.children:
            assert child.parent in {table.name for table in one.tables}
            assert set(child.key) <= {column.name for column in child.columns}


def test_every_field_that_is_read_is_used():
    """What nobody needs is not asked for: it costs calls and holds personal data."""
    for one in registry.objects().values():
        texts = [column.source for table in one.tables for column in table.columns]
        texts += [*(child.rows for child in one.children), *(flag.when for flag in one.flags), one.filter_sql]
        used = {name for text in texts for name in [text, *placeholders(text)]}
        assert [field.name for field in one.fields if field.name not in used] == [], one.name


def test_a_new_file_is_a_new_sync(folder):
    (folder / "wanted_ones.py").write_text(
        "from include.vms.spec import *\n"
        "OBJECT = SyncObject('wanted_ones', 'Wanted__c', 'x', (Field('Name'),),"
        " (Table('wanted', 'x', (Column('name', Kind.TEXT, 'Name', 'x'),)),))\n"
    )
    assert list(registry.objects()) == ["wanted_ones"]
    assert registry.get("wanted_ones").sobject == "Wanted__c"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", TypeError, "no OBJECT"),
        ("OBJECT = 1", TypeError, "no OBJECT"),
        ("from tests.unit.vms.test_registry import sync\nOBJECT = sync('other_name')", ValueError, "one name"),
    ],
)
def test_a_module_without_a_sync_of_its_name_is_refused(folder, text, error, message):
    (folder / f"file_{abs(hash(text))}.py").write_text(text)
    with pytest.raises(error, match=message):
        registry.objects()


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(KeyError, match=r"no sync is called 'schoools'; there are .*schools"):
        registry.get("schoools")


def test_the_order_does_not_depend_on_the_order_of_the_files():
    syncs = [sync("a", "c"), sync("b"), sync("c", "b"), sync("d")]
    assert list(registry.ordered(syncs)) == list(registry.ordered(reversed(syncs))) == ["b", "d", "c", "a"]


def test_syncs_that_wait_for_each_other_are_refused():
    with pytest.raises(ValueError, match="wait for each other"):
        registry.ordered([sync("a", "b"), sync("b", "a")])


def test_a_sync_after_one_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="a comes after b"):
        registry.ordered([sync("a", "b")])


def test_one_table_of_two_syncs_must_be_shared():
    table = Table("thing", "thing", (Column("name", Kind.TEXT, "Name", "name"),))
    with pytest.raises(ValueError, match="not shared"):
        registry.ordered([sync("a", tables=(table,)), sync("b", tables=(table,))])
    shared = replace(table, shared=True)
    assert list(registry.ordered([sync("a", tables=(shared,)), sync("b", tables=(shared,))])) == ["a", "b"]


def test_a_shared_table_is_declared_alike():
    table = Table("thing", "thing", (Column("name", Kind.TEXT, "Name", "name"),), shared=True)
    other = replace(table, columns=(Column("name", Kind.INTEGER, "", "name"),))
    with pytest.raises(ValueError, match=r"a and b declare thing\.name in different ways"):
        registry.ordered([sync("a", tables=(table,)), sync("b", tables=(other,))])


def made(**more):
    column = Column("name", Kind.TEXT, "Name", "name")
    child = ChildSet("child", "thing", "child", ("x",), (Column("x", Kind.TEXT, "", "x"),), "SELECT {Unselected}")
    wrong = {
        "source": {"tables": (Table("thing", "thing", (replace(column, source="Unselected"),)),)},
        "expression": {"tables": (Table("thing", "thing", (replace(column, source="lower({Unselected})"),)),)},
        "stored": {"tables": (Table("thing", "thing", (replace(column, source="lower({old.nam})"),)),)},
        "child": {"children": (child,)},
        "twice": {"fields": (Field("Name"), Field("Name"))},
        "system": {"fields": (Field("Name"), Field("Id"))},
        "half": {"filter_soql": "Name != null"},
    }[more["wrong"]]
    whole = {"fields": (Field("Name"),), "tables": (Table("thing", "thing", (column,)),)} | wrong
    return SyncObject("things", "Thing__c", "things", **whole)


@pytest.mark.parametrize("wrong", ["source", "expression", "stored", "child", "twice", "system", "half"])
def test_a_declaration_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValueError, match="things"):
        made(wrong=wrong)


def test_how_a_column_may_be_shown_follows_from_its_fields():
    volunteers = registry.get("volunteers")
    person = {column.name: volunteers.shown(column) for column in volunteers.tables[1].columns}
    assert person["first_name"] == person["education_level"] == person["description"] == "personal"
    assert person["birthdate"] == person["gender"] == person["race_ethnicity"] == "sensitive"
    assert person["salesforce_account_id"] == "none"

"""The object modules and the migrated database say the same; a module that changes without a migration is noticed."""

import re
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from include.vms import ddl, registry
from include.vms.spec import ChildSet, Column, Field, Kind, Reference, SyncObject, Table
from include.warehouse import schema
from local import object_migration

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def database(postgres_server, warehouse_template):
    """A migrated database that nobody changes."""
    return postgres_server.create_database("vms_ddl", template=warehouse_template)


def differences(url, syncs):
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect() as connection:
        return ddl.differences(connection, syncs)


def test_the_database_is_as_the_modules_declare(database):
    """Run `make object-migration NAME=...` when this fails."""
    assert differences(database, registry.objects().values()) == []


def changed(**change):
    """All syncs, the classes' table with a change."""
    syncs = dict(registry.objects())
    classes = syncs["classes"]
    syncs["classes"] = replace(classes, tables=(replace(classes.table, **change),))
    return syncs.values()


CLASSES = registry.get("classes").table
NAME, *REST = CLASSES.columns


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": "class_of_school"}, "add_table"),
        ({"comment": "other words"}, "add_table_comment"),
        ({"columns": (*CLASSES.columns, Column("room", Kind.TEXT, "Name", "room"))}, "add_column"),
        ({"columns": (replace(NAME, kind=Kind.INTEGER), *REST)}, "modify_type"),
        ({"columns": (replace(NAME, nullable=True), *REST)}, "modify_nullable"),
        ({"columns": (replace(NAME, comment="other words"), *REST)}, "modify_comment"),
        ({"references": ()}, "remove_fk"),
        ({"references": (Reference("school_salesforce_id", (("school_id", "district"),)),)}, "add_fk"),
    ],
)
def test_a_change_without_a_migration_is_noticed(database, change, found):
    assert found in str(differences(database, changed(**change)))


def wanted(*more):
    tables = (
        Table(
            "wish",
            "wishes",
            (
                Column("name", Kind.TEXT, "Name", "what is wished: 100 % of it, a \"quoted\" and a 'single' word"),
                Column("school_raw", Kind.ID, "School__c", "school", nullable=False),
                Column("school_id", Kind.ID, "", "school"),
                Column("amount", Kind.NUMBER, "Amount__c", "amount"),
                *more,
            ),
            (Reference("school_raw", (("school_id", "school"),)),),
        ),
    )
    child = ChildSet("wish_word", "wish", "words", ("word",), (Column("word", Kind.TEXT, "", "word"),), "SELECT {Name}")
    fields = (Field("Name"), Field("School__c", Kind.ID), Field("Amount__c", Kind.NUMBER))
    return SyncObject("wishes", "Wish__c", "wishes", fields, tables, children=(child,), after=("schools",))


@pytest.fixture
def repository(postgres_server, monkeypatch, tmp_path):
    """A copy of the migrations, and an empty database."""
    url = postgres_server.create_database("vms_ddl_new")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    copy = tmp_path / "migrations"
    copy.mkdir()
    (copy / "versions").mkdir()
    original = object_migration.VERSIONS.parent
    (copy / "env.py").write_text((original / "env.py").read_text())
    for file in original.glob("versions/*.py"):
        (copy / "versions" / file.name).write_text(file.read_text())
    configure = schema.alembic_config

    def config(connection=None):
        made = configure(connection)
        made.set_main_option("script_location", str(copy))
        return made

    monkeypatch.setattr(schema, "alembic_config", config)
    return url, copy / "versions"


def test_a_new_object_gets_its_migration_and_then_there_is_nothing_left(repository, monkeypatch, capsys):
    url, versions = repository
    before = schema.head()
    syncs = [*registry.objects().values(), wanted()]
    monkeypatch.setattr(registry, "objects", lambda: registry.ordered(syncs))
    assert object_migration.write("wishes", url, versions) == 0
    (made,) = versions.glob("*_wishes.py")
    assert made.name == f"{int(before) + 1:04}_wishes.py"
    assert re.search(r'down_revision = "(\d+)"', made.read_text())[1] == before
    schema.upgrade()
    assert differences(url, syncs) == []
    assert object_migration.write("wishes", url, versions) == 1
    assert "nothing to migrate" in capsys.readouterr().err
    assert len(list(versions.glob("*_wishes*.py"))) == 1
    with schema._connection("warehouse") as connection:
        from alembic import command

        command.downgrade(schema.alembic_config(connection), before)
    assert "wish" in str(differences(url, syncs))


def test_a_column_that_a_sync_has_added_by_itself_is_left_alone_until_it_is_adopted(repository, monkeypatch):
    """A new field of the source becomes a column at run time; no migration takes it away, or trips over it."""
    url, versions = repository
    declared = list(registry.objects().values())
    adopting = list(changed(columns=(*CLASSES.columns, Column("room", Kind.TEXT, "Name", "room"))))
    monkeypatch.setattr(registry, "objects", lambda: registry.ordered(adopting))
    assert object_migration.write("classes", url, versions) == 0
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE vms.class ADD COLUMN room text")
    assert differences(url, declared) == []
    schema.upgrade()
    assert schema.current() == schema.head()
    assert len(list(versions.glob("*_classes.py"))) == 1


def test_rows_that_are_there_have_no_value_for_a_new_column(repository, monkeypatch, capsys):
    url, versions = repository
    must = list(changed(columns=(*CLASSES.columns, Column("seat", Kind.TEXT, "Name", "seat", nullable=False))))
    monkeypatch.setattr(registry, "objects", lambda: registry.ordered(must))
    assert object_migration.write("classes", url, versions) == 1
    assert "class.seat must be nullable" in capsys.readouterr().err
    assert not list(versions.glob("*_classes.py"))

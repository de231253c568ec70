"""The first rows of a table are written without its foreign keys and indexes, which are there again afterwards."""

import psycopg
import pytest

from include.vms import first_load, merge, registry, validate
from include.vms.spec import SyncObject
from local.servers.postgres import ADMIN
from tests.integration.vms.harness import csv_bytes, record_id

SPEC: SyncObject = registry.get("classes")
SCHOOL = record_id("001", 10)
# Foreign keys, other constraints and indexes of the table.
SCHEMA = """
SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conrelid = 'vms.class'::regclass
UNION ALL SELECT indexname, indexdef, true FROM pg_indexes WHERE schemaname = 'vms' AND tablename = 'class' ORDER BY 1
"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two rows are many."""
    monkeypatch.setattr(first_load, "WORTH_ROWS", 2)


def classes(count, **values):
    return [
        {"Id": record_id("a01", number), "Name": "5b", "School__c": SCHOOL, "Class_Year_Number__c": "2030", **values}
        for number in range(count)
    ]


def school(warehouse):
    warehouse.load(registry.get("schools"), {"Id": SCHOOL, "Name": "Lincoln", "Type": "School"})


def linked(warehouse):
    return warehouse.rows("SELECT count(school_id), count(*) FROM vms.class")[0]


def dropped(warehouse, manifest):
    """Merge; returns what was dropped on the way."""
    with warehouse.connect() as watched:
        before = watched.execute("SELECT oid FROM pg_constraint WHERE conrelid = 'vms.class'::regclass").fetchall()
        watched.rollback()
        merge.merge(warehouse.connect, SPEC, manifest)
        after = watched.execute("SELECT oid FROM pg_constraint WHERE conrelid = 'vms.class'::regclass").fetchall()
    return len(set(before) - set(after))


def staged(warehouse, *rows):
    return validate.validate(warehouse.connect, SPEC, warehouse.stage(SPEC, csv_bytes(SPEC, rows)))


def test_the_table_is_as_before_and_its_keys_hold(warehouse):
    school(warehouse)
    before = warehouse.rows(SCHEMA)
    assert dropped(warehouse, staged(warehouse, *classes(3))) == 1
    assert warehouse.rows(SCHEMA) == before
    assert linked(warehouse) == (3, 3)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        warehouse.run("UPDATE vms.class SET school_id = 'nobody'")


def test_few_rows_and_tables_with_rows_keep_theirs(warehouse):
    school(warehouse)
    assert dropped(warehouse, staged(warehouse, *classes(1))) == 0
    assert dropped(warehouse, staged(warehouse, *classes(4))) == 0
    assert linked(warehouse) == (1, 4)


def test_a_reader_of_the_parents_is_not_waited_for(warehouse, monkeypatch):
    monkeypatch.setattr(first_load, "_PATIENCE", "10ms")
    school(warehouse)
    before = warehouse.rows(SCHEMA)
    manifest = staged(warehouse, *classes(3))
    with warehouse.connect() as backup:
        backup.execute("SELECT FROM vms.school")
        assert dropped(warehouse, manifest) == 0
    assert warehouse.rows(SCHEMA) == before
    assert linked(warehouse) == (3, 3)


def test_who_may_only_write_does_so(warehouse, postgres_server):
    school(warehouse)
    manifest = staged(warehouse, *classes(3))
    with psycopg.connect(postgres_server.url_of("vms_test", ADMIN)) as admin:
        admin.execute(f"ALTER TABLE vms.class OWNER TO {ADMIN}")
        admin.execute("GRANT ALL ON vms.class TO warehouse")
    assert dropped(warehouse, manifest) == 0
    assert linked(warehouse) == (3, 3)


def test_a_load_that_fails_leaves_everything_as_it_was(warehouse, monkeypatch):
    school(warehouse)
    before = warehouse.rows(SCHEMA)
    manifest = staged(warehouse, *classes(3))

    def broken(*_: object) -> None:
        raise RuntimeError("after the insert")

    monkeypatch.setattr(merge.quarantine, "record", broken)
    with pytest.raises(RuntimeError, match="after the insert"):
        merge.merge(warehouse.connect, SPEC, manifest)
    assert warehouse.rows(SCHEMA) == before
    assert linked(warehouse) == (0, 0)

"""A dump of a real PostgreSQL: whole, of one moment, and proven by restoring it."""

import pytest

from include.operations.backup.scratch import check

pytestmark = pytest.mark.servers


def back_up(store, source):
    with store.making("warehouse", source.size_bytes()) as draft:
        source.dump(draft)
    return store.manifest(store.names("warehouse")[-1])


def databases(server):
    with server.connect() as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def test_what_is_restored_is_equal(store, source, scratch):
    before = databases(scratch)
    manifest = back_up(store, source)
    assert check(store, manifest, scratch) > 0
    assert {name: content.rows for name, content in manifest.rows.items()} == {
        'public.Odd "name': 0,
        "vms.person": 2000,
        "vms.twin": 3,
        "vms.visit_2026": 2000,
    }
    assert databases(scratch) == before

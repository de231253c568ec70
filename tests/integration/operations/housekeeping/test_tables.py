"""Rows go by age, in batches, and every table of ours has a rule or a reason for none."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.operations.housekeeping import tables
from include.operations.housekeeping.tables import KEPT, RULES, prune_tables
from include.vms import ddl, registry

pytestmark = pytest.mark.servers

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ERRORS = """
insert into ops.run_error (dag_id, run_id, task_id, try_number, fingerprint, occurred_at, error_class, code, exception,
  message, transient, next_step, what_to_do)
select 'd', 'r' || n, 't', 1, 'f', %s - n * interval '1 hour', 'NETWORK', 'c', 'e', 'm', true, 'retry', 'w'
from generate_series(1, %s) n
"""


@pytest.fixture
def connection(warehouse_database):
    with psycopg.connect(warehouse_database.url) as found:
        yield found


def count(connection, table):
    return connection.execute(f"select count(*) from {table}").fetchone()[0]


def test_every_table_has_a_rule_or_a_reason(connection):
    rows = connection.execute(
        "select schemaname || '.' || tablename from pg_tables where schemaname in ('ops', 'organism', 'vms')"
    )
    ruled = {f"{rule.schema}.{rule.table}" for rule in RULES}
    assert {name for (name,) in rows} == ruled | set(KEPT) | set(ddl.metadata(registry.objects().values()).tables)
    assert not ruled & set(KEPT)


def test_columns_are_times_with_a_zone(connection):
    for rule in RULES:
        (kind,) = connection.execute(
            "select data_type from information_schema.columns where table_schema = %s and table_name = %s "
            "and column_name = %s",
            [rule.schema, rule.table, rule.column],
        ).fetchone()
        assert kind == "timestamp with time zone", rule


def test_old_rows_go_in_batches(connection, monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 100)
    connection.execute(ERRORS, [NOW, 24 * 100])
    connection.commit()
    assert prune_tables(connection, {}, NOW) == {"ops.run_error": 24 * 10}
    assert count(connection, "ops.run_error") == 24 * 90
    assert prune_tables(connection, {}, NOW) == {}
    assert prune_tables(connection, {"UPKEEP_RUN_ERROR_DAYS": "1"}, NOW) == {"ops.run_error": 24 * 89}


def test_what_has_no_end_yet_stays_however_old(connection):
    old = NOW - timedelta(days=4000)
    for name, removed in (("there", None), ("gone", old), ("gone lately", NOW - timedelta(days=1))):
        connection.execute(
            "insert into ops.backup (name, source, size_bytes, sha256, encrypted, rows, started_at, seconds, "
            "removed_at) values (%s, 'graph', 1, 'x', false, '{}', %s, 1, %s)",
            [name, old, removed],
        )
    assert prune_tables(connection, {}, NOW) == {"ops.backup": 1}
    assert [name for (name,) in connection.execute("select name from ops.backup order by 1")] == [
        "gone lately",
        "there",
    ]

"""Faults P3, P4 and P5 on a real PostgreSQL: class, whether it is tried again, and that nothing is left behind."""

import os
import socket
import time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from include.connections import warehouse as connect
from include.operations.errors import classify
from include.operations.retry import retry_delay

pytestmark = pytest.mark.servers


@pytest.fixture
def admin(postgres_server, migrated):
    """The superuser, in the migrated warehouse."""
    database = conninfo_to_dict(migrated)["dbname"]
    with psycopg.connect(make_conninfo(postgres_server.admin_url, dbname=database), autocommit=True) as admin:
        yield admin


@pytest.fixture
def role(admin, migrated, monkeypatch):
    """A role of its own, under which the connection `warehouse` logs in; returns its name."""
    admin.execute("create role p_faults login password 'pw-of-faults'")
    admin.execute("grant usage on schema ops to p_faults; grant select, insert on ops.run_error to p_faults")
    there = conninfo_to_dict(migrated)
    url = f"postgres://p_faults:pw-of-faults@{there['host']}:{there['port']}/{there['dbname']}"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    yield "p_faults"
    admin.execute("drop owned by p_faults; drop role p_faults")


def run(statements):
    with connect() as connection:
        for statement in statements:
            connection.execute(statement)


def wait_until_gone(admin, role):
    """The server takes a moment to let go of a connection that was closed."""
    end = time.monotonic() + 60
    while admin.execute("select count(*) from pg_stat_activity where usename = %s", [role]).fetchone() != (0,):
        assert time.monotonic() < end
        time.sleep(0.02)


def fault(*statements):
    """What a task's connection ends with: class, code, and whether there is a second try."""
    with pytest.raises(psycopg.Error) as caught:
        run(statements)
    found = classify(caught.value)
    return found.error_class, found.code, retry_delay(found, 1, lambda: 0.5) is not None


def test_p3_a_full_disk_is_left_to_a_human_and_publishes_nothing(admin, role):
    admin.execute("grant pg_write_server_files to p_faults")
    insert = """insert into ops.run_error (dag_id, run_id, task_id, try_number, fingerprint, error_class, code,
      exception, message, transient, next_step, what_to_do)
      values ('p3', 'r', 't', 1, 'f', 'c', 'c', 'e', 'm', true, 'n', 'w')"""
    # The device that is always full: the server's own write fails as on a full disk.
    assert fault(insert, "copy (select repeat('x', 100000)) to '/dev/full'") == ("DATABASE", "53100", False)
    with connect() as connection:
        assert connection.execute("select count(*) from ops.run_error where dag_id = 'p3'").fetchone() == (0,)


def test_p4_a_role_without_a_free_connection_waits_for_one(admin, role):
    admin.execute("alter role p_faults connection limit 1")
    with connect() as first:
        first.execute("select 1")
        assert fault() == ("DATABASE", "53300", True)
    wait_until_gone(admin, role)
    run(["select 1"])


def test_p4_a_statement_past_its_time_is_released(admin, role, monkeypatch):
    monkeypatch.setattr("include.connections._STATEMENT_S", 1)
    assert fault("select pg_sleep(30)") == ("TIMEOUT", "57014", True)
    wait_until_gone(admin, role)


def test_p5_a_missing_table_and_a_lost_right_are_not_tried_again(admin, role):
    assert fault("select * from ops.nothing") == ("DATABASE", "42P01", False)
    admin.execute("revoke select on ops.run_error from p_faults")
    assert fault("select * from ops.run_error") == ("AUTH", "42501", False)
    admin.execute("alter role p_faults nologin")
    assert fault() == ("AUTH", "28000", False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("pw-of-faults", "wrong"), ("AUTH", "28P01", False)),
        (("/tasks_test", "/not_there"), ("DATABASE", "3D000", False)),
    ],
)
def test_a_refused_connection_carries_the_servers_code(role, monkeypatch, change, expected):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", os.environ["AIRFLOW_CONN_WAREHOUSE"].replace(*change))
    assert fault() == expected


def test_a_server_that_is_not_there_is_network(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://u:p@127.0.0.1:1/x")
    assert fault() == ("NETWORK", "OperationalError", True)


def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("include.connections._CONNECT_S", 2)
    monkeypatch.setattr("include.postgres_connect._ASK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"postgres://u:p@127.0.0.1:{silent.getsockname()[1]}/x")
        assert fault() == ("TIMEOUT", "ConnectionTimeout", True)

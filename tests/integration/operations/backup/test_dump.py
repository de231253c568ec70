"""A dump of a real PostgreSQL: whole, of one moment, and proven by restoring it."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from include.operations.backup import scratch as scratch_module
from include.operations.backup.digest import differences, digest
from include.operations.backup.errors import BackupDamaged, BackupDiffers, TargetNotEmpty, ToolFailed, ToolMissing
from include.operations.backup.postgres import Postgres
from include.operations.backup.scratch import check
from include.operations.backup.store import MANIFEST, Content, Manifest
from include.operations.errors import ErrorClass, classify
from local.servers.postgres import binaries
from tests.integration.operations.backup.conftest import postgres

pytestmark = pytest.mark.servers


def back_up(store, source):
    with store.making("warehouse", source.size_bytes()) as draft:
        source.dump(draft)
    return store.manifest(store.names("warehouse")[-1])


def databases(server):
    with server.connect() as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def execute(database, *statements):
    with database.connect() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def target(postgres_server):
    return postgres(postgres_server.create_database("backup_target"))


def contents(database):
    with database.connect() as connection:
        return digest(connection)


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


def test_restore_into_an_empty_database(store, source, target):
    manifest = back_up(store, source)
    target.require_empty()
    target.restore(store.read(manifest))
    assert contents(target) == manifest.rows
    with target.connect() as connection:
        # Sequences go on where they were, views and constraints are there.
        assert connection.execute("insert into vms.person (name) values ('next') returning id").fetchone() == (2001,)
        assert connection.execute("select sum(count) from vms.moods").fetchone()[0] == 2001
        assert connection.execute("select count(*) > 0 from vms.days").fetchone()[0]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        execute(target, "insert into vms.visit values (-1, '2026-01-01')")


def test_counts_belong_to_the_dump_while_others_write(plain_store, source, scratch):
    stop, written = threading.Event(), threading.Semaphore(0)

    def write():
        with source.connect(autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("insert into vms.twin select generate_series(1, 50)")
                written.release()
                connection.execute("update vms.person set name = name || 'x' where id % 7 = 0")

    def back_up_anew():
        while written.acquire(blocking=False):
            pass
        assert written.acquire(timeout=60), "the writer does not write"
        return back_up(plain_store, source)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        manifests = [back_up_anew() for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert len({manifest.rows["vms.twin"].rows for manifest in manifests}) == 3
    for manifest in manifests:
        check(plain_store, manifest, scratch)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from vms.twin where a = 2", "vms.twin has 2 rows instead of 3"),
        ("update vms.person set share = share + 1e-12 where id = 9", "vms.person has other values"),
        ("insert into vms.twin values (1)", "vms.twin has 4 rows instead of 3"),
        ("update vms.twin set a = 2 where a = 1 and ctid = '(0,1)'", "vms.twin has other values"),
        ("drop table vms.twin", "vms.twin is missing"),
        ("create table vms.more ()", "vms.more is new"),
    ],
)
def test_every_difference_is_seen(source, statement, said):
    before = contents(source)
    execute(source, statement)
    (found,) = differences(before, contents(source))
    assert found.startswith(said)


def test_equal_content_in_another_order_is_equal(source):
    before = contents(source)
    execute(source, "create table copy as select * from vms.twin order by a desc", "delete from vms.twin")
    execute(source, "insert into vms.twin select * from copy", "drop table copy", "update vms.person set name = name")
    assert contents(source) == before


def test_a_backup_that_restores_to_something_else_is_refused(plain_store, source, scratch):
    manifest = back_up(plain_store, source)
    wrong = replace(manifest, rows=manifest.rows | {"vms.twin": Content(4, manifest.rows["vms.twin"].checksum)})
    with pytest.raises(BackupDiffers, match=r"vms\.twin has 3 rows instead of 4"):
        check(plain_store, wrong, scratch)
    assert not {name for name in databases(scratch) if name.startswith("restore_check_")}


def test_a_dump_cut_off_before_it_was_summed_is_refused(plain_store, source, scratch, target):
    """As after a bug of ours: the sums agree with a file that is only a part."""
    manifest = back_up(plain_store, source)
    with plain_store.making("warehouse", 0) as draft:
        draft.rows = manifest.rows
        draft.write(b"".join(plain_store.read(manifest))[:-9000])
    half = plain_store.manifest(draft.name)
    with pytest.raises(ToolFailed):
        check(plain_store, half, scratch)
    with pytest.raises(ToolFailed):
        target.restore(plain_store.read(half))
    target.require_empty()


def test_data_that_turn_out_damaged_while_they_are_restored_change_nothing(plain_store, source, target):
    def data():
        yield from [b"".join(plain_store.read(back_up(plain_store, source)))[:30_000]]
        raise BackupDamaged("late", what_to_do="-")

    with pytest.raises(BackupDamaged):
        target.restore(data())
    target.require_empty()


def test_a_target_that_holds_something(plain_store, source, target):
    manifest = back_up(plain_store, source)
    execute(target, "create schema vms", "create table vms.twin (b text)", "insert into vms.twin values ('mine')")
    with pytest.raises(TargetNotEmpty, match=r"vms\.twin"):
        target.require_empty()
    with pytest.raises(ToolFailed, match="already exists"):
        target.restore(plain_store.read(manifest))
    assert contents(target)["vms.twin"].rows == 1
    target.restore(plain_store.read(manifest), replace=True)
    assert contents(target) == manifest.rows


# --- programs -----------------------------------------------------------------
def fake_tool(folder, name, version):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_programs_that_are_missing_or_too_old(plain_store, source, tmp_path):
    for database, said in (
        (replace_tools(source, tmp_path / "none"), "pg_dump is not in BACKUP_PG_BIN"),
        (replace_tools(source, tmp_path / "old"), "is of version 14, the server of 18"),
    ):
        fake_tool(tmp_path / "old", "pg_dump", "14.2 (Debian 14.2-1)")
        with pytest.raises(ToolMissing, match=said) as missing:
            back_up(plain_store, database)
        assert "PostgreSQL 18" in missing.value.what_to_do
        assert not classify(missing.value).transient
    assert plain_store.names() == []


def replace_tools(database, folder):
    return Postgres(database.arguments, folder)


def test_programs_are_found_on_path(plain_store, source, monkeypatch):
    monkeypatch.setenv("PATH", f"{binaries()}{os.pathsep}{os.environ['PATH']}")
    # Settings of the person who runs it mean other servers.
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    assert back_up(plain_store, replace_tools(source, None)).total == 4003


def test_what_pg_dump_may_not_read_fails_the_backup(plain_store, source, postgres_server):
    with psycopg.connect(postgres_server.url_of("backup_source", "postgres")) as connection:
        connection.execute("alter table vms.person owner to postgres; revoke all on vms.person from warehouse")
    with pytest.raises((ToolFailed, psycopg.errors.InsufficientPrivilege)) as failed:
        back_up(plain_store, source)
    assert classify(failed.value).error_class in {ErrorClass.DATABASE, ErrorClass.AUTH}
    assert plain_store.names() == []


def test_the_password_is_in_no_command_line_and_no_error(plain_store, source):
    wrong = Postgres(source.arguments | {"password": "seeded-secret"}, source.tools)
    with pytest.raises(psycopg.OperationalError):
        back_up(plain_store, wrong)
    seen = []
    real = subprocess.Popen

    def popen(command, **options):
        seen.append(command)
        return real(command, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", popen)
        back_up(plain_store, source)
    assert seen
    assert source.arguments["password"] not in json.dumps(seen)


# --- kills --------------------------------------------------------------------
KILLED = """
import json, sys
from pathlib import Path
from include.operations.backup.postgres import Postgres
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import Manifest, Store, MANIFEST
from include.operations.backup.scratch import check
folder, arguments, tools, doing = sys.argv[1:]
store = Store(BackupSettings(Path(folder), min_free_mb=0))
database = Postgres(json.loads(arguments), Path(tools))
if doing == "dump":
    with store.making("warehouse", 0) as draft:
        database.dump(draft)
else:
    check(store, store.manifest(doing), database)
"""


def run(store, database, doing, fault):
    command = [sys.executable, "-c", KILLED, str(store.folder), json.dumps(database.arguments), str(database.tools)]
    return subprocess.run([*command, doing], env=os.environ | {"FAULT_AT": fault}, check=False).returncode


def test_killed_in_mid_dump(plain_store, source, scratch):
    assert run(plain_store, source, "dump", "backup.in_dump:kill") == -signal.SIGKILL
    assert plain_store.names() == []
    check(plain_store, back_up(plain_store, source), scratch)
    assert len(list(plain_store.folder.iterdir())) == 1


def test_what_a_killed_check_has_left_is_dropped_by_the_next(plain_store, source, scratch):
    manifest = back_up(plain_store, source)
    before = databases(scratch)
    assert run(plain_store, scratch, manifest.name, "backup.in_check:kill") == -signal.SIGKILL
    assert len(databases(scratch) - before) == 1
    check(plain_store, manifest, scratch)
    assert databases(scratch) == before


def test_nobody_else_may_connect_to_the_scratch_database(plain_store, source, scratch, postgres_server, monkeypatch):
    seen = []

    def look(self, data, **options):
        other = postgres_server.url_of(self.arguments["dbname"], "warehouse")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(other)
        seen.append(self.arguments["dbname"])
        real(self, data, **options)

    real = scratch_module.Postgres.restore
    monkeypatch.setattr(scratch_module.Postgres, "restore", look)
    check(plain_store, back_up(plain_store, source), scratch)
    assert seen


def test_a_manifest_survives_its_file(plain_store, source):
    manifest = back_up(plain_store, source)
    text = (plain_store.folder / manifest.name / MANIFEST).read_text()
    assert Manifest.read(text, manifest.name) == manifest
    assert manifest.server.startswith("PostgreSQL 18.")


# --- extensions ---------------------------------------------------------------
# As much of TimescaleDB as a restore calls: it notes in which state the rows arrive.
EXTENSION = """
create table restoring (state text);
grant all on restoring to public;
create function timescaledb_pre_restore() returns void language sql as
  $$ insert into public.restoring values ('on') $$;
create function timescaledb_post_restore() returns void language sql as $$ delete from public.restoring $$;
"""


@pytest.fixture
def timescale(postgres_server, tmp_path):
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "timescaledb.control").write_text("default_version = '1.0'\ntrusted = true\nrelocatable = true\n")
    (folder / "timescaledb--1.0.sql").write_text(EXTENSION)
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter system set extension_control_path = {}").format(sql.Literal(f"{tmp_path}:$system"))
        )
        connection.execute("select pg_reload_conf()")
        yield
        connection.execute("alter system reset extension_control_path")
        connection.execute("select pg_reload_conf()")


@pytest.mark.usefixtures("timescale")
def test_timescaledb_is_told_before_and_after(plain_store, postgres_server, scratch, target):
    source = postgres(postgres_server.create_database("backup_timescale"))
    execute(source, "create extension timescaledb", "create table t (a int)")
    execute(source, "insert into t select generate_series(1, 10)")
    manifest = back_up(plain_store, source)
    assert manifest.extensions == {"timescaledb": "1.0"}
    check(plain_store, manifest, scratch)
    seen = []
    real = Postgres._run

    def run(self, *arguments, **options):
        with self.connect() as connection:
            seen.append(connection.execute("select state from public.restoring").fetchall())
        return real(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Postgres, "_run", run)
        target.restore(plain_store.read(manifest), extensions=manifest.extensions)
    with target.connect() as connection:
        assert connection.execute("select * from restoring").fetchall() == []
    assert seen == [[("on",)]]
    assert contents(target) == manifest.rows

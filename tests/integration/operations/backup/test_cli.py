"""`backup` in the command line, from making one to the morning after the loss of a server."""

import json
import shutil

import psycopg
import pytest
from psycopg import sql

from local.servers.postgres import binaries
from tests.cli_runner import cli
from tests.faults.fixtures import make_world, shared_clients, world
from tests.faults.world import clear, events
from tests.integration.operations.backup.conftest import as_key_text

pytestmark = pytest.mark.servers

__all__ = ["cli", "make_world", "shared_clients", "world"]


def conn(url):
    return url.replace("postgresql://", "postgres://")


@pytest.fixture
def environment(warehouse_database, scratch_url, tmp_path, monkeypatch):
    """A warehouse with a row, a folder for backups, a scratch server."""
    monkeypatch.setenv("BACKUP_DIR", str(tmp_path / "backups"))
    monkeypatch.setenv("BACKUP_MIN_FREE_MB", "0")
    monkeypatch.setenv("BACKUP_PG_BIN", str(binaries()))
    monkeypatch.setenv("AIRFLOW_CONN_BACKUP_SCRATCH", conn(scratch_url))
    with psycopg.connect(warehouse_database.url) as connection:
        connection.execute(
            "insert into organism.roster_rejection (run_id, row_number, field, code, reason) "
            "values ('r', 1, 'id', 'c', 'w')"
        )
    return tmp_path / "backups"


@pytest.fixture
def target(postgres_server, monkeypatch):
    url = postgres_server.create_database("restore_target")
    monkeypatch.setenv("AIRFLOW_CONN_RESTORE_TARGET", conn(url))
    return url


@pytest.fixture
def name(cli, environment):
    done = cli("backup", "create", "warehouse")
    assert done.code == 0, done.err
    return done.out.partition(":")[0]


def listed(cli):
    done = cli("backup", "list", "--json")
    return done, {each["name"]: each for each in json.loads(done.out)["backups"]}


def count(url, table="organism.roster_rejection"):
    with psycopg.connect(url) as connection:
        return connection.execute(
            sql.SQL("select count(*) from {}").format(sql.Identifier(*table.split(".")))
        ).fetchone()


def test_create_verify_list(cli, environment, name, warehouse_database):
    assert listed(cli)[1][name]["checked_at"] is None
    done = cli("backup", "verify", name)
    assert done.code == 0, done.err
    assert "rows equal in" in done.out
    found = listed(cli)[1][name]
    assert found["checked_at"]
    assert found["restore_s"] > 0
    assert found["rows"] >= 2
    table = cli("backup", "list")
    assert name in table.out
    assert "1 backups in" in table.out
    with psycopg.connect(warehouse_database.url) as connection:
        row = connection.execute("select source, encrypted, rows from ops.backup where name = %s", [name]).fetchone()
    assert row[:2] == ("warehouse", False)
    assert row[2]["organism.roster_rejection"]["rows"] == 1


def test_the_warehouse_is_lost(cli, name, target, postgres_server, warehouse_database):
    """Nothing is there but the files."""
    before = count(warehouse_database.url)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as connection:
        connection.execute("drop database warehouse_test with (force)")
    done, found = listed(cli)
    assert done.code == 0
    assert "unknown" in done.err
    assert set(found) == {name}
    rehearsed = cli("backup", "restore", name, "--into", "restore_target", "--dry-run")
    assert rehearsed.code == 0, rehearsed.err
    assert rehearsed.out.startswith("would restore")
    with psycopg.connect(target) as connection:
        assert connection.execute("select to_regclass('organism.roster_rejection')").fetchone() == (None,)
    done = cli("backup", "restore", name, "--into", "restore_target", "--yes")
    assert done.code == 0, done.err
    assert "every table is equal" in done.out
    assert count(target) == before


def test_a_target_that_is_not_empty(cli, name, target, warehouse_database):
    # Where it was taken from is not empty.
    refused = cli("backup", "restore", name, "--yes")
    assert refused.code == 1
    assert "holds tables already" in refused.err
    for word in ("--yes", "--dry-run"):
        with psycopg.connect(target) as connection:
            connection.execute("create table if not exists mine (a int)")
        assert cli("backup", "restore", name, "--into", "restore_target", word).code == 1
    assert cli("backup", "restore", name, "--replace", "--yes").code == 2
    assert count(warehouse_database.url) == (1,)
    # Dropped is what the backup holds, in the same transaction in which it comes back.
    done = cli("backup", "restore", name, "--into", "warehouse", "--replace", "--dry-run")
    assert "after dropping" in done.out
    with psycopg.connect(warehouse_database.url) as connection:
        connection.execute("delete from organism.roster_rejection")
    done = cli("backup", "restore", name, "--into", "warehouse", "--replace", "--yes")
    assert done.code == 0, done.err
    assert count(warehouse_database.url) == (1,)


def test_it_asks(cli, name, target):
    done = cli("backup", "restore", name, "--into", "restore_target", stdin="n\n")
    assert done.code == 1
    with psycopg.connect(target) as connection:
        assert connection.execute("select to_regclass('organism.roster_rejection')").fetchone() == (None,)


@pytest.mark.parametrize("command", [("verify",), ("verify", "--read-only"), ("restore", "--into", "restore_target")])
def test_damaged_files_are_refused_and_listed(cli, environment, name, target, command):
    path = environment / name / "data.dump"
    path.write_bytes(path.read_bytes()[:-1])
    done = cli("backup", command[0], name, *command[1:])
    assert done.code == 1
    assert "bytes, there were" in done.err
    (environment / name / "manifest.json").unlink()
    done = cli("backup", "list")
    assert done.code == 1
    assert "damaged" in done.out


def test_encrypted(cli, environment, target, monkeypatch):
    monkeypatch.setenv("BACKUP_KEY", as_key_text())
    name = cli("backup", "create", "warehouse").out.partition(":")[0]
    assert cli("backup", "verify", name).code == 0
    monkeypatch.setenv("BACKUP_KEY", as_key_text(bytes(32)))
    done = cli("backup", "restore", name, "--into", "restore_target", "--yes")
    assert done.code == 1
    assert "is encrypted with key" in done.err
    assert as_key_text() not in done.err + done.out
    monkeypatch.delenv("BACKUP_KEY")
    assert cli("backup", "verify", name).code == 1
    assert listed(cli)[1][name]["key_id"]


def test_unknown_names_and_sources(cli, environment):
    assert "there is no such backup" in cli("backup", "verify", "warehouse-20200101T000000Z").err
    assert "there is no source" in cli("backup", "create", "everything").err


def test_the_graph_is_lost_and_comes_back_up_to_date(
    cli, world, environment, redis_server, neo4j_server, monkeypatch, tmp_path
):
    """Restored from a backup, then brought up to date from the stream: nothing lost, nothing counted twice."""
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    monkeypatch.setenv("ORGANISM_STREAM", world.stream)
    monkeypatch.setenv("ORGANISM_GROUP", world.settings.group)
    world.publish(events(120))
    world.run()
    done = cli("backup", "create", "graph")
    assert done.code == 0, done.err
    name = done.out.partition(":")[0]
    assert cli("backup", "verify", name).code == 0
    world.publish(events(80, start=500))
    world.run()
    world.publish(events(30, start=900))
    refused = cli("backup", "restore", name, "--yes")
    assert "the target graph holds" in refused.err
    clear(world.driver)
    done = cli("backup", "restore", name, "--yes")
    assert done.code == 0, done.err
    assert "backup rewind" in done.out
    world.end_lease()
    done = cli("backup", "rewind")
    assert "110 entries to read again" in done.out
    assert "nothing to rewind" in cli("backup", "rewind").out
    result = world.run()
    assert result["update"]["lost"] == 0
    world.check()
    shutil.rmtree(tmp_path / "backups")
    assert listed(cli)[1] == {}

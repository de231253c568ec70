"""`doctor` says whether tonight's backups can be made, and whether the last ones were proven."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.operations.backup.settings import BackupSettings
from include.operations.doctor import Level, backups
from local.servers.postgres import binaries
from tests.integration.operations.backup.conftest import as_key_text

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)


def conn(url):
    return url.replace("postgresql://", "postgres://")


@pytest.fixture
def ready(postgres_server, metadata_database, warehouse_database, scratch_url, monkeypatch):
    """All that backups need, and proven ones of last night."""
    monkeypatch.setenv("BACKUP_PG_BIN", str(binaries()))
    monkeypatch.setenv("BACKUP_KEY", as_key_text())
    monkeypatch.setenv("AIRFLOW_CONN_BACKUP_SCRATCH", conn(scratch_url))
    upkeep = postgres_server.ensure_metadata_upkeep("metadata_test")
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", conn(upkeep))
    with psycopg.connect(warehouse_database.url) as connection:
        for source in ("metadata", "warehouse", "graph"):
            connection.execute(
                "insert into ops.backup (name, source, size_bytes, sha256, encrypted, rows, started_at, seconds, "
                "checked_at) values (%(source)s, %(source)s, 1, 'x', true, '{}', %(at)s, 1, %(at)s)",
                {"source": source, "at": NOW - timedelta(hours=20)},
            )


def bad(now=NOW):
    return {finding.area: finding for finding in backups.check(now) if finding.level is not Level.OK}


@pytest.mark.usefixtures("ready")
class TestDoctor:
    def test_all_is_well(self):
        assert bad() == {}
        assert len(list(backups.check(NOW))) == 5

    def test_backups_that_are_old_or_were_never_proven(self, warehouse_database):
        assert bad(NOW + timedelta(hours=40))["backups"].level is Level.FAIL
        with psycopg.connect(warehouse_database.url) as connection:
            connection.execute("update ops.backup set checked_at = null where source = 'graph'")
        assert "graph: none was ever proven" in bad()["backups"].found

    def test_no_key(self, monkeypatch):
        monkeypatch.delenv("BACKUP_KEY")
        assert bad()["backups"].level is Level.WARN

    @pytest.mark.parametrize("name", ["AIRFLOW_METADATA_UPKEEP", "BACKUP_SCRATCH"])
    def test_missing_connection(self, monkeypatch, name):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
        assert set(bad()) == {name.lower()}

    def test_missing_grants(self, metadata_database):
        with psycopg.connect(metadata_database.admin_url) as connection:
            connection.execute("revoke select on xcom from airflow_upkeep; revoke delete on log from airflow_upkeep")
        found = [each.found for each in backups.check(NOW) if each.level is Level.FAIL]
        assert found == ["no right to read xcom, so no backup is made", "may not delete rows of log"]

    def test_superusers(self, metadata_database, postgres_server, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", conn(metadata_database.admin_url))
        monkeypatch.setenv("AIRFLOW_CONN_BACKUP_SCRATCH", conn(postgres_server.admin_url))
        found = bad()
        assert found["airflow_metadata_upkeep"].level is Level.FAIL
        assert found["backup_scratch"].level is Level.WARN

    def test_a_scratch_role_that_cannot_make_databases(self, warehouse_database, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_BACKUP_SCRATCH", conn(warehouse_database.url))
        assert "cannot create databases" in bad()["backup_scratch"].found

    def test_no_programs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BACKUP_PG_BIN", str(tmp_path))
        assert BackupSettings.from_env().pg_bin == tmp_path
        found = bad()["airflow_metadata_upkeep"]
        assert found.level is Level.FAIL
        assert "pg_restore is not in BACKUP_PG_BIN" in found.found

    def test_one_that_is_down_is_named_and_the_others_are_examined(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", "postgres://me:x@127.0.0.1:1/a")
        found = bad()
        assert set(found) == {"airflow_metadata_upkeep"}
        assert found["airflow_metadata_upkeep"].level is Level.FAIL

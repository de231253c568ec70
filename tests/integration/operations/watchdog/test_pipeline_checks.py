"""Each check on the stream, the warehouse and this machine, on real servers."""

import shutil
from datetime import timedelta

import psycopg
import pytest
import redis

from include.connections import warehouse
from include.operations.watchdog import machine_checks, pipeline_checks
from include.operations.watchdog.pipeline_checks import Warehouse

from .conftest import NOW

pytestmark = pytest.mark.servers


def by_key(readings):
    return {(each.check, each.subject): each for each in readings}


class TestStream:
    @pytest.fixture
    def client(self, redis_server, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushdb()
            yield client
            client.flushdb()

    def add(self, client, n, minutes_ago=0):
        milliseconds = int(client.time()[0] * 1000) - minutes_ago * 60_000
        for number in range(n):
            client.xadd("interactions", {"source": "a"}, id=f"{milliseconds}-{number + 1}")

    @pytest.mark.usefixtures("client")
    def test_no_stream_is_no_trouble(self):
        found = by_key(pipeline_checks.stream())
        assert found["stream_backlog", "interactions"].value == 0
        assert found["stream_age", "interactions"].value == 0

    def test_a_stream_that_nothing_has_drained(self, client):
        self.add(client, 3, minutes_ago=20)
        found = by_key(pipeline_checks.stream())
        assert found["stream_backlog", "interactions"].value == 3
        assert found["stream_age", "interactions"].value == pytest.approx(20, abs=0.1)
        assert "no group graph_builder" in found["stream_age", "interactions"].detail[1]

    def test_unread_and_pending_add_up_and_the_oldest_counts(self, client):
        self.add(client, 5, minutes_ago=30)
        client.xgroup_create("interactions", "graph_builder", id="0")
        client.xreadgroup("graph_builder", "x", {"interactions": ">"}, count=5)
        self.add(client, 4, minutes_ago=2)
        client.xack("interactions", "graph_builder", *[row[0] for row in client.xrange("interactions", count=3)])
        found = by_key(pipeline_checks.stream())
        assert found["stream_backlog", "interactions"].value == 6
        assert found["stream_backlog", "interactions"].detail == ("4 unread and 2 pending entries",)
        assert found["stream_age", "interactions"].value == pytest.approx(30, abs=0.1)

    def test_a_drained_stream_keeps_old_entries_and_is_well(self, client):
        self.add(client, 5, minutes_ago=30)
        client.xgroup_create("interactions", "graph_builder", id="$")
        found = by_key(pipeline_checks.stream())
        assert [each.value for each in found.values()] == [0, 0]

    def test_what_redis_cannot_count_is_counted(self, client):
        self.add(client, 1500)
        client.xgroup_create("interactions", "graph_builder", id="0")
        ((first, _),) = client.xrange("interactions", count=1)
        client.xreadgroup("graph_builder", "x", {"interactions": ">"}, count=1)
        client.xack("interactions", "graph_builder", first)
        # A deleted entry behind the group's position: Redis gives no lag any more.
        client.xdel("interactions", client.xrevrange("interactions", count=700)[-1][0])
        (group,) = client.xinfo_groups("interactions")
        assert group["lag"] is None
        assert by_key(pipeline_checks.stream())["stream_backlog", "interactions"].value == 1498


class TestWarehouse:
    @pytest.fixture
    def connection(self, warehouse_database):
        with psycopg.connect(warehouse_database.url, autocommit=True) as connection:
            yield connection

    def look(self, check):
        with warehouse() as connection:
            return by_key(check(Warehouse(connection, NOW)))

    def graph_update(self, connection, run, finished):
        counts = (
            "epoch",
            "read",
            "written",
            "duplicates",
            "dead",
            "lost",
            "batches",
            "people_touched",
            "edges_touched",
        )
        counts += ("people_created", "edges_created", "claimed", "acknowledged", "pending")
        values = {"run_id": run, "watermark": "0-0", "skipped": "{}", "drained": True, "healed": "{}", "seconds": "{}"}
        values |= {"created_at": finished or NOW, "finished_at": finished} | dict.fromkeys(counts, 0)
        marks = ", ".join(f"%({name})s" for name in values)
        connection.execute(f"insert into ops.graph_update ({', '.join(values)}) values ({marks})", values)

    def test_freshness_is_the_age_of_the_last_run_that_ended(self, connection):
        self.graph_update(connection, "a", NOW - timedelta(minutes=40))
        self.graph_update(connection, "b", NOW - timedelta(minutes=20))
        self.graph_update(connection, "c", None)
        reading = self.look(pipeline_checks.freshness)["freshness", "people_graph"]
        assert (reading.value, reading.limit, reading.normal) == (20, 15, "at most 15 min")
        assert reading.since == NOW - timedelta(minutes=20)

    @pytest.mark.usefixtures("warehouse_database")
    def test_what_was_never_loaded_is_counted_from_now(self, monkeypatch):
        monkeypatch.setenv("WATCHDOG_FRESHNESS_PEOPLE_GRAPH", "60")
        reading = self.look(pipeline_checks.freshness)["freshness", "people_graph"]
        assert (reading.value, reading.limit) == (None, 60)

    def test_a_salesforce_sync_is_as_fresh_as_its_last_success(self, connection):
        connection.execute(
            "insert into ops.sync_state (object, succeeded_at) values ('schools', %s)", [NOW - timedelta(hours=4)]
        )
        found = self.look(pipeline_checks.freshness)
        reading = found["freshness", "vms_schools"]
        assert (reading.value, reading.limit, reading.dag_id) == (240, 180, "vms_sync_schools")
        # Every other sync is watched as well, and was never loaded.
        assert found["freshness", "vms_volunteers"].value is None

    @pytest.mark.usefixtures("warehouse_database")
    def test_without_salesforce_no_sync_is_expected(self):
        assert set(self.look(pipeline_checks.freshness)) == {("freshness", "people_graph")}

    def test_orphans_of_a_day_by_sync(self, connection):
        for number, hours, resolved in ((1, 1, None), (2, 2, None), (3, 3, NOW), (4, 30, None)):
            connection.execute(
                "insert into vms.pending_link (object, record_id, reference, target_id, orphaned_at, resolved_at)"
                " values ('classes', %s, 'class.school_salesforce_id', 'x', %s, %s)",
                [str(number), NOW - timedelta(hours=hours), resolved],
            )
        found = self.look(pipeline_checks.orphans)
        assert found["orphans", "classes"].value == 2
        assert found["orphans", "classes"].since == NOW - timedelta(hours=2)
        assert found["orphans", "schools"].value == 0

    def test_alerts_that_wait_by_channel(self, connection):
        for channel, minutes, error, sent in (
            ("slack", 90, "ratelimited", None),
            ("slack", 5, None, None),
            ("email", 300, None, NOW),
        ):
            connection.execute(
                "insert into ops.alert_outbox (channel, kind, severity, payload, created_at, last_error, sent_at)"
                " values (%s, 'alert', 'P2', '{}', %s, %s, %s)",
                [channel, NOW - timedelta(minutes=minutes), error, sent],
            )
        found = self.look(pipeline_checks.outbox)
        assert list(found) == [("outbox", "slack")]
        assert found["outbox", "slack"].value == 90
        assert found["outbox", "slack"].detail == ("2 messages wait for slack, refused with ratelimited",)

    def test_age_of_the_newest_backup_that_could_be_restored(self, connection):
        for name, hours, checked, removed in (("a", 50, NOW, NOW), ("b", 40, NOW, None), ("c", 20, None, None)):
            connection.execute(
                "insert into ops.backup (name, source, size_bytes, sha256, encrypted, rows, started_at, seconds,"
                " checked_at, removed_at) values (%s, 'warehouse', 1, '', false, '{}', %s, 1, %s, %s)",
                [name, NOW - timedelta(hours=hours), checked, removed],
            )
        assert self.look(pipeline_checks.backups)["backup_age", "warehouse"].value == 40

    @pytest.mark.usefixtures("warehouse_database")
    def test_no_backup_counts_from_now(self):
        found = self.look(pipeline_checks.backups)
        assert {key: reading.value for key, reading in found.items()} == {
            ("backup_age", source): None for source in ("metadata", "warehouse", "graph")
        }
        assert found["backup_age", "graph"].detail == ("there is none",)


class TestMachine:
    def test_disks_as_df_counts(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "not" / "yet"))
        found = by_key(machine_checks.disks())
        usage = shutil.disk_usage(tmp_path)
        percent = 100 * usage.used / (usage.used + usage.free)
        assert found["disk", "AIRFLOW_HOME"].value == pytest.approx(percent, abs=1)
        assert found["disk_full", "AIRFLOW_HOME"].value == found["disk", "AIRFLOW_HOME"].value

    def test_one_disk_is_one_subject(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert len(list(machine_checks.disks())) == 2

    def test_backups_on_a_disk_of_their_own_are_watched(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
        monkeypatch.setenv("BACKUP_DIR", "/dev/shm/not/yet")  # noqa: S108 - only looked at
        assert ("disk", "backups") in by_key(machine_checks.disks())

    def test_memory_of_the_machine(self, tmp_path):
        (reading,) = machine_checks.memory(tmp_path)
        assert reading.subject == "machine"
        assert 0 < reading.value < 100

    def test_memory_of_a_container_without_what_is_given_back(self, tmp_path):
        (tmp_path / "memory.max").write_text("1000000000\n")
        (tmp_path / "memory.current").write_text("900000000\n")
        (tmp_path / "memory.stat").write_text("anon 600000000\ninactive_file 50000000\nactive_file 1\n")
        (reading,) = machine_checks.memory(tmp_path)
        assert (reading.subject, reading.value) == ("container", 85)

    def test_a_container_without_a_limit_is_the_machine(self, tmp_path):
        (tmp_path / "memory.max").write_text("max\n")
        (reading,) = machine_checks.memory(tmp_path)
        assert reading.subject == "machine"

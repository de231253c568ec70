"""Whole rounds: real metadata, warehouse, Redis and alert channels; the clock is the test's."""

from datetime import timedelta

import psycopg
import pytest
import redis

from include.connections import warehouse
from include.operations.errors import classify
from include.operations.watchdog import metadata_checks, store, tasks, watch
from include.operations.watchdog.pipeline_checks import FRESHNESS
from tests.integration.operations.patience import patient_alerts

pytestmark = pytest.mark.servers

DAG = "organism_incremental_update"


class World:
    """Everything the watchdog looks at; all is well at first."""

    def __init__(self, airflow, sink, url, monkeypatch):
        self.airflow = airflow
        self.sink = sink
        self.url = url
        self.patch = monkeypatch
        self.healthy()

    @property
    def now(self):
        return self.airflow.now

    def healthy(self):
        self.airflow.connection.execute("delete from job")
        self.airflow.alive()

    def round(self, minutes=5):
        """The watchdog's next round; the components go on living meanwhile."""
        self.airflow.now += timedelta(minutes=minutes)
        self.airflow.connection.execute("update job set latest_heartbeat = %s", [self.now])
        return watch.watch(now=self.now)

    def told(self):
        """First lines of what arrived at Slack, oldest first."""
        return [message["text"].splitlines()[0] for message in self.sink.slack_messages()]

    def episodes(self):
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "select check_id, subject, state, warned_at is not null, recovery_told_at is not null"
                " from ops.warning_episode order by id"
            ).fetchall()


@pytest.fixture
def world(airflow, alert_sink, warehouse_database, redis_server, monkeypatch, tmp_path):
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    # This machine's own memory and disk are not the test's, and each warning is to be seen by itself.
    for name in ("MEMORY", "DISK", "DISK_FULL", *(f"FRESHNESS_{each.name.upper()}" for each in FRESHNESS)):
        monkeypatch.setenv(f"WATCHDOG_{name}", "off")
    monkeypatch.setenv("ALERT_GROUP_P3_S", "0")
    monkeypatch.setenv("ALERT_BURST_S", "0")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("ALERT_STATE_DIR", str(tmp_path / "alerts"))
    patient_alerts(monkeypatch)
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
    return World(airflow, alert_sink, warehouse_database.url, monkeypatch)


def queue(world, n):
    world.airflow.connection.execute("delete from task_instance")
    for index in range(n):
        world.airflow.task(DAG, "r", "t", state="queued", map_index=index)


def test_all_is_well(world):
    assert world.round() == {"warned": 0, "recovered": 0, "open": [], "checks_failed": []}
    assert world.told() == []
    # Missing backups are remembered from now on.
    assert {row[:3] for row in world.episodes()} == {
        ("backup_age", source, "suspected") for source in ("metadata", "warehouse", "graph")
    }


def test_one_warning_and_one_recovery_with_value_normal_and_since_when(world):
    queue(world, 60)
    begun = world.now + timedelta(minutes=5)
    assert world.round()["warned"] == 0
    assert world.round()["warned"] == 1
    for _ in range(3):
        assert world.round() == {"warned": 0, "recovered": 0, "open": ["task_queue"], "checks_failed": []}
    queue(world, 45)
    world.round()
    queue(world, 3)
    assert world.round()["recovered"] == 0
    assert world.round()["recovered"] == 1
    warning, recovery = world.sink.slack_messages()
    assert "Tasks wait for a worker" in warning["text"]
    said = str(warning["blocks"])
    assert "60 tasks (normal: below 10)" in said
    assert f"{begun:%H:%M}" in said
    assert "watchdog-task-queue" in said
    assert "UNKNOWN" not in said
    assert recovery["thread_ts"] == warning["ts"]
    assert "now 3 tasks, at worst 60 tasks" in str(recovery["blocks"])
    assert ("task_queue", "", "over", True, True) in world.episodes()


def test_no_backup_for_a_day_and_a_half_is_a_warning(world):
    assert world.round()["open"] == []
    assert world.round(minutes=60 * 35)["open"] == []
    assert world.round(minutes=90)["open"] == ["backup_age graph", "backup_age metadata", "backup_age warehouse"]


def test_a_check_that_fails_hides_no_other_and_is_itself_a_warning(world):
    queue(world, 60)
    world.round()
    # Nobody listens there.
    world.patch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
    world.airflow.connection.execute("alter table job rename to job_away")
    result = watch.watch(now=world.now + timedelta(minutes=5))
    world.airflow.connection.execute("alter table job_away rename to job")
    assert result["checks_failed"] == ["components", "stream"]
    assert result["open"] == ["check_failed components", "check_failed stream", "task_queue"]
    told = " ".join(world.told())
    assert "cannot check something: stream" in told
    assert "NETWORK" in str([message["blocks"] for message in world.sink.slack_messages()])
    world.patch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")


def test_what_cannot_be_checked_neither_warns_nor_recovers(world, redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        old = int(client.time()[0] * 1000) - 3_600_000
        client.xadd("interactions", {"source": "a"}, id=f"{old}-1")
        assert world.round()["open"] == ["stream_age interactions"]
        world.patch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
        for _ in range(3):
            assert world.round()["open"] == ["check_failed stream", "stream_age interactions"]
        world.patch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
        client.flushdb()
        world.round()
        assert world.round()["open"] == []
    told = world.told()
    assert len(told) == 4
    assert sum("recovered" in line.lower() for line in told) == 2


def test_a_variable_that_holds_no_number_is_a_warning_and_the_default_holds(world):
    world.patch.setenv("WATCHDOG_TASK_QUEUE", "fifty")
    queue(world, 60)
    world.round()
    assert world.round()["open"] == ["check_failed WATCHDOG_TASK_QUEUE", "task_queue"]


def test_without_metadata_all_else_is_done_and_the_task_is_red(world, redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.xadd("interactions", {"source": "a"}, id="1-1")
    world.patch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", "postgres://nobody:wrong@127.0.0.1:1/airflow")
    with pytest.raises(psycopg.OperationalError):
        world.round()
    assert "Interactions wait too long: interactions" in world.told()[0]
    # The task's own alert tells the rest: no second message for the same cause.
    assert len(world.told()) == 1


def test_a_connection_that_ends_in_the_middle_is_one_trouble_not_eight(world, monkeypatch):
    def fatal(look):
        return look.rows("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(metadata_checks, "CHECKS", {"fatal": (fatal, ("disk",)), **metadata_checks.CHECKS})
    with pytest.raises(psycopg.errors.AdminShutdown):
        world.round()
    assert world.told() == []
    assert [row for row in world.episodes() if row[0] == "check_failed"] == []


def test_without_the_warehouse_the_task_is_red(world):
    world.patch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://nobody:wrong@127.0.0.1:1/warehouse")
    with pytest.raises(psycopg.OperationalError) as caught:
        world.round()
    assert classify(caught.value).error_class == "NETWORK"


def test_a_superuser_is_refused(world, metadata_urls):
    world.patch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", metadata_urls[0].replace("postgresql://", "postgres://"))
    with pytest.raises(Exception, match="superuser"):
        world.round()


def test_what_was_decided_before_a_kill_is_told_by_the_next_round_once(world, monkeypatch):
    queue(world, 60)
    world.round()
    with monkeypatch.context() as patch:

        def killed(*_arguments, **_named):
            raise KeyboardInterrupt

        # Told, but not yet marked as told.
        patch.setattr(store, "warned", killed)
        with pytest.raises(KeyboardInterrupt):
            world.round()
    assert len(world.told()) == 1
    assert world.round()["warned"] == 1
    assert len(world.told()) == 1
    assert ("task_queue", "", "open", True, False) in world.episodes()


def test_two_rounds_at_once_warn_once(world):
    queue(world, 60)
    world.round()
    with warehouse() as first:
        assert len(store.begin(first)) == 4
        second = psycopg.connect(world.url, options="-c lock_timeout=100ms")
        with second, pytest.raises(psycopg.errors.LockNotAvailable):
            store.begin(second)
    world.round()
    watch.watch(now=world.now)
    assert len(world.told()) == 1


def test_an_episode_of_a_check_that_is_no_more_ends_and_is_told(world, monkeypatch):
    queue(world, 60)
    world.round()
    world.round()
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("update ops.warning_episode set check_id = 'of_old' where state = 'open'")
    queue(world, 0)
    assert world.round()["recovered"] == 1
    assert ("of_old", "", "over", True, True) in world.episodes()


def test_an_import_error_is_one_incident_with_the_one_of_the_listener(world):
    from include.operations.alerts import import_errors

    since = world.now
    trace = "Traceback...\nModuleNotFoundError: No module named 'nowhere'"
    import_errors.report("dags/vms/broken.py", trace, now=since)
    name = import_errors.short_name("dags/vms/broken.py")
    world.airflow.insert("import_error", timestamp=since, filename=name, bundle_name="dags-folder", stacktrace=trace)
    for _ in range(3):
        world.round()
    assert len(world.told()) == 1
    world.airflow.connection.execute("delete from import_error")
    world.round()
    tasks.deliver()
    assert len(world.told()) == 2


def test_an_alert_that_could_not_leave_leaves_with_a_later_round(world):
    world.sink.behave("slack", "server_error")
    world.patch.delenv("AIRFLOW_CONN_SMTP_ALERTS")
    queue(world, 60)
    world.round()
    world.round()
    assert world.told() == []
    world.sink.behave("slack", "ok")
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("update ops.alert_outbox set next_try_at = now() - interval '1 minute'")
    done = tasks.deliver()
    assert done["sent"] >= 1
    assert len(world.told()) == 1

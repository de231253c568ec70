"""Faults P1 to P5 while rows are published: nothing half done, the right class, and the next try succeeds."""

import threading
import time
from contextlib import suppress

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from include.operations.errors import classify
from include.operations.retry import retry_delay
from include.vms import merge, staging, validate
from include.vms.objects.classes import OBJECT as CLASSES
from include.warehouse import schema
from local.servers import PostgresServer
from tests.faults.vms import processes
from tests.integration.vms.harness import Warehouse, csv_bytes, record_id, stamp

pytestmark = pytest.mark.servers

_PATIENCE_S = 60


def a_class(number, name="Algebra", modified=0):
    return {
        "Id": record_id("a0C", number),
        "Name": name,
        "School__c": record_id("001", 7),
        "Class_Year_Number__c": "2027",
        "SystemModstamp": stamp(modified),
    }


def ready(warehouse, *rows):
    """A run that has been validated."""
    manifest = warehouse.stage(CLASSES, csv_bytes(CLASSES, rows))
    return validate.validate(warehouse.connect, CLASSES, manifest)


def names(warehouse):
    return [name for (name,) in warehouse.rows("SELECT name FROM vms.class ORDER BY salesforce_id")]


def watermark(warehouse):
    return warehouse.rows("SELECT watermark FROM ops.sync_state")[0][0]


class Merging:
    """A merge in a thread of its own; `outcome` waits for its end."""

    def __init__(self, warehouse, manifest, **more):
        self._result = None
        self._thread = threading.Thread(target=self._run, args=(warehouse, manifest), kwargs=more, daemon=True)
        self._thread.start()

    def _run(self, warehouse, manifest, **more):
        try:
            self._result = merge.merge(warehouse.connect, CLASSES, manifest, **more)
        except Exception as error:  # noqa: BLE001 - handed to the test
            self._result = error

    def outcome(self):
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()
        return self._result


def wait_for_lock(url):
    """Until somebody waits for a lock."""
    end = time.monotonic() + _PATIENCE_S
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not connection.execute(query).fetchone()[0]:
            assert time.monotonic() < end
            time.sleep(0.02)


def again(error):
    """Class, code, and whether the task's policy tries again."""
    found = classify(error)
    return found.error_class, found.code, retry_delay(found, 1, lambda: 0.5) is not None


@pytest.fixture
def admin(postgres_server, warehouse):
    """The superuser, in the warehouse."""
    database = conninfo_to_dict(warehouse.url)["dbname"]
    with psycopg.connect(make_conninfo(postgres_server.admin_url, dbname=database), autocommit=True) as admin:
        yield admin


def test_p1_a_server_that_dies_in_the_middle_leaves_the_old_rows_and_the_next_run_reads_again(tmp_path, monkeypatch):
    server = PostgresServer(tmp_path, usual_port=False)
    server.start()
    try:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", server.url.replace("postgresql://", "postgres://"))
        schema.upgrade()
        warehouse = Warehouse(server.url)
        warehouse.load(CLASSES, a_class(1, "Old"))
        before = watermark(warehouse)
        manifest = ready(warehouse, a_class(1, "New", 5), a_class(2))
        with suppress(psycopg.Error), psycopg.connect(server.url) as reader:
            reader.execute("LOCK TABLE vms.class IN SHARE MODE")
            merging = Merging(warehouse, manifest)
            wait_for_lock(server.url)
            server.kill()
        error_class, _, tried_again = again(merging.outcome())
        assert (error_class, tried_again) in {("NETWORK", True), ("DATABASE", True)}
        server.start()
        assert names(warehouse) == ["Old"]
        # The crash has emptied the staging tables: going on with them would lose what was read.
        with pytest.raises(staging.StagingLost):
            merge.merge(warehouse.connect, CLASSES, manifest)
        assert (names(warehouse), watermark(warehouse)) == (["Old"], before)
        warehouse.load(CLASSES, a_class(1, "New", 5), a_class(2))
        assert names(warehouse) == ["New", "Algebra"]
    finally:
        server.stop()


def test_p2_a_deadlock_is_tried_again_at_once(warehouse, admin):
    manifest = ready(warehouse, a_class(1))
    with admin.transaction():
        # The other side never gives in, so that it is the merge that is ended.
        admin.execute("SET LOCAL deadlock_timeout = '10min'")
        admin.execute("LOCK TABLE vms.class IN ROW EXCLUSIVE MODE")
        merging = Merging(warehouse, manifest, sleep=lambda _: None)
        wait_for_lock(warehouse.url)
        admin.execute("UPDATE ops.sync_state SET attempts = attempts")
    assert merging.outcome().counts["inserted"] == 1
    assert names(warehouse) == ["Algebra"]


def test_p2_a_deadlock_that_comes_again_and_again_is_left_to_the_task(warehouse):
    warehouse.run(
        "CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END $$",
        "CREATE TRIGGER deadlock BEFORE INSERT ON vms.class FOR EACH STATEMENT EXECUTE FUNCTION deadlock()",
    )
    pauses = []
    with pytest.raises(psycopg.errors.DeadlockDetected) as caught:
        merge.merge(warehouse.connect, CLASSES, ready(warehouse, a_class(1)), sleep=pauses.append)
    assert len(pauses) == 2
    assert again(caught.value) == ("DATABASE", "40P01", True)


def test_p3_a_full_disk_publishes_nothing_and_is_left_to_a_person(warehouse):
    warehouse.load(CLASSES, a_class(1, "Old"))
    before = watermark(warehouse)
    warehouse.run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON vms.quarantine FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )
    manifest = ready(warehouse, a_class(1, "New", 5), a_class(2, ""))
    with pytest.raises(psycopg.errors.DiskFull) as caught:
        merge.merge(warehouse.connect, CLASSES, manifest)
    assert again(caught.value) == ("DATABASE", "53100", False)
    assert (names(warehouse), watermark(warehouse)) == (["Old"], before)
    warehouse.run("DROP TRIGGER full_disk ON vms.quarantine")
    assert merge.merge(warehouse.connect, CLASSES, manifest).counts["updated"] == 1


def test_p4_a_statement_past_its_time_is_released(warehouse, admin):
    manifest = ready(warehouse, a_class(1))
    slow = Warehouse(make_conninfo(warehouse.url, options="-c statement_timeout=200ms"))
    with admin.transaction():
        admin.execute("LOCK TABLE vms.class IN SHARE MODE")
        error = Merging(slow, manifest).outcome()
    assert again(error)[::2] == ("TIMEOUT", True)
    assert merge.merge(warehouse.connect, CLASSES, manifest).counts["inserted"] == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("REVOKE INSERT ON vms.class FROM warehouse", "42501"), ("DROP TABLE vms.class CASCADE", "42P01")],
)
def test_p5_a_missing_right_or_table_is_not_tried_again(warehouse, spoil, code):
    manifest = ready(warehouse, a_class(1))
    warehouse.run(spoil)
    with pytest.raises(psycopg.Error) as caught:
        merge.merge(warehouse.connect, CLASSES, manifest)
    assert again(caught.value)[1:] == (code, False)
    assert watermark(warehouse) is None


@pytest.mark.parametrize("point", ["vms.merge.before_commit", "vms.merge.after_commit"])
def test_a_merge_that_is_killed_is_done_once(warehouse, point):
    manifest = ready(warehouse, a_class(1), a_class(2, ""))
    code, _ = processes.run(processes.merge_once, warehouse.url, manifest.to_dict(), fault=f"{point}:kill")
    assert code == processes.KILLED
    assert names(warehouse) == ([] if point.endswith("before_commit") else ["Algebra"])
    code, done = processes.run(processes.merge_once, warehouse.url, manifest.to_dict())
    assert (code, done["counts"]["inserted"], done["counts"]["rejected"]) == (0, 1, 1)
    assert warehouse.rows("SELECT times FROM vms.quarantine") == [(1,)]
    assert names(warehouse) == ["Algebra"]


def test_a_writer_that_was_overtaken_while_it_waited_writes_nothing(warehouse, admin):
    old = ready(warehouse, a_class(1, "Old"))
    with admin.transaction():
        # A new run takes the lease while the old one wants to begin.
        admin.execute("UPDATE ops.sync_state SET epoch = epoch + 1, holder = 'new'")
        merging = Merging(warehouse, old)
        wait_for_lock(warehouse.url)
    assert classify(merging.outcome()).code == "LEASE_LOST"
    assert names(warehouse) == []

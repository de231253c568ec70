"""The bodies of the Airflow tasks, called one after another as the DAG does; and cached reports."""

import copy
from datetime import timedelta

import pytest
import redis
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.operations import run_errors
from include.operations.alerts.failures import Where, of_task
from include.operations.errors import LeaseHeld, classify
from include.operations.retry import retry_delay
from include.vms import full_sync, state, tasks
from include.vms.drift import SchemaDrift
from tests.integration.vms.source import Source

pytestmark = pytest.mark.servers

STALE = "SELECT reports_stale_since IS NOT NULL FROM ops.sync_state WHERE object = 'classes'"


@pytest.fixture
def source(salesforce, warehouse, redis_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", salesforce.connection_uri)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    school = salesforce.store.insert("Account", {"Name": "Lee High", "Type": "School"})
    salesforce.store.insert("Class__c", {"Name": "C", "School__c": school, "Class_Year_Number__c": 2030})
    salesforce.clock.move(3600)
    return Source(salesforce, warehouse)


@pytest.fixture
def cache(redis_server):
    """Two reports that were cached, and something else."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.mset({"vms:report:volunteers:2025": "a", "vms:report:schools:2026": "b", "vms:other": "c"})
        yield client
        client.delete(*client.keys("vms:*"))


def cached(client):
    return sorted(client.keys("vms:*"))


def run(name, run_id, steps=("validate", "merge", "resolve_links", "reconcile", "invalidate_caches"), **params):
    manifest = tasks.extract(name, run_id, params)
    for step in steps:
        manifest = getattr(tasks, step)(name, manifest)
    return manifest


def test_a_run_deletes_the_reports_that_it_has_made_stale(source, cache):
    tried = run("classes", "dry", dry_run=True)
    assert (tried["inserted"], tried["caches"], len(cached(cache))) == (1, 0, 3)
    done = run("classes", "first")
    assert (done["read"], done["stored"], done["caches"]) == (1, 1, 2)
    assert cached(cache) == [b"vms:other"]


def test_a_run_without_changes_leaves_them(source, cache):
    run("classes", "first")
    cache.set("vms:report:volunteers:2025", "a")
    assert run("classes", "second")["caches"] == 0
    assert b"vms:report:volunteers:2025" in cached(cache)


@pytest.mark.parametrize("dies_before", ["resolve_links", "reconcile", "invalidate_caches"])
def test_a_run_that_dies_after_it_has_published_leaves_them_to_the_next_one(source, cache, dies_before):
    order = ("validate", "merge", "resolve_links", "reconcile", "invalidate_caches")
    manifest = run("classes", "first", order[: order.index(dies_before)])
    assert manifest["counts"]["inserted"] == 1
    assert len(cached(cache)) == 3
    # Nobody is at work any more: its lease is over.
    source.warehouse.run("UPDATE ops.sync_state SET holder = NULL, lease_until = NULL")
    assert run("classes", "second")["caches"] == 2
    assert cached(cache) == [b"vms:other"]


def test_what_changes_while_reports_are_deleted_is_not_forgotten(source):
    run("classes", "first", ("validate", "merge"))
    with source.warehouse.connect() as connection:
        since = state.stale_since(connection, "classes")
    with source.warehouse.connect() as connection:
        state.changed(connection, "classes")
        state.reports_deleted(connection, "classes", since)
    assert source.warehouse.rows(STALE) == [(True,)]


def test_without_salesforce_a_run_is_skipped(warehouse, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_SALESFORCE", raising=False)
    with pytest.raises(AirflowSkipException, match="no connection `salesforce`"):
        tasks.extract("classes", "run", {})
    assert warehouse.rows("SELECT * FROM ops.sync_state") == []


def test_a_connection_that_was_lost_is_an_error(source, monkeypatch):
    run("classes", "first")
    monkeypatch.delenv("AIRFLOW_CONN_SALESFORCE")
    with pytest.raises(AirflowNotFoundException):
        tasks.extract("classes", "run", {})


def test_a_run_is_skipped_while_another_one_is_at_work(source):
    tasks.extract("classes", "first", {})
    with pytest.raises(AirflowSkipException, match="The run first is syncing classes"):
        tasks.extract("classes", "second", {})


@pytest.mark.parametrize("params", [{"mode": "full"}, {"since": "2026-01-31T08:00:00Z"}, {"accept": ["mass_delete"]}])
def test_a_run_with_a_wish_of_its_own_waits_until_the_other_one_is_done(source, params):
    tasks.extract("classes", "first", {})
    with pytest.raises(LeaseHeld, match="The run first is syncing classes") as held:
        tasks.extract("classes", "second", params)
    found = classify(held.value)
    # Tried again once the lease is over, whether or not its holder lives.
    assert retry_delay(found, 1, lambda: 0.0) == held.value.retry_after
    assert timedelta(0) < held.value.retry_after <= state.LEASE
    assert source.warehouse.rows("SELECT holder FROM ops.sync_state") == [("first",)]
    source.warehouse.run("UPDATE ops.sync_state SET lease_until = now()")
    assert tasks.extract("classes", "second", params)["read"] == 1


NIGHT = ("vms_sync_classes", "full_sync__night")


def waited(warehouse, *states):
    """Wait for a run that goes through these states."""
    seen = iter(states)
    full_sync.wait(warehouse.connect, "classes", "night", lambda *of: next(seen) if of == NIGHT else "", pause=0)


def test_the_nightly_run_waits_for_each_object(warehouse):
    waited(warehouse, "queued", "running", "success")


def test_the_nightly_run_says_why_an_object_failed_and_does_not_try_it_again(warehouse):
    place = {"dag_id": NIGHT[0], "run_id": NIGHT[1], "task_id": "extract", "map_index": -1}
    for number, error in enumerate((OSError("gone"), SchemaDrift("Class__c has no Year.", what_to_do="Add it.")), 1):
        row = run_errors.row({**place, "try_number": number}, error, classify(error), {}, None)
        with warehouse.connect() as connection:
            run_errors.write(connection, row)
    with pytest.raises(full_sync.ObjectFailed) as failed:
        waited(warehouse, "running", "failed")
    for error in (failed.value, copy.copy(failed.value)):
        found = classify(error)
        assert (found.error_class, found.code, found.transient) == ("VALIDATION", "SCHEMA_DRIFT", False)
        assert retry_delay(found, 1, lambda: 0.0) is None
    told = of_task(Where("vms_full_sync", "night", "classes"), failed.value)
    assert told.cause == NIGHT
    assert copy.copy(failed.value).cause == NIGHT
    assert told.title == "vms_full_sync.classes failed: input or configuration refused (SCHEMA_DRIFT)"
    said = "Its run vms_sync_classes full_sync__night failed (extract, SCHEMA_DRIFT: Class__c has no Year.)."
    assert told.excerpt == said


def test_a_run_that_left_no_error_is_named_all_the_same(warehouse):
    with pytest.raises(full_sync.ObjectFailed, match=r"vms_sync_classes full_sync__night failed \(it left no error"):
        waited(warehouse, "failed")

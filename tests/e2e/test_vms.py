"""The Salesforce sync through the real scheduler: an organisation from an empty database, changes, a kill, dry runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import psycopg
import pytest

from include.operations.airflow_api import AirflowApi, AirflowApiError, Run
from include.vms import registry
from local.salesforce.testing import SalesforceServer
from local.testing import AirflowSystem
from tests.integration.vms import mapping

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]
SOBJECTS = ("Account", "Contact", "Class__c", "npe5__Affiliation__c")
# In a small organisation a few records are a large share.
ACCEPT = ["mass_delete", "rejected_share"]
TIMEOUT = 300.0
TASKS = {"extract", "validate", "merge", "resolve_links", "reconcile", "invalidate_caches"}


@pytest.fixture(scope="module")
def api(airflow_system: AirflowSystem) -> Iterator[AirflowApi]:
    with AirflowApi.from_environment(airflow_system.env) as client:
        yield client


@pytest.fixture(scope="module")
def source(airflow_system: AirflowSystem) -> SalesforceServer:
    return airflow_system.salesforce


@pytest.fixture(scope="module")
def rows(airflow_system: AirflowSystem) -> Callable[..., list[tuple[Any, ...]]]:
    def query(text: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
            return connection.execute(text, values or None).fetchall()

    return query


def run(api: AirflowApi, name: str, **conf: Any) -> Run:
    return api.wait(api.trigger(f"vms_sync_{name}", {"accept": ACCEPT, **conf}), timeout=TIMEOUT)


def differences(source: SalesforceServer, rows: Callable[..., Any]) -> list[str]:
    store = {sobject: source.store.rows(sobject) for sobject in SOBJECTS}
    refused = {row[0] for row in rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
    return mapping.differences(rows, mapping.expected(store, refused), refused)


def test_from_an_empty_database_and_incrementally(api, source, rows) -> None:
    full = api.wait(api.trigger("vms_full_sync"), timeout=2 * TIMEOUT)
    assert full.state == "success"
    assert differences(source, rows) == []
    assert rows("SELECT count(*) FROM vms.volunteer")[0][0] > 50

    source.live(60, per_minute=2)
    source.clock.move(3600)
    for name in registry.objects():
        done = run(api, name)
        assert {task.task_id for task in api.task_instances(done)} == TASKS
        assert done.state == "success"
    assert differences(source, rows) == []
    assert rows("SELECT count(*) FROM ops.sync_run WHERE outcome = 'success' AND finished_at IS NULL") == [(0,)]

    quiet = run(api, "schools")
    assert quiet.state == "success"
    assert api.xcom(quiet, "invalidate_caches").get("inserted", 0) == 0


def test_a_dry_run_writes_nothing(api, source, rows) -> None:
    run(api, "schools")
    before = rows("SELECT count(*), max(synced_at) FROM vms.school"), rows("SELECT watermark FROM ops.sync_state")
    source.store.insert("Account", {"Name": "Dry Run Middle School", "Type": "School"})
    source.clock.move(3600)
    done = run(api, "schools", dry_run=True)
    assert done.state == "success"
    manifest = api.xcom(done, "merge")
    assert manifest["counts"]["inserted"] == 1
    assert len(manifest["samples"]) == 1
    after = rows("SELECT count(*), max(synced_at) FROM vms.school"), rows("SELECT watermark FROM ops.sync_state")
    assert after == before
    assert run(api, "schools").state == "success"
    assert rows("SELECT level FROM vms.school WHERE name = 'Dry Run Middle School'") == [("Middle",)]


@pytest.mark.parametrize(
    "conf",
    [
        {"mode": "'; DROP TABLE vms.school; --"},
        {"mode": "{{ conn.warehouse.password }}"},
        {"since": "x' OR Name != '\n"},
        {"limit": "1 OR 1=1"},
        {"accept": ["mass_delete'); DROP TABLE vms.school; --"]},
        {"dry_run": "{{ 1 }}"},
    ],
)
def test_params_are_checked_before_a_run_begins(api, conf) -> None:
    with pytest.raises(AirflowApiError):
        api.trigger("vms_sync_schools", conf)


def test_killed_while_it_downloads_it_goes_on_in_the_same_job(airflow_system, api, source, rows) -> None:
    schools = rows("SELECT salesforce_id FROM vms.school WHERE deleted_at IS NULL LIMIT 1")
    added = [{"Name": f"C {n}", "School__c": schools[0][0], "Class_Year_Number__c": 2030} for n in range(5_000)]
    source.store.insert_many("Class__c", added)
    source.clock.move(3600)
    source.forget_requests()
    source.bulk(page_rows=1_000)
    source.behave({"kind": "hang", "on": "results", "after": 2, "seconds": 45})
    try:
        triggered = api.trigger("vms_sync_classes", {"mode": "full", "accept": ACCEPT})
        _wait(lambda: rows("SELECT 1 FROM ops.sync_state WHERE object = 'classes' AND job_id <> '' AND pages > 0"))
        _task_process(airflow_system, triggered.run_id).kill()
    finally:
        source.behave()
        source.bulk(page_rows=50_000)
    done = api.wait(triggered, timeout=TIMEOUT)
    assert done.state == "success"
    assert {task.task_id: task.tries for task in api.task_instances(done)}["extract"] == 2
    assert differences(source, rows) == []
    made = [one for one in source.requests("/jobs/query") if one["method"] == "POST"]
    assert len(made) == 1


def _wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _task_process(system: AirflowSystem, run_id: str) -> psutil.Process:
    """The process that extracts now."""
    path = f"/api/v2/dags/vms_sync_classes/dagRuns/{run_id}/taskInstances/extract"
    return psutil.Process(_wait(lambda: system.api.get(path).json().get("pid")))

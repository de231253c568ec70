"""The Salesforce sync through the real scheduler: from an empty database, changes, dry runs, refusals, a kill."""

from __future__ import annotations

import re
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

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
SOBJECTS = ("Account", "Contact", "Class__c", "npe5__Affiliation__c")
# In a small organisation a few records are a large share.
ACCEPT = ["mass_delete", "rejected_share"]
TIMEOUT = 800.0
TASKS = ("extract", "validate", "merge", "resolve_links", "reconcile", "invalidate_caches")
Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def api(airflow_system: AirflowSystem) -> Iterator[AirflowApi]:
    with AirflowApi.from_environment(airflow_system.env) as client:
        yield client


@pytest.fixture(scope="module")
def source(airflow_system: AirflowSystem) -> SalesforceServer:
    return airflow_system.salesforce


@pytest.fixture(scope="module")
def rows(airflow_system: AirflowSystem) -> Rows:
    def query(text: Any, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
            return connection.execute(text, values or None).fetchall()

    return query


def run(api: AirflowApi, name: str, **conf: Any) -> Run:
    return api.wait(api.trigger(f"vms_sync_{name}", conf), timeout=TIMEOUT)


def states(api: AirflowApi, done: Run) -> dict[str, str | None]:
    return {task.task_id: task.state for task in api.task_instances(done)}


def differences(source: SalesforceServer, rows: Rows) -> list[str]:
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
    # What follows from other records has no modstamp, and is read once a day.
    rows("UPDATE ops.sync_state SET formulas_at = formulas_at - interval '25 hours' RETURNING object")
    begun = [api.trigger(f"vms_sync_{name}", {"accept": ACCEPT}) for name in registry.objects()]
    for one in begun:
        done = api.wait(one, timeout=TIMEOUT)
        assert states(api, done) == dict.fromkeys(TASKS, "success")
        assert api.xcom(done, "extract")["mode"] == "incremental"
    assert differences(source, rows) == []

    quiet = run(api, "schools")
    assert quiet.state == "success"
    assert not any(api.xcom(quiet, "invalidate_caches").get(count) for count in ("inserted", "updated", "deleted"))
    ids = [one.run_id for one in (*begun, quiet)]
    assert rows("SELECT DISTINCT outcome FROM ops.sync_run WHERE run_id = ANY (%s)", ids) == [("success",)]


def test_a_dry_run_writes_nothing(api, source, rows) -> None:
    added = source.store.insert("Account", {"Name": "Dry Run Middle School", "Type": "School"})
    source.clock.move(3600)
    look = "SELECT (SELECT count(*) FROM vms.school), max(synced_at), max(watermark) FROM vms.school, ops.sync_state"
    before = rows(look)
    done = run(api, "schools", dry_run=True)
    assert done.state == "success"
    manifest = api.xcom(done, "merge")
    assert manifest["counts"]["inserted"] > 0
    assert added in {one["id"] for one in manifest["samples"]}
    assert rows(look) == before
    assert run(api, "schools").state == "success"
    assert rows("SELECT level FROM vms.school WHERE salesforce_id = %s", added) == [("Middle",)]


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


def test_a_refused_run_waits_for_a_person(airflow_system, api, source, rows) -> None:
    (school,) = rows("SELECT salesforce_id FROM vms.school WHERE deleted_at IS NULL LIMIT 1")[0]
    nameless = source.store.insert_many("Class__c", [{"School__c": school, "Name": None} for _ in range(20)])
    source.clock.move(3600)
    look = "SELECT (SELECT count(*) FROM vms.class), watermark FROM ops.sync_state WHERE object = 'classes'"
    held = "SELECT count(*) FROM vms.quarantine WHERE record_key = ANY (%s) AND resolved_at IS NULL"
    outcome = "SELECT outcome FROM ops.sync_run WHERE run_id = %s"
    before = rows(look)

    refused = run(api, "classes")
    nothing = dict.fromkeys(TASKS, "upstream_failed") | {"extract": "success", "validate": "failed"}
    assert states(api, refused) == nothing
    assert next(task.tries for task in api.task_instances(refused) if task.task_id == "validate") == 1
    assert rows(outcome, refused.run_id) == [("refused",)]

    # The same rows are judged once more, and refused once more; whoever skips the judgement publishes nothing.
    assert states(api, again(airflow_system, api, refused, "validate")) == nothing
    path = f"/api/v2/dags/{refused.dag_id}/dagRuns/{refused.run_id}/taskInstances/validate"
    airflow_system.api.patch(path, json={"new_state": "success"}).raise_for_status()
    skipped = states(api, again(airflow_system, api, refused, "merge"))
    assert (skipped["validate"], skipped["merge"]) == ("success", "failed")
    assert rows(look) == before
    assert rows(held, nameless) == [(0,)]

    good = [{"School__c": school, "Name": f"C {n}", "Class_Year_Number__c": 2030} for n in range(20)]
    source.store.insert_many("Class__c", good)
    source.clock.move(3600)
    assert run(api, "classes", accept=["rejected_share"]).state == "success"
    assert rows(held, nameless) == [(20,)]

    gone = "SELECT salesforce_id FROM vms.class WHERE deleted_at"
    source.store.delete("Class__c", [key for (key,) in rows(f"{gone} IS NULL")])
    source.clock.move(3600)
    active = "SELECT count(*) > 10 FROM vms.class WHERE deleted_at IS NULL"
    assert states(api, run(api, "classes", accept=["rejected_share"])) == nothing
    assert rows(active) == [(True,)]
    assert run(api, "classes", accept=["mass_delete"]).state == "success"
    assert rows(active) == [(False,)]
    assert differences(source, rows) == []


def again(system: AirflowSystem, api: AirflowApi, done: Run, task: str) -> Run:
    """Clear one task of a run, as a person does in the UI, and wait for the run's end."""
    body = {"dry_run": False, "dag_run_id": done.run_id, "task_ids": [task], "only_failed": False}
    system.api.post(f"/api/v2/dags/{done.dag_id}/clearTaskInstances", json=body).raise_for_status()
    return api.wait(done, timeout=TIMEOUT)


def test_killed_while_it_downloads_it_goes_on_in_the_same_job(airflow_system, api, source, rows) -> None:
    schools = rows("SELECT salesforce_id FROM vms.school WHERE deleted_at IS NULL LIMIT 1")
    added = [{"Name": f"C {n}", "School__c": schools[0][0], "Class_Year_Number__c": 2030} for n in range(5_000)]
    source.store.insert_many("Class__c", added)
    source.clock.move(3600)
    source.forget_requests()
    source.bulk(most_rows=1_000)
    source.behave({"kind": "hang", "on": "results", "after": 2, "seconds": 45})
    try:
        triggered = api.trigger("vms_sync_classes", {"mode": "full", "accept": ACCEPT})
        _wait(lambda: rows("SELECT 1 FROM ops.sync_state WHERE object = 'classes' AND job_id <> '' AND pages > 0"))
        _task_process(airflow_system, triggered.run_id).kill()
    finally:
        source.behave()
        source.bulk(most_rows=1_000_000)
    done = api.wait(triggered, timeout=TIMEOUT)
    assert done.state == "success"
    assert {task.task_id: task.tries for task in api.task_instances(done)}["extract"] == 2
    assert re.search(r"Went on with an extraction after [1-4] pages", " ".join(api.xcom(done, "extract")["notes"]))
    assert differences(source, rows) == []
    made = [one for one in source.requests("/jobs/query") if one["method"] == "POST"]
    assert len(made) == 1


def _wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _task_process(system: AirflowSystem, run_id: str) -> psutil.Process:
    """The process that extracts now."""
    path = f"/api/v2/dags/vms_sync_classes/dagRuns/{run_id}/taskInstances/extract"
    return psutil.Process(_wait(lambda: system.api.get(path).json().get("pid")))

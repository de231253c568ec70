"""When the syncs run, and what they can be asked for."""

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException, ParamValidationError

from include.operations.errors import InputRejected, classify
from include.vms import registry, tasks
from include.vms.contracts import Accept, Mode, Request
from include.vms.dag_factory import full_syncs, params, schedule


def test_schedule():
    assert schedule("8 * * * *", {}) == "8 * * * *"
    assert schedule("8 * * * *", {"SALESFORCE_SCHEDULE": ""}) == "8 * * * *"
    assert schedule("8 * * * *", {"SALESFORCE_SCHEDULE": "none"}) is None


def asked(**given):
    return {name: param.resolve(given[name]) if name in given else param.resolve() for name, param in params().items()}


def test_the_usual_run_asks_for_nothing_special():
    assert Request.from_params(asked()) == Request()


@pytest.mark.parametrize(
    "since", ["2026-01-31T08:00Z", "2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000Z", "2026-01-31T02:00:00.5-06:00"]
)
def test_a_moment_as_people_and_the_ui_write_it(since):
    request = Request.from_params(asked(since=since, limit=5, dry_run=True, accept=["mass_delete"]))
    assert (request.mode, request.since.utcoffset() is not None) == (Mode.INCREMENTAL, True)
    assert (request.limit, request.dry_run, request.accept) == (5, True, (Accept.MASS_DELETE,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("since", text) for text in ("x' OR Name != '", "2026-01-31", "2026-01-31T08:00:00", "{{ ts }}", "")),
        ("since", "2026-01-31T08:00:00Z' OR IsDeleted = true OR Name = '"),
        *(("mode", text) for text in ("'; DROP TABLE vms.school; --", "{{ ts }}", "records", "", None)),
        *(("limit", value) for value in ("1 OR 1=1", 0, -1, 1.5, "10", 10_000_001)),
        *(("accept", value) for value in (["mass_delete'); DROP TABLE vms.school; --"], "mass_delete", ["all"], None)),
        *(("dry_run", value) for value in ("{{ 1 }}", "false", 1, None)),
    ],
)
def test_anything_else_is_refused(name, value):
    with pytest.raises(ParamValidationError):
        asked(**{name: value})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dryrun": True}, "dryrun; nothing was read. What to do: The params are mode, dry_run, limit, since, accept"),
        ({"since": "2026-99-01T00:00:00Z"}, "no ISO-8601 time"),
        ({"mode": "full", "since": "2026-01-31T08:00:00Z"}, "reads everything"),
    ],
)
def test_what_airflow_lets_through_is_refused_by_the_first_task_and_not_tried_again(given, said):
    # Airflow lays the whole conf over the params.
    with pytest.raises(InputRejected, match=said) as refused:
        tasks.extract("districts", "run", asked() | given)
    assert not classify(refused.value).transient


def test_the_nightly_run_goes_through_all_objects_and_past_one_that_failed():
    with DAG("night") as dag:
        full_syncs()
    before = "check_conf"
    for name in registry.objects():
        start, done = dag.get_task(f"start_{name}"), dag.get_task(name)
        assert (start.upstream_task_ids, start.trigger_rule) == ({before}, "all_done")
        assert (done.upstream_task_ids, done.trigger_rule) == ({f"start_{name}"}, "all_success")
        before = name
    assert dag.get_task("all_synced").upstream_task_ids == {"check_conf", *registry.objects()}


def test_the_nightly_run_is_refused_when_it_was_asked_for_something():
    asked_for = SimpleNamespace(conf={"dry_run": True})
    with pytest.raises(InputRejected, match="was given dry_run; nothing was synced"):
        tasks.check_conf(asked_for)
    with pytest.raises(AirflowSkipException):
        tasks.start_sync("classes", "night", asked_for)
    tasks.check_conf(SimpleNamespace(conf={}))
    with pytest.raises(DagRunTriggerException) as started:
        tasks.start_sync("classes", "night", SimpleNamespace(conf={}))
    found = started.value
    assert (found.trigger_dag_id, found.dag_run_id, found.conf) == (
        "vms_sync_classes",
        "full_sync__night",
        {"mode": "full"},
    )
    assert not found.wait_for_completion

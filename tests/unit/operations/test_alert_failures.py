"""From what Airflow hands to a callback to the problem that is told; and that nothing ever comes back at the task."""

from types import SimpleNamespace

import pytest

from include.operations import alerts, callbacks, context
from include.operations.alerts import failures, import_errors
from include.operations.alerts.failures import Where, impact_of
from include.operations.errors import InputRejected

DOC = """Moves things.

When a run fails, things wait and the next
run goes on: see `docs/runbooks/stream.md`.

Something else.
"""


@pytest.fixture(autouse=True)
def url(monkeypatch):
    monkeypatch.setattr(failures, "airflow_url", lambda: "https://airflow.example")


@pytest.fixture
def told(monkeypatch):
    """What would have been told."""
    found = []
    monkeypatch.setattr(alerts, "raise_problem", found.append)
    monkeypatch.setattr(alerts, "note_success", lambda *arguments: found.append(arguments))
    return found


def airflow_context(**more):
    task = SimpleNamespace(owner="people-graph")
    instance = SimpleNamespace(
        task_id="merge", map_index=3, try_number=4, max_tries=3, log_url="https://airflow.example/log", task=task
    )
    return {
        "dag": SimpleNamespace(dag_id="moves", doc_md=DOC),
        "dag_run": SimpleNamespace(dag_id="moves", run_id="r1", clear_number=2, bundle_version="abc123"),
        "run_id": "r1",
        "ti": instance,
        "task_instance": instance,
        **more,
    }


def test_task(told):
    error = InputRejected("the column Date is missing", what_to_do="Give the column.")
    with pytest.raises(InputRejected), context.bind(object="volunteers"):
        raise error
    callbacks.report_failure(airflow_context(exception=error))
    (problem,) = told
    assert problem.title == "moves.merge[3] failed: input or configuration refused (INPUT_REJECTED)"
    assert problem.detail == ("try 4/4, will not be retried",)
    assert problem.impact == "Things wait and the next run goes on: see docs/runbooks/stream.md."
    assert (problem.what_to_do, problem.runbook) == ("Give the column.", "task-failed#validation")
    assert problem.event_key == ("moves", "r1", "merge", 3, 4, "task_failed")
    assert (problem.object, problem.owner, problem.version) == ("volunteers", "people-graph", "abc123")
    assert list(problem.links) == ["Log", "Run", "Dashboard"]
    assert problem.links["Run"] == "https://airflow.example/dags/moves/runs/r1"


def test_lost_heartbeat(told):
    callbacks.report_failure(airflow_context(exception=None))
    (problem,) = told
    assert "process ended without an error" in problem.title
    assert (problem.code, problem.runbook) == ("PROCESS_LOST", "process-lost")
    assert problem.kind == "task_failed"


@pytest.mark.parametrize(
    ("reason", "title", "runbook"),
    [
        ("task_failure", "moves failed: task merge's process ended without an error", "process-lost"),
        ("timed_out", "moves failed: run took longer than its limit", "run-timed-out"),
        ("all_tasks_deadlocked", "moves failed: no task of the run can start", "process-lost"),
    ],
)
def test_run(told, reason, title, runbook):
    callbacks.report_failure(airflow_context(reason=reason))
    (problem,) = told
    assert problem.title.startswith(title)
    assert problem.runbook == runbook
    # Cleared twice before: a new event each time.
    assert problem.event_key == ("moves", "r1", "", -1, 2, "run_failed")


@pytest.mark.parametrize("poor", [{}, {"reason": None}, {"ti": object()}, {"exception": "words"}, {"dag_run": None}])
def test_poor_contexts_are_told_all_the_same(told, poor):
    callbacks.report_failure(poor)
    assert len(told) == 1
    assert told[0].clean().severity == "P2"


def test_a_context_that_breaks_everything_is_no_error_of_the_task(told, caplog):
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError(name)

    callbacks.report_failure({"ti": Hostile(), "dag": Hostile()})
    assert told == []
    assert "failure_not_reported exception=RuntimeError" in caplog.text


def test_good_run(told):
    callbacks.report_success(airflow_context(reason="success"))
    assert told == [("moves", "r1", 2)]


def test_a_run_whose_every_task_was_skipped_proves_nothing(told):
    """Airflow counts it as a success and names no task, for none succeeded."""
    context = airflow_context(reason="success")
    callbacks.report_success({name: value for name, value in context.items() if name not in ("ti", "task_instance")})
    assert told == []


def test_impact_of_every_dag_is_found_or_empty():
    assert impact_of(DOC).startswith("Things wait")
    assert impact_of("No such sentence.") == ""


@pytest.mark.parametrize(
    ("trace", "code"),
    [
        ("Traceback...\n  File x\nModuleNotFoundError: No module named 'x'\n", "ModuleNotFoundError"),
        ("a.b.OddError\n\n", "OddError"),
        ("something else 1", "ImportError"),
        ("", "ImportError"),
    ],
)
def test_import_error(trace, code):
    problem = failures.of_import("organism/a.py", trace, minute="2026-01-01T00:00")
    assert problem.title == f"organism/a.py cannot be imported: {code}"
    later = failures.of_import("organism/a.py", "", minute="2026-01-02T00:00")
    assert problem.incident_key("e") == later.incident_key("e")
    assert problem.event_key != later.event_key


def test_the_listener_waits_for_nothing(monkeypatch):
    """The DAG processor calls it in its main loop."""
    started = []
    real = import_errors.subprocess.Popen

    def start(command, **named):
        started.append((command, real(["sleep", "60"], **named)))
        return started[-1][1]

    monkeypatch.setattr(import_errors.subprocess, "Popen", start)
    import_errors.tell("/dags/a.py", "x" * 10_000_000)
    ((command, child),) = started
    assert child.poll() is None, "it was waited for"
    child.kill()
    child.wait()
    assert command[1:] == ["-m", "include.operations.alerts.import_errors"]


def test_short_name(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/srv/dags")
    assert import_errors.short_name("/srv/dags/organism/a.py") == "organism/a.py"
    assert import_errors.short_name("/elsewhere/b/c/d.py") == "c/d.py"


def test_where_needs_no_more_than_names():
    assert failures.of_task(Where("d", "r", "t"), ValueError("x")).clean().title.startswith("d.t failed")

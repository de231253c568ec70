"""One ERROR line per failure, with everything known and nothing private."""

import logging
from types import SimpleNamespace

import pytest
from psycopg.errors import lookup

from include.operations.callbacks import log_failure
from include.operations.errors import InputRejected


def task_context(**more):
    instance = SimpleNamespace(task_id="update_graph", map_index=-1, try_number=2)
    return {
        "dag": SimpleNamespace(dag_id="organism_incremental_update"),
        "run_id": "manual__2026-01-01T00:00:00+00:00",
        "ti": instance,
        "task_instance": instance,
        **more,
    }


def line(caplog, context):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        log_failure(context)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    return record.getMessage()


def test_task(caplog):
    text = line(caplog, task_context(exception=lookup("40P01")("alice@example.org waits for bob")))
    assert text.startswith(
        "task_failed dag=organism_incremental_update run=manual__2026-01-01T00:00:00+00:00 task=update_graph"
        " map_index=-1 try=2 error_class=DATABASE code=40P01 transient=true"
        " exception=psycopg.errors.DeadlockDetected fingerprint="
    )
    assert 'what_to_do="Look the code up' in text
    assert "alice" not in text


def test_task_says_what_our_own_error_says(caplog):
    text = line(caplog, task_context(exception=InputRejected("carol is missing", what_to_do="Give a roster file.")))
    assert 'what_to_do="Give a roster file."' in text
    assert "carol" not in text


def test_run_names_no_task(caplog):
    """Airflow puts some task of the run into a run's context; it need not be the one that failed."""
    text = line(caplog, task_context(reason="timed_out"))
    assert text.startswith("run_failed dag=organism_incremental_update run=manual__2026-01-01T00:00:00+00:00 reason=")
    assert "update_graph" not in text


def test_lost_heartbeat_has_no_exception(caplog):
    text = line(caplog, task_context(exception=None))
    assert text.startswith("task_failed dag=organism_incremental_update")
    assert "error_class" not in text


@pytest.mark.parametrize("context", [{}, {"exception": "text of alice"}, {"reason": None}, {"ti": object()}])
def test_poor_contexts(caplog, context):
    assert "alice" not in line(caplog, context)

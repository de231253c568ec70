"""What the errors of a run, and of the last hours, add up to; and the command that shows it."""

import json
from datetime import timedelta

import psycopg
import pytest

from include.operations import error_summary
from include.operations.errors import InputRejected
from tests.cli_runner import cli

__all__ = ["cli"]

pytestmark = pytest.mark.servers


def raising(error):
    def body():
        raise error

    return body


@pytest.fixture
def failures(attempt, warehouse):
    """Six failed tries of two runs."""
    for number in (1, 2, 3, 4):
        attempt(raising(TimeoutError("slow")), try_number=number)
    for run in ("run-1", "another"):
        attempt(raising(InputRejected("no header", what_to_do="add one")), task_id="other", run_id=run)
    return warehouse


def test_the_errors_of_a_run(failures):
    with psycopg.connect(failures) as connection:
        found = error_summary.summary(connection, "dag", "run-1", samples=2)
        nothing = error_summary.summary(connection, "dag", "unknown")
    assert (found.errors, found.final, found.by_class) == (5, 2, {"TIMEOUT": 4, "VALIDATION": 1})
    assert [(each["task_id"], each["try_number"]) for each in found.first] == [("work", 1), ("work", 2)]
    assert (nothing.errors, nothing.final, nothing.by_class, nothing.first) == (0, 0, {}, [])


def test_kinds_of_the_last_hours(failures):
    with psycopg.connect(failures) as connection:
        connection.execute(
            "update ops.run_error set occurred_at = occurred_at - interval '2 hours' where run_id = 'another'"
        )
        first, second = error_summary.recent(connection, timedelta(hours=1), limit=5)
        both = error_summary.recent(connection, timedelta(hours=3), limit=5)
        assert error_summary.recent(connection, timedelta(hours=3), dag_id="unknown", limit=5) == []
    assert (first.error_class, first.errors, first.final, first.tasks) == ("TIMEOUT", 4, 1, ["dag.work"])
    assert (second.code, second.errors, second.what_to_do) == ("INPUT_REJECTED", 1, "add one")
    assert [kind.errors for kind in both] == [4, 2]


def test_the_command(failures, cli):
    shown = cli("errors", "recent").out
    assert "TIMEOUT" in shown
    assert "no header" in shown
    assert "6 failed tries" in shown
    (kind,) = json.loads(cli("errors", "recent", "--limit", "1", "--json").out)
    assert (kind["code"], kind["errors"]) == ("TimeoutError", 4)
    shown = cli("errors", "run", "dag", "run-1").out
    assert "5 failed tries, 2 of them final: TIMEOUT 4, VALIDATION 1" in shown
    assert json.loads(cli("errors", "run", "dag", "run-1", "--json").out)["by_class"] == {"TIMEOUT": 4, "VALIDATION": 1}
    assert "no failed tries" in cli("errors", "run", "dag", "unknown").out

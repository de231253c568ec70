"""What every DAG starts from, through a real DAG."""

from datetime import timedelta

import pytest
from airflow.sdk import dag, task

from include.operations.callbacks import report_failure, report_success
from include.operations.dag_defaults import ALLOWED_TAGS, DOMAINS, KILLED_RETRY_DELAY, SUBJECTS, dag_defaults
from include.operations.retry import ClassRetryPolicy


def defaults(**changes):
    arguments = {
        "owner": "people-graph",
        "tags": ["organism", "graph"],
        "task_timeout": timedelta(minutes=4),
        "run_timeout": timedelta(minutes=15),
    }
    return dag_defaults(**{**arguments, **changes})


def test_a_dag_takes_them():
    @dag(dag_id="d", schedule="*/5 * * * *", **defaults())
    def build():
        @task
        def work():
            return 1

        work()

    made = build()
    (only,) = made.tasks
    assert only.owner == "people-graph"
    assert only.retries == 3
    assert only.retry_policy == ClassRetryPolicy()
    assert only.retry_delay == KILLED_RETRY_DELAY
    assert only.execution_timeout == timedelta(minutes=4)
    assert list(only.on_failure_callback) == [report_failure]
    assert not only.on_success_callback, "a callback of each task would cost each task"
    assert made.on_failure_callback in (report_failure, [report_failure])
    assert made.on_success_callback in (report_success, [report_success])
    assert made.dagrun_timeout == timedelta(minutes=15)
    assert (made.max_active_runs, made.catchup, set(made.tags)) == (1, False, {"organism", "graph"})


def test_a_last_chance_is_one_more_retry():
    arguments = defaults(last_chance=timedelta(minutes=2))["default_args"]
    assert (arguments["retries"], arguments["retry_policy"].last_chance) == (4, timedelta(minutes=2))


def test_unknown_tags_are_refused():
    with pytest.raises(ValueError, match=r"\['misc'\]"):
        defaults(tags=["organism", "misc"])


def test_two_calls_share_nothing_mutable():
    first, second = defaults(), defaults()
    first["default_args"]["owner"] = "other"
    assert second["default_args"]["owner"] == "people-graph"


def test_tags_are_domains_and_subjects():
    assert ALLOWED_TAGS == DOMAINS | SUBJECTS
    assert not DOMAINS & SUBJECTS

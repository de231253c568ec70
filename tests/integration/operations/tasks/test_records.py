"""What a try of a task leaves in the warehouse: its error, its usage, and never another outcome."""

import logging
import os
import signal

import psycopg
import pytest
import redis
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk.execution_time.context import set_current_context
from simple_salesforce.exceptions import SalesforceRefusedRequest

from include.connections import redis_client
from include.operations import bookkeeping, context, run_errors
from include.operations.breaker import breaker
from include.operations.breaker_state import KEY
from include.operations.errors import DailyLimitReached, InputRejected
from include.operations.task import resilient
from tests.integration.operations.tasks.conftest import airflow_context

pytestmark = pytest.mark.servers


def raising(error):
    def body():
        raise error

    return body


def test_a_failed_try_leaves_one_row_with_what_the_code_had_in_its_hands(attempt, rows):
    def body():
        with context.bind(chunk=7, stream_id="170-3"):
            raise ConnectionResetError(104, "Connection reset by peer")

    error = attempt(body, object_name="volunteers", map_index=2)
    (row,) = rows("run_error")
    assert isinstance(error, ConnectionResetError)
    assert (row["dag_id"], row["run_id"], row["task_id"], row["map_index"], row["try_number"]) == (
        *("dag", "run-1", "work", 2, 1),
    )
    assert (row["error_class"], row["code"], row["object"]) == ("NETWORK", "ECONNRESET", "volunteers")
    assert row["context"] == {"chunk": 7, "stream_id": "170-3"}
    assert (row["transient"], row["next_step"]) == (True, "retry")
    assert 3 <= row["retry_in_s"] <= 30
    assert row["exception"] == "builtins.ConnectionResetError"
    assert len(row["fingerprint"]) == 12


def test_every_try_has_its_row_and_the_last_says_that_it_is_over(attempt, rows):
    for number in (1, 2, 3, 4):
        attempt(raising(TimeoutError()), try_number=number)
    assert [(row["try_number"], row["next_step"]) for row in rows("run_error")] == [
        *((1, "retry"), (2, "retry"), (3, "retry"), (4, "fail")),
    ]
    assert rows("run_error")[3]["retry_in_s"] is None


@pytest.mark.parametrize(
    ("error", "error_class", "service"),
    [
        (redis.exceptions.AuthenticationError("x"), "AUTH", "redis"),
        (InputRejected("no header", what_to_do="add one"), "VALIDATION", None),
        (AirflowFailException("stop"), "UNKNOWN", None),
        (AirflowTaskTimeout("late"), "TIMEOUT", None),
        (SystemExit(3), "UNKNOWN", None),
        (KeyboardInterrupt(), "UNKNOWN", None),
    ],
)
def test_whatever_ends_a_try_is_kept_and_raised_on(attempt, rows, error, error_class, service):
    assert attempt(raising(error)) is error
    (row,) = rows("run_error")
    assert (row["error_class"], row["service"]) == (error_class, service)


def test_a_good_end_leaves_usage_and_no_error(rows, warehouse):
    def body(number):
        hoard = bytearray(64_000_000)
        hoard[::4096] = b"x" * len(hoard[::4096])
        return sum(range(3_000_000)) * 0 + number

    with set_current_context(airflow_context()):
        assert resilient(body)(5) == 5
    assert rows("run_error") == []
    (row,) = rows("task_usage")
    assert row["outcome"] == "success"
    assert 0 < row["cpu_s"] <= row["seconds"] * os.cpu_count() + 0.5
    # Tens of MB are the interpreter itself.
    assert 64 < row["peak_rss_mb"] < 4000


@pytest.mark.parametrize(("end", "outcomes"), [(AirflowSkipException("x"), ["skipped"]), (None, [])])
def test_ends_that_are_no_failure(attempt, rows, end, outcomes):
    end = end or TaskDeferred(trigger=None, method_name="x")
    assert attempt(raising(end)) is end
    assert rows("run_error") == []
    assert [row["outcome"] for row in rows("task_usage")] == outcomes


def test_the_message_holds_no_secret_and_no_value_of_the_data(attempt, rows, warehouse):
    def body():
        with psycopg.connect(warehouse) as connection:
            connection.execute("select 'Grace Hopper'::int")

    attempt(body)
    attempt(raising(KeyError("Grace Hopper")), try_number=2)
    attempt(raising(ValueError("postgres://u:s3cr3t-w0rd@db/x is bad\nrow: Grace Hopper")), try_number=3)
    attempt(raising(ConnectionError("a\x00b mail grace@example.org")), try_number=4)
    kept = rows("run_error")
    assert [row["code"] for row in kept] == ["22P02", "KeyError", "ValueError", "ConnectionError"]
    assert not any(word in str(kept) for word in ("Hopper", "s3cr3t", "grace@"))
    assert kept[0]["message"] == "invalid input syntax for type integer: '***'"


def test_a_warehouse_that_is_down_hides_nothing_and_gets_the_rows_later(attempt, rows, warehouse, monkeypatch, caplog):
    with monkeypatch.context() as away:
        away.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://u:p@127.0.0.1:1/x")
        error = attempt(raising(ZeroDivisionError("my own")))
    assert isinstance(error, ZeroDivisionError)
    assert "rows_put_aside" in caplog.text
    assert rows("run_error") == []
    attempt(raising(ConnectionResetError()), task_id="later")
    assert [(row["task_id"], row["code"]) for row in rows("run_error")] == [
        *(("later", "ConnectionResetError"), ("work", "ZeroDivisionError")),
    ]
    assert [row["outcome"] for row in rows("task_usage")] == ["failed", "failed"]
    assert bookkeeping.write_out() == 0


def test_without_warehouse_and_redis_the_log_has_the_error(attempt, warehouse, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://u:p@127.0.0.1:1/x")
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
    with caplog.at_level(logging.INFO):
        error = attempt(raising(ZeroDivisionError("my own")))
    assert isinstance(error, ZeroDivisionError)
    assert "try_failed error_class=UNKNOWN code=ZeroDivisionError" in caplog.text
    assert "rows_lost" in caplog.text


def test_a_killed_try_gets_its_row_from_the_next(attempt, rows, warehouse):
    child = os.fork()
    if child == 0:
        with set_current_context(airflow_context()):
            resilient(lambda: os.kill(os.getpid(), signal.SIGKILL))()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert rows("run_error") == []
    with set_current_context(airflow_context(try_number=2)):
        resilient(lambda: None)()
    (row,) = rows("run_error")
    assert (row["try_number"], row["error_class"], row["code"], row["next_step"]) == (
        *(1, "UNKNOWN", run_errors.LOST, "retry"),
    )


def test_a_try_that_ended_by_itself_is_not_called_lost(attempt, rows, warehouse):
    with set_current_context(airflow_context()):
        resilient(lambda: None)()
    # Cleared by a person: the second try follows a good one.
    attempt(raising(ConnectionResetError()), try_number=2)
    attempt(raising(ConnectionResetError()), try_number=3)
    assert [(row["try_number"], row["code"]) for row in rows("run_error")] == [
        *((2, "ConnectionResetError"), (3, "ConnectionResetError")),
    ]


def test_a_daily_limit_stops_the_service_for_every_task_until_the_reset(attempt, rows, warehouse):
    content = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    refused = SalesforceRefusedRequest("u", 403, "r", content)
    try:
        attempt(raising(refused))
        with pytest.raises(DailyLimitReached, match="REQUEST_LIMIT_EXCEEDED"):
            breaker("salesforce").call(pytest.fail)
        attempt(lambda: breaker("salesforce").call(pytest.fail), task_id="other")
        state, now = breaker("salesforce").state()
        assert 3500 < state.open_until - now <= 3600
    finally:
        with redis_client() as client:
            client.delete(f"{KEY}salesforce")
    # By task id: the one that was told second, without a call, then the one that was refused.
    assert [(row["code"], row["error_class"], row["next_step"]) for row in rows("run_error")] == [
        *(("DAILY_LIMIT", "RATE_LIMIT", "fail"), ("REQUEST_LIMIT_EXCEEDED", "RATE_LIMIT", "fail")),
    ]

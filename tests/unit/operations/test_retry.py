"""How often and how long: by class, within Airflow's own decision."""

import pickle
from datetime import timedelta
from types import SimpleNamespace

import pytest
import redis.exceptions
from airflow.sdk import RetryAction, RetryDecision
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout
from airflow.sdk.execution_time.task_runner import _evaluate_retry_policy, _handle_current_task_failed
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import lookup

from include.operations.errors import Classification, ErrorClass, InputRejected, LeaseHeld, LeaseLost
from include.operations.retry import (
    BASE_DELAY,
    MAX_DELAY,
    MAX_RETRY_AFTER,
    ClassRetryPolicy,
    next_try_in,
    retry_delay,
)

AUTH, RATE, NETWORK, DATABASE, VALIDATION, TIMEOUT, UNKNOWN = ErrorClass


def found(error_class, *, transient=True, retry_after=None):
    return Classification(error_class, transient, "CODE", "x.Y", "do", "f" * 12, retry_after)


def low():
    return 0.0


def high():
    return 1.0


class TestDelay:
    @pytest.mark.parametrize(
        ("error_class", "windows"),
        [
            (ErrorClass.RATE_LIMIT, [60, 120, 240]),
            (ErrorClass.NETWORK, [30, 60, 120]),
            (ErrorClass.TIMEOUT, [15, 30, 60]),
            (ErrorClass.DATABASE, [15, 30, 60]),
            (ErrorClass.UNKNOWN, [30]),
        ],
    )
    def test_windows_double_and_end(self, error_class, windows):
        for attempt, seconds in enumerate(windows, start=1):
            assert retry_delay(found(error_class), attempt, high) == timedelta(seconds=seconds)
            assert retry_delay(found(error_class), attempt, low) == timedelta(seconds=seconds) / 10
        assert retry_delay(found(error_class), len(windows) + 1, high) is None

    @pytest.mark.parametrize("error_class", [ErrorClass.AUTH, ErrorClass.VALIDATION])
    def test_never(self, error_class):
        assert retry_delay(found(error_class, transient=False), 1, high) is None
        # Even a contradiction does not make them retried.
        assert retry_delay(found(error_class, transient=True), 1, high) is None

    def test_permanent_database(self):
        assert retry_delay(found(ErrorClass.DATABASE, transient=False), 1, high) is None

    def test_retry_after_is_waited_out_and_spread(self):
        asked = found(ErrorClass.RATE_LIMIT, retry_after=timedelta(seconds=100))
        assert retry_delay(asked, 1, low) == timedelta(seconds=100)
        assert retry_delay(asked, 3, high) == timedelta(seconds=110)
        assert retry_delay(asked, 4, low) is None

    def test_a_wait_beyond_the_limit_fails_now(self):
        asked = found(ErrorClass.RATE_LIMIT, retry_after=MAX_RETRY_AFTER + timedelta(seconds=1))
        assert retry_delay(asked, 1, low) is None

    def test_a_task_has_waits_of_its_own(self):
        delays = {ErrorClass.RATE_LIMIT: timedelta(minutes=5)}
        windows = [retry_delay(found(ErrorClass.RATE_LIMIT), attempt, high, delays=delays) for attempt in (1, 2, 3)]
        assert windows == [timedelta(minutes=5), MAX_DELAY, MAX_DELAY]
        assert retry_delay(found(ErrorClass.NETWORK), 1, high, delays=delays) == timedelta(seconds=30)
        assert retry_delay(found(ErrorClass.NETWORK), 1, high, delays={ErrorClass.NETWORK: MAX_DELAY * 2}) == (
            MAX_DELAY * 2
        )

    @pytest.mark.parametrize("error_class", [RATE, NETWORK, TIMEOUT, DATABASE])
    def test_a_last_chance_after_a_pause(self, error_class):
        pause = timedelta(minutes=2)
        waits = [retry_delay(found(error_class), attempt, low, last_chance=pause) for attempt in (3, 4, 5)]
        assert waits[0] != pause
        assert waits[1:] == [pause, None]
        assert retry_delay(found(error_class), 4, high, last_chance=pause) == pause * 1.1
        longer = found(error_class, retry_after=timedelta(minutes=3))
        assert retry_delay(longer, 4, low, last_chance=pause) == timedelta(minutes=3)

    @pytest.mark.parametrize("error_class", [ErrorClass.AUTH, ErrorClass.VALIDATION, ErrorClass.UNKNOWN])
    def test_no_last_chance_when_waiting_does_not_help(self, error_class):
        for attempt in (2, 4):
            assert retry_delay(found(error_class), attempt, low, last_chance=timedelta(minutes=2)) is None
        permanent = found(ErrorClass.DATABASE, transient=False)
        assert retry_delay(permanent, 4, low, last_chance=timedelta(minutes=2)) is None

    @given(
        st.sampled_from(ErrorClass),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(0, 1, exclude_max=True),
        st.none() | st.timedeltas(min_value=timedelta(0)),
    )
    def test_bounds(self, error_class, transient, attempt, chance, retry_after):
        asked = found(error_class, transient=transient, retry_after=retry_after)
        delay = retry_delay(asked, attempt, lambda: chance)
        if delay is None:
            return
        assert transient
        assert delay >= timedelta(0)
        if retry_after is None:
            assert BASE_DELAY[error_class] / 10 <= delay <= MAX_DELAY
        else:
            assert retry_after <= delay <= retry_after * 1.1


def context(retries=3):
    return {"task": SimpleNamespace(retries=retries)}


def decide(error, try_number=1, max_tries=3, ctx=None):
    return ClassRetryPolicy().evaluate(error, try_number, max_tries, ctx)


class TestPolicy:
    @pytest.mark.parametrize(
        ("error", "action"),
        [
            (redis.exceptions.AuthenticationError("x"), RetryAction.FAIL),
            (InputRejected("x", what_to_do="y"), RetryAction.FAIL),
            (LeaseLost("x", what_to_do="y"), RetryAction.FAIL),
            (lookup("42P01")("x"), RetryAction.FAIL),
            (lookup("40P01")("x"), RetryAction.RETRY),
            (ConnectionResetError("x"), RetryAction.RETRY),
            (LeaseHeld("x", what_to_do="y"), RetryAction.RETRY),
            (ZeroDivisionError("x"), RetryAction.RETRY),
        ],
    )
    def test_first_failure(self, error, action):
        decision = decide(error)
        assert decision.action is action
        assert (decision.retry_delay is None) == (action is RetryAction.FAIL)

    def test_unknown_once(self):
        assert decide(ZeroDivisionError(), 1).action is RetryAction.RETRY
        assert decide(ZeroDivisionError(), 2).action is RetryAction.FAIL

    def test_network_three_times(self):
        actions = [decide(ConnectionResetError(), number).action for number in (1, 2, 3, 4)]
        assert actions == [RetryAction.RETRY] * 3 + [RetryAction.FAIL]

    def test_reason_is_class_and_code_without_the_message(self):
        decision = decide(ConnectionResetError(104, "alice@example.org"))
        assert decision.reason is not None
        assert decision.reason.startswith("class=NETWORK code=ECONNRESET transient=true attempt=1 fingerprint=")
        assert "alice" not in decision.reason
        assert len(decision.reason) < 500

    def test_a_cleared_task_starts_counting_anew(self):
        # Clearing after the 4th try raises max_tries to 4 + 3; Airflow then calls the next try the 5th.
        assert decide(ZeroDivisionError(), 5, 7, context()).action is RetryAction.RETRY
        assert decide(ZeroDivisionError(), 6, 7, context()).action is RetryAction.FAIL

    @pytest.mark.parametrize("try_number", [None, 0, -3, "2", 10**9])
    @pytest.mark.parametrize("max_tries", [None, 0, -1, 10**9])
    @pytest.mark.parametrize("ctx", [None, {}, {"task": None}, context(None), context(0)])
    def test_odd_arguments_still_give_a_decision(self, try_number, max_tries, ctx):
        for error in (None, "text", ConnectionResetError(), SystemExit(1), BaseExceptionGroup("g", [SystemExit()])):
            assert isinstance(decide(error, try_number, max_tries, ctx), RetryDecision)

    def test_delays_differ(self):
        assert len({decide(ConnectionResetError()).retry_delay for _ in range(5)}) > 1

    def test_stable_text_and_identity(self):
        assert repr(ClassRetryPolicy()) == "ClassRetryPolicy(delays=(), last_chance=None)"
        assert pickle.loads(pickle.dumps(ClassRetryPolicy())) == ClassRetryPolicy()  # noqa: S301 - own
        # Airflow asks bool(policy) to learn whether there is one.
        assert ClassRetryPolicy()


def test_airflow_reaches_the_policy():
    """Through the function of the task runner that calls policies, not around it."""
    instance = SimpleNamespace(
        task=SimpleNamespace(retry_policy=ClassRetryPolicy()),
        try_number=1,
        _ti_context_from_server=SimpleNamespace(max_tries=3),
    )

    class Log:
        def info(self, event, **fields):
            self.event, self.fields = event, fields

        def exception(self, *args):
            raise AssertionError(args)

    log = Log()
    decision = _evaluate_retry_policy(instance, redis.exceptions.TimeoutError("x"), log, context())
    assert decision.action is RetryAction.RETRY
    assert timedelta(seconds=1.5) <= decision.retry_delay <= timedelta(seconds=15)
    assert "class=TIMEOUT" in log.fields["reason"]


class Log:
    def info(self, *args, **fields):
        pass


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        InputRejected("x", what_to_do="y"),
        AirflowFailException("x"),
        AirflowTaskTimeout("x"),
        ZeroDivisionError(),
    ],
)
@pytest.mark.parametrize(("try_number", "max_tries"), [(1, 3), (3, 3), (4, 3), (1, 0), (5, 7), (4, 4)])
def test_what_happens_next_is_what_airflow_does(error, try_number, max_tries):
    """Asked before and through Airflow's own function, about the same exception."""
    task = SimpleNamespace(
        retries=3, retry_policy=ClassRetryPolicy(last_chance=timedelta(minutes=2)), retry_delay=timedelta(seconds=15)
    )
    server = SimpleNamespace(max_tries=max_tries, should_retry=bool(max_tries) and try_number <= max_tries)
    instance = SimpleNamespace(
        task=task,
        try_number=try_number,
        max_tries=max_tries,
        _ti_context_from_server=server,
        _failure_metrics_emitted=True,
        rendered_map_index=None,
    )
    error = type(error)(*error.args, **({"what_to_do": "y"} if isinstance(error, InputRejected) else {}))
    said = next_try_in(error, {"ti": instance, "task": task})
    if isinstance(error, AirflowFailException):
        # Airflow asks nobody about this one.
        assert said is None
        return
    message, state = _handle_current_task_failed(instance, error, Log(), {"ti": instance, "task": task})
    if said is None:
        assert state == "failed"
    else:
        assert state == "up_for_retry"
        assert message.retry_delay_seconds == said.total_seconds()

"""When a breaker opens, whom it lets through, and what it holds against a service; the clock is the test's."""

import contextlib
from datetime import timedelta

import pytest
import redis.exceptions
from airflow.sdk.exceptions import AirflowTaskTimeout
from psycopg.errors import lookup

from include.operations import context
from include.operations.breaker import SERVICES, Breaker, breaker, guarded
from include.operations.breaker_state import LocalStore
from include.operations.errors import BreakerOpen, DailyLimitReached, ErrorClass, InputRejected, LeaseHeld, classify
from include.operations.retry import retry_delay


class World:
    """A breaker whose time only the test lets pass."""

    def __init__(self, service="slack"):
        self.now = 1_000.0
        self.store = LocalStore(clock=lambda: self.now)
        self.breaker = Breaker(service, self.store)

    def call(self, error=None):
        """Whether the call was made; an error is what it then ends with."""
        made = []

        def function():
            made.append(True)
            if error is not None:
                raise error

        with contextlib.suppress(BreakerOpen, DailyLimitReached) if error is None else pytest.raises(type(error)):
            self.breaker.call(function)
        return bool(made)

    def calls(self, pattern):
        """1 succeeds, 0 fails; returns which were made."""
        return [self.call(None if each == "1" else ConnectionResetError()) for each in pattern]

    def fails(self, error, times):
        for _ in range(times):
            assert self.call(error)


@pytest.fixture
def world():
    return World()


class TestOpening:
    def test_five_failures_in_a_row(self, world):
        assert world.calls("0000") == [True] * 4
        assert world.call()
        assert world.calls("00000") == [True] * 5
        assert world.call() is False

    def test_half_of_the_last_ten(self, world):
        assert world.calls("1010101010") == [True] * 10
        assert world.call() is False

    def test_four_of_ten_are_not_enough_and_old_ones_are_forgotten(self, world):
        assert all(world.calls("0010101111" * 3))
        assert world.breaker.state()[0].calls == "0010101111"

    def test_few_calls_are_judged_by_the_row_alone(self, world):
        assert all(world.calls("001001001"))

    def test_it_says_how_long_and_is_retried_after_that(self, world):
        world.calls("00000")
        world.now += 20
        with pytest.raises(BreakerOpen) as caught:
            world.breaker.call(print)
        found = classify(caught.value)
        assert (found.error_class, found.transient, found.code) == (ErrorClass.NETWORK, True, "BREAKER_OPEN")
        assert found.retry_after == timedelta(seconds=40)
        assert retry_delay(found, 1, lambda: 0.0) == timedelta(seconds=40)


class TestHalfOpen:
    @pytest.fixture
    def after(self, world):
        """A minute after the breaker opened."""
        world.calls("00000")
        world.now += 59.9
        assert world.call() is False
        world.now += 0.1
        return world

    def test_one_good_probe_closes_it_with_a_clean_record(self, after):
        assert after.calls("1" + "0000") == [True] * 5
        assert after.breaker.state()[0].in_a_row == 4

    def test_a_bad_probe_opens_it_for_another_minute(self, after):
        assert after.calls("0") == [True]
        after.now += 59.9
        assert after.call() is False
        after.now += 0.1
        assert after.call()

    def test_only_one_probes(self, after):
        with after.breaker.guard() as probe:
            assert probe.probing
            assert after.call() is False
        assert after.call()

    def test_a_probe_that_was_killed_gives_way_to_another(self, after):
        after.breaker._enter()
        assert after.call() is False
        after.now += 60
        assert after.call()

    def test_a_probe_that_says_nothing_gives_way_at_once(self, after):
        assert after.call(ZeroDivisionError())
        assert after.calls("1") == [True]
        assert not after.breaker.state()[0].is_open

    def test_a_long_probe_frees_the_others_as_soon_as_it_is_connected(self, after):
        with after.breaker.guard() as probe:
            probe.reached()
            assert after.call()

    @pytest.mark.parametrize("end", [None, ConnectionResetError()])
    def test_what_began_before_neither_closes_nor_prolongs(self, world, end):
        def slow():
            world.calls("00000")
            world.now += 30
            if end is not None:
                raise end

        with contextlib.suppress(ConnectionResetError):
            world.breaker.call(slow)
        assert world.breaker.state()[0].open_until == 1_060


class TestWhatCounts:
    @pytest.mark.parametrize(
        "error",
        [
            ConnectionResetError(),
            TimeoutError(),
            redis.exceptions.BusyLoadingError("LOADING x"),
            lookup("53300")("x"),
            lookup("57P03")("x"),
        ],
    )
    def test_trouble(self, world, error):
        world.fails(error, 5)
        assert world.call() is False

    @pytest.mark.parametrize(
        "error",
        [
            redis.exceptions.AuthenticationError("x"),
            redis.exceptions.ResponseError("NOGROUP x"),
            redis.exceptions.WatchError("x"),
            lookup("40P01")("x"),
            lookup("42P01")("x"),
        ],
    )
    def test_an_answer_is_a_success(self, world, error):
        world.calls("0000")
        assert world.call(error)
        assert world.breaker.state()[0].in_a_row == 0

    @pytest.mark.parametrize(
        "error",
        [ZeroDivisionError(), InputRejected("x", what_to_do="y"), LeaseHeld("x", what_to_do="y"), KeyboardInterrupt()],
    )
    def test_our_own_errors_say_nothing(self, world, error):
        world.calls("0000")
        assert world.call(error)
        assert world.breaker.state()[0].in_a_row == 4

    @pytest.mark.parametrize("error", [lookup("57P03")("x"), TimeoutError(), AirflowTaskTimeout(), OSError(28, "full")])
    def test_a_block_that_also_talks_to_others_holds_only_its_own_errors_against_a_service(self, error):
        world = World("redis")
        for _ in range(9):
            with pytest.raises(type(error)), world.breaker.guard():
                raise error
        assert not world.breaker.state()[0].is_open

    def test_an_error_of_its_client_counts_through_wrappers(self):
        world = World("redis")
        wrapper = RuntimeError()
        wrapper.__cause__ = redis.exceptions.ConnectionError("x")
        for _ in range(5):
            with pytest.raises(RuntimeError), world.breaker.guard():
                raise wrapper
        assert world.breaker.state()[0].is_open


class TestDailyLimit:
    def test_everyone_fails_at_once_until_the_reset_and_is_not_retried(self, world):
        world.breaker.stop(timedelta(hours=5), "REQUEST_LIMIT_EXCEEDED")
        world.now += 4 * 3600
        with pytest.raises(DailyLimitReached, match=r"REQUEST_LIMIT_EXCEEDED.*in 1\.0 h") as caught:
            world.breaker.call(print)
        found = classify(caught.value)
        assert (found.error_class, found.retry_after) == (ErrorClass.RATE_LIMIT, timedelta(hours=1))
        assert retry_delay(found, 1, lambda: 0.0) is None
        world.now += 3600
        assert world.calls("11") == [True, True]

    def test_an_earlier_reset_does_not_shorten_it(self, world):
        world.breaker.stop(timedelta(hours=5), "X")
        world.breaker.stop(timedelta(hours=1), "X")
        world.now += 4 * 3600
        assert world.call() is False


def test_tasks_are_guarded_and_terminals_are_not(monkeypatch):
    world = World("neo4j")
    monkeypatch.setattr("include.operations.breaker._shared", world.store)
    monkeypatch.setattr(breaker, "__defaults__", (world.store,))
    world.breaker.stop(timedelta(hours=1), "X")
    with guarded("neo4j") as call:
        assert not call.probing
    with context.bind(task="t"), pytest.raises(DailyLimitReached), guarded("neo4j"):
        pass


def test_only_known_services():
    assert breaker(SERVICES[0]).service == "redis"
    with pytest.raises(ValueError, match="no service pager"):
        breaker("pager")

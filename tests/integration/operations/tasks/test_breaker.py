"""The state of breakers in a real Redis: seen by every process, changed by one at a time, and never in the way."""

import json
import multiprocessing
from datetime import timedelta

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.operations import breaker as breakers
from include.operations.breaker import SERVICES, SharedStore, breaker, states
from include.operations.breaker_state import KEY, LocalStore, RedisStore, State, enter, failed, succeeded, unclear
from include.operations.doctor import breakers as doctor
from include.operations.errors import BreakerOpen
from tests.cli_runner import cli

__all__ = ["cli"]

pytestmark = pytest.mark.servers


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        for service in SERVICES:
            client.delete(KEY + service)
        yield client
        for service in SERVICES:
            client.delete(KEY + service)


@pytest.fixture
def connected(client, redis_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    return client


def fail(store, times, service="slack"):
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker(service, store).call(lambda: (_ for _ in ()).throw(ConnectionError()))


def test_what_one_process_learns_the_others_know(connected):
    fail(SharedStore(), 3)
    fail(SharedStore(), 2)
    with pytest.raises(BreakerOpen):
        breaker("slack", SharedStore()).call(print)
    breaker("smtp", SharedStore()).call(int)


def test_the_time_is_the_servers(connected):
    fail(SharedStore(), 5)
    seconds, micros = connected.time()
    state = json.loads(connected.get(f"{KEY}slack"))
    assert 0 < state["open_until"] - (seconds + micros / 1e6) <= 60
    assert 86_400 <= connected.ttl(f"{KEY}slack") <= 86_460


STEPS = {
    "enter": lambda state, now: enter(state, now).state,
    "good": lambda state, _: succeeded(state, probing=False),
    "bad": lambda state, now: failed(state, now, "X", probing=False),
    "probe good": lambda state, _: succeeded(state, probing=True),
    "probe bad": lambda state, now: failed(state, now, "X", probing=True),
    "unclear": lambda state, _: unclear(state, probing=True),
}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.floats(0, 100)), max_size=25))
def test_both_stores_keep_the_same(client, steps):
    now = [1_000.0]
    client.delete(f"{KEY}neo4j")
    stores = LocalStore(clock=lambda: now[0]), RedisStore(client, clock=lambda: now[0])
    for step, seconds in steps:
        now[0] += seconds
        local, shared = (store.change("neo4j", STEPS[step]) for store in stores)
        assert local == shared
        assert stores[1].load("neo4j") == (shared, now[0])


def _race(url, start, results):
    with redis.Redis.from_url(url) as client:
        store = RedisStore(client)
        start.wait()
        for _ in range(20):
            store.change("google", lambda state, _: State(in_a_row=state.in_a_row + 1))
        results.put(True)


def test_changes_of_many_processes_all_count(client, redis_server):
    fork = multiprocessing.get_context("fork")
    start, results = fork.Event(), fork.Queue()
    racers = [fork.Process(target=_race, args=(redis_server.url, start, results)) for _ in range(5)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(60)
    assert RedisStore(client).load("google")[0].in_a_row == 100


def test_without_redis_a_process_has_its_own(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
    store = SharedStore()
    fail(store, 5, "redis")
    with pytest.raises(BreakerOpen):
        breaker("redis", store).call(print)


def test_a_redis_that_comes_back_is_used_again(connected, monkeypatch):
    store = SharedStore()
    with monkeypatch.context() as away:
        away.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
        fail(store, 1)
    now = breakers.time.monotonic()
    monkeypatch.setattr(breakers.time, "monotonic", lambda: now + 31)
    fail(store, 2)
    assert json.loads(connected.get(f"{KEY}slack"))["in_a_row"] == 2


def test_states_of_all_services(connected):
    fail(SharedStore(), 5)
    found = states()
    assert list(found) == list(SERVICES)
    assert [service for service, (state, _) in found.items() if state.is_open] == ["slack"]


def test_doctor_shows_what_is_open_and_what_a_limit_has_stopped(connected):
    assert [finding.found for finding in doctor.check()] == [f"all {len(SERVICES)} closed"]
    fail(SharedStore(), 5)
    fail(SharedStore(), 1, "smtp")
    breaker("salesforce").stop(timedelta(hours=2), "REQUEST_LIMIT_EXCEEDED")
    found = [(finding.level, finding.found) for finding in doctor.check()]
    assert [level for level, _ in found] == ["warn", "warn", "ok"]
    assert "salesforce: its limit is used up (REQUEST_LIMIT_EXCEEDED), asked again in 120 min" in found[0][1]
    assert "slack: open for 0 s, the last failure was ConnectionError, tried again in" in found[1][1]
    assert "smtp: closed, 1 of the last 1 calls failed (ConnectionError)" in found[2][1]


def test_the_statistics_show_what_is_open(connected, warehouse, cli):
    assert "breaker" not in cli("stats", "show").out
    fail(SharedStore(), 5)
    assert "breaker slack: open for 0 s, the last failure was ConnectionError" in cli("stats", "show").out

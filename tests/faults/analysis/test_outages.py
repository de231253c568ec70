"""N1, P1, P2: the graph or the warehouse goes away or refuses in the middle of a task; the next try makes it good."""

from __future__ import annotations

import neo4j
import psycopg
import pytest

from include import connections
from include.operations import conflicts
from include.operations.errors import classify
from tests.chain import run_step
from tests.faults.analysis.points import (
    ANALYSE,
    EVALUATE,
    REFRESH,
    STORE,
    as_if_nothing_had_happened,
    every,
    nothing_is_half_published,
    start,
)
from tests.faults.proxy import proxied

pytestmark = pytest.mark.servers
GONE = ("NETWORK", "DATABASE")
_CUT = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'chain_work'"


def away(error) -> None:
    """The error says so, and is tried again."""
    found = classify(error)
    assert found.error_class in GONE
    assert found.transient


# --- P1: the warehouse ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "point"),
    [
        each
        for each in every(REFRESH, ANALYSE, STORE, EVALUATE)
        # There it holds the graph's lock and nothing of the warehouse; Neo4j ends that after a minute.
        if each[1] != "nodes.in_transaction"
    ],
)
def test_connections_to_the_warehouse_break_and_the_old_try_wakes_up_after_the_next_one(chain, workers, step, point):
    """P1 and W2: what it held is let go, so that the next try can go on; it finds out when it wakes up."""
    chain.start_at(step)
    broken = start(workers, chain, step, f"{point}|hang")
    broken.wait_stopped()
    with chain.servers.admin() as admin:
        admin.execute(_CUT)
    nothing_is_half_published(chain, step)
    run_step(step)
    as_if_nothing_had_happened(chain, step)
    broken.wake()
    # Where it had only to say that it was done, it says so; elsewhere it fails.
    assert broken.wait() == 0 or broken.error == "LeaseLost" or (broken.error_class in GONE and broken.transient)
    as_if_nothing_had_happened(chain, step)


@pytest.mark.parametrize(
    ("step", "point"),
    [
        (REFRESH, "metrics.in_transaction"),
        (ANALYSE, "analysis.in_transaction"),
        (STORE, "teams.in_transaction"),
        (EVALUATE, "interventions.proposal.before_commit"),
    ],
)
def test_the_warehouse_crashes_in_mid_transaction(chain, workers, step, point):
    chain.start_at(step)
    worker = start(workers, chain, step, f"{point}|hang")
    worker.wait_stopped()
    chain.servers.postgres.kill()
    worker.wake()
    assert worker.wait() == 1
    assert (worker.error_class in GONE, worker.transient) == (True, True)
    with pytest.raises(psycopg.OperationalError) as caught:
        run_step(step)
    away(caught.value)
    chain.servers.postgres.start()
    nothing_is_half_published(chain, step)
    run_step(step)
    as_if_nothing_had_happened(chain, step)


# --- P2: deadlocks and serialization failures ----------------------------------------------------
# Every table that a task writes to, and what is in it once per transaction.
WRITTEN = [
    (REFRESH, "employee_metrics", "40P01"),
    (ANALYSE, "causal_estimate", "40001"),
    (ANALYSE, "causal_report", "40P01"),
    (STORE, "employee_metrics", "40P01"),
    (STORE, "employee_metrics_hourly", "40001"),
    (STORE, "team_metrics", "40001"),
    (EVALUATE, "intervention", "40P01"),
    (EVALUATE, "intervention_audit", "40001"),
]


def refuse(chain, table: str, code: str, times: int) -> None:
    """The server ends so many transactions that write to this table, for the sake of others."""
    chain.rows("create sequence organism.refused")
    chain.rows(
        "create function organism.refuse() returns trigger language plpgsql as $$ begin"
        f" if nextval('organism.refused') <= {times} then raise exception 'of two' using errcode = '{code}'; end if;"
        " return null; end $$"
    )
    chain.rows(
        f"create trigger refuse after insert or update on organism.{table}"
        " for each statement execute function organism.refuse()"
    )


@pytest.mark.parametrize(("step", "table", "code"), WRITTEN)
def test_a_conflict_is_tried_again_within_the_task(chain, monkeypatch, step, table, code):
    pauses: list[float] = []
    monkeypatch.setattr(conflicts, "_sleep", pauses.append)
    chain.start_at(step)
    refuse(chain, table, code, 1)
    run_step(step)
    assert len(pauses) == 1
    as_if_nothing_had_happened(chain, step)


@pytest.mark.parametrize(("step", "table", "code"), [WRITTEN[n] for n in (0, 2, 5, 6)])
def test_a_conflict_that_comes_again_and_again_is_left_to_the_next_try(chain, monkeypatch, step, table, code):
    pauses: list[float] = []
    monkeypatch.setattr(conflicts, "_sleep", pauses.append)
    chain.start_at(step)
    refuse(chain, table, code, 3)
    with pytest.raises(psycopg.Error) as caught:
        run_step(step)
    assert caught.value.sqlstate == code
    away(caught.value)
    assert len(pauses) == 2
    nothing_is_half_published(chain, step)
    run_step(step)
    as_if_nothing_had_happened(chain, step)


# --- N1: the graph --------------------------------------------------------------------------------
@pytest.fixture
def graph(chain, monkeypatch):
    """A proxy in front of the graph, and tasks that give up sooner."""
    monkeypatch.setattr(connections, "_REPEAT_S", 1.0)
    with proxied(chain.servers.neo4j.url) as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", proxy.address)
        yield proxy


@pytest.mark.parametrize("step", ["plan_betweenness", REFRESH, EVALUATE])
def test_the_graph_is_away(chain, graph, monkeypatch, step):
    # With more than one shard allowed the graph's size is looked at.
    monkeypatch.setenv("ORGANISM_METRICS_SHARDS", "1" if step == REFRESH else "3")
    stage = REFRESH if step == "plan_betweenness" else step
    chain.start_at(stage)
    graph.refuse()
    with pytest.raises(neo4j.exceptions.ServiceUnavailable) as caught:
        run_step(step)
    away(caught.value)
    nothing_is_half_published(chain, stage)
    graph.accept()
    if step != stage:
        assert run_step(step) == []
    run_step(stage)
    as_if_nothing_had_happened(chain, stage)


@pytest.mark.parametrize(
    ("step", "request_"),
    [
        (REFRESH, b"MERGE (l:MetricsLedger"),
        (REFRESH, b"RETURN e.id, e.team"),
        (REFRESH, b"RETURN a.id, targets"),
        (REFRESH, b"UNWIND $rows AS row"),
        (REFRESH, b"e.metrics_epoch <> $epoch"),
        (EVALUATE, b"coalesce(e.role"),
    ],
)
def test_the_graph_goes_away_in_mid_task(chain, graph, step, request_):
    chain.start_at(step)
    graph.before(request_, graph.refuse)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what counts
        run_step(step)
    away(caught.value)
    nothing_is_half_published(chain, step)
    graph.accept()
    run_step(step)
    as_if_nothing_had_happened(chain, step)


@pytest.mark.parametrize("step", [ANALYSE, STORE])
def test_what_needs_no_graph_does_without(chain, graph, step):
    chain.start_at(step)
    graph.refuse()
    run_step(step)
    as_if_nothing_had_happened(chain, step)


def test_a_refresh_without_a_cache_fails_with_everything_stored_and_the_next_try_fills_it(chain, monkeypatch):
    chain.start_at(REFRESH)
    with proxied(chain.servers.redis.url) as redis:
        monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis.address)
        redis.before(b"metrics:employee:", redis.refuse)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what counts
            run_step(REFRESH)
        away(caught.value)
        nothing_is_half_published(chain, REFRESH)
        redis.accept()
        run_step(REFRESH)
    as_if_nothing_had_happened(chain, REFRESH)

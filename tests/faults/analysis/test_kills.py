"""W1-W4: a task is killed, given up, or run twice at any point; the run ends as if nothing had happened."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from include.organism.interventions import audit
from tests.chain import EARLIER, WHEN, run_step
from tests.faults.analysis.points import (
    ANALYSE,
    EVALUATE,
    POINTS,
    REFRESH,
    STORE,
    as_if_nothing_had_happened,
    every,
    nothing_is_half_published,
    start,
)
from tests.faults.world import eventually

pytestmark = pytest.mark.servers
KILLED = -9
_WAITING = "select count(*) from pg_stat_activity where datname = 'chain_work' and wait_event_type = 'Lock'"


# A refresh that is killed: tests/faults/graph_metrics/test_kills.py.
@pytest.mark.parametrize(("step", "point"), every(ANALYSE, STORE, EVALUATE))
def test_killed_then_repeated(chain, workers, step, point):
    chain.start_at(step)
    assert start(workers, chain, step, f"{point}|kill").wait() == KILLED
    nothing_is_half_published(chain, step)
    run_step(step)
    as_if_nothing_had_happened(chain, step)


@pytest.mark.parametrize(
    ("step", "point"),
    [
        (ANALYSE, "analysis.before_write"),
        (ANALYSE, "analysis.in_transaction"),
        (STORE, "store.scores_filled"),
        (STORE, "teams.in_transaction"),
        (EVALUATE, "interventions.proposal.before_commit"),
        (EVALUATE, "interventions.proposal.committed"),
    ],
)
def test_a_try_that_was_given_up_and_wakes_up_beside_the_next_one(chain, workers, step, point):
    """Its supervisor is dead, or the scheduler was replaced: both tries are the same run's, and both may go on."""
    chain.start_at(step)
    zombie = start(workers, chain, step, f"{point}|hang")
    zombie.wait_stopped()
    nothing_is_half_published(chain, step)
    again = start(workers, chain, step)
    # It is done, or waits for what the zombie holds.
    eventually(lambda: again.ended or chain.rows(_WAITING) != [(0,)])
    zombie.wake()
    assert (zombie.wait(), again.wait()) == (0, 0)
    as_if_nothing_had_happened(chain, step)


@pytest.mark.parametrize(
    ("step", "point"),
    [
        (ANALYSE, "analysis.before_estimate"),
        (ANALYSE, "analysis.before_write"),
        (STORE, "store.scores_filled"),
        (STORE, "rollup.after_commit"),
    ],
)
def test_a_zombie_writes_nothing_once_the_graph_is_measured_again(chain, workers, step, point):
    chain.start_at(step)
    zombie = start(workers, chain, step, f"{point}|hang")
    zombie.wait_stopped()
    seen = chain.now()
    chain.rows("update organism.metric_run set epoch = epoch + 1 where measured_at = %s", WHEN)
    zombie.wake()
    assert zombie.wait() == 1
    assert (zombie.error, zombie.transient) == ("LeaseLost", False)
    assert chain.now() == seen


@pytest.mark.parametrize("step", [ANALYSE, STORE, EVALUATE])
def test_the_same_task_twice_at_the_same_time(chain, workers, step):
    """After a scheduler was killed and replaced in mid-task."""
    chain.start_at(step)
    both = [start(workers, chain, step), start(workers, chain, step)]
    assert [each.wait() for each in both] == [0, 0]
    as_if_nothing_had_happened(chain, step)


def test_two_runs_at_the_same_time(chain, workers):
    """Somebody triggers a run beside the scheduled one: each keeps its own rows, and no group is asked about twice."""
    chain.start_at(ANALYSE)
    # Of the same hour, whose means both write.
    other = WHEN + (timedelta(minutes=-1) if WHEN.minute else timedelta(minutes=1))
    run_step(REFRESH, other, "other")
    # The first one stands still in a transaction until the other one waits, or is done.
    points = {ANALYSE: "analysis.in_transaction", STORE: "rollup.in_transaction", EVALUATE: POINTS[EVALUATE][0]}
    for step, point in points.items():
        first = start(workers, chain, step, f"{point}|hang")
        first.wait_stopped()
        second = start(workers, chain, step, run="other", at=other)
        eventually(lambda: second.ended or chain.rows(_WAITING) != [(0,)])  # noqa: B023 - called at once
        first.wake()
        assert (first.wait(), second.wait()) == (0, 0), (first.error, second.error)
    for table, key in (("causal_estimate", "treatment"), ("employee_metrics", "employee_id")):
        query = f"select measured_at, count(*), count(distinct {key}) from organism.{table} group by 1 order by 1"
        rows = chain.rows(query)
        assert [row[0] for row in rows] == sorted([EARLIER, other, WHEN])
        assert len({row[1:] for row in rows}) == 1
    # Both are in the hour's and the day's means, once.
    undisturbed = len(chain.after(STORE)["daily"])
    assert chain.rows("select count(*) from organism.employee_metrics_daily") == [(undisturbed,)]
    (samples,) = chain.rows(
        "select distinct samples from organism.employee_metrics_daily where bucket = organism.bucket('1 day', %s)", WHEN
    )
    day = "organism.bucket('1 day', measured_at) = organism.bucket('1 day', %s)"
    assert [samples] == chain.rows(f"select count(*) from organism.metric_run where {day}", WHEN)
    assert chain.rows("select count(*) from organism.metric_run where published_at is not null") == [(3,)]
    groups = (
        "select count(*), count(distinct target_value) from organism.intervention where status = 'pending_approval'"
    )
    ((waiting, different),) = chain.rows(groups)
    assert waiting == different > 0
    with psycopg.connect(chain.url) as connection:
        assert audit.verify(connection).faults == []

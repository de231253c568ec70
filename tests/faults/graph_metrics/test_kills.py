"""A refresh that is killed, stopped or repeated at any point: nothing doubled, nothing half-published."""

from datetime import timedelta

import pytest

from tests.faults.graph_metrics.places import WHEN
from tests.faults.world import events, eventually

SIGKILLED = -9
MODULE = "tests.faults.graph_metrics.places"
POINTS = (
    "refresh.begun",
    "refresh.read",
    "refresh.measured",
    "metrics.before_write",
    "metrics.in_transaction",
    "metrics.after_commit",
    "nodes.in_transaction",
    "nodes.after_batch",
    "refresh.nodes_written",
)
EARLIER = WHEN - timedelta(hours=6)


@pytest.fixture
def filled(place):
    place.world.publish(events(300, people=25))
    place.world.run()
    place.refresh(EARLIER, "before")
    return place


def start(workers, place, fault="", at=WHEN, run="scheduled"):
    return workers.call(MODULE, "refresh_once", fault=fault, **place.arguments(at, run))


def check(place):
    """Everything is there once, of one run."""
    stored, nodes = place.stored(), place.nodes()
    assert stored.keys() == nodes.keys()
    for person, node in nodes.items():
        assert node["metrics_at"] == WHEN.timestamp() * 1000
        assert node["betweenness_centrality"] == stored[person]["betweenness_centrality"]
    assert place.rows("select count(*), count(completed_at) from organism.metric_run") == [(2, 2)]
    assert place.rows("select distinct measured_at from organism.current_metrics") == [(WHEN,)]


@pytest.mark.parametrize("point", POINTS)
def test_killed_then_repeated(filled, workers, point):
    assert start(workers, filled, f"{point}:kill").wait() == SIGKILLED
    # What is published is one complete run's, this or the last.
    (published,) = filled.rows("select distinct measured_at from organism.current_metrics")
    committed = POINTS.index(point) >= POINTS.index("metrics.after_commit")
    assert published == ((WHEN if committed else EARLIER),)
    filled.refresh()
    check(filled)


@pytest.mark.parametrize("point", ["shards.read", "shards.planned", "shards.worked:kill:2", "shards.laid:kill:2"])
def test_killed_while_the_work_is_spread(filled, workers, point):
    fault = point if ":" in point else f"{point}:kill"
    killed = workers.call(MODULE, "spread_once", fault=fault, **filled.arguments())
    assert killed.wait() == SIGKILLED
    assert filled.rows("select distinct measured_at from organism.current_metrics") == [(EARLIER,)]
    again = workers.call(MODULE, "spread_once", **filled.arguments())
    assert again.wait() == 0
    check(filled)
    assert filled.rows("select count(*) from organism.metric_work") == [(0,)]


@pytest.mark.parametrize("point", ["refresh.measured", "metrics.before_write", "refresh.stored"])
def test_a_zombie_of_an_earlier_try_writes_nothing(filled, workers, point):
    zombie = start(workers, filled, f"{point}:hang")
    zombie.wait_stopped()
    filled.world.publish(events(200, start=5_000, people=30))
    filled.world.run()
    filled.refresh()
    before = filled.stored(), filled.nodes(), filled.cached()
    zombie.wake()
    assert zombie.wait() == 1
    assert zombie.error == "LeaseLost"
    assert (filled.stored(), filled.nodes(), filled.cached()) == before
    check(filled)


def test_two_runs_at_once_both_keep_their_history_and_the_later_one_has_the_nodes(filled, workers):
    slow = start(workers, filled, "refresh.stored:hang", at=WHEN - timedelta(hours=1), run="slow")
    slow.wait_stopped()
    filled.refresh()
    slow.wake()
    assert slow.wait() == 0
    assert slow.result("refresh_once")["nodes_written"] is False
    assert len(filled.stored(WHEN - timedelta(hours=1))) == len(filled.stored())
    assert {node["metrics_at"] for node in filled.nodes().values()} == {WHEN.timestamp() * 1000}


def test_the_5_minute_pipeline_writes_while_nodes_are_written(filled, workers):
    """Stopped inside its transaction, it holds nodes' locks; the pipeline waits, and both arrive."""
    stopped = start(workers, filled, "nodes.in_transaction:hang:1")
    stopped.wait_stopped()
    filled.world.publish(events(100, start=9_000, people=25))
    draining = workers.start(filled.world)
    assert eventually(lambda: draining.pid)
    stopped.wake()
    assert stopped.wait() == 0
    assert draining.wait() == 0
    filled.world.check()
    check(filled)

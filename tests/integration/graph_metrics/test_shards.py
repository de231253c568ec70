"""A graph that is spread over tasks gives what one worker gives."""

from dataclasses import replace

import pytest

from include.operations.errors import LeaseLost
from include.organism.graph_metrics import shards
from include.organism.graph_metrics.settings import Distance
from include.organism.settings import Settings
from tests.faults.graph_metrics.places import SPREAD, WHEN, clients_of, spread
from tests.faults.world import events


@pytest.fixture
def filled(place):
    place.world.publish(events(600, people=40))
    place.world.run()
    return place


@pytest.fixture
def planned(filled):
    """The graph is laid out; gives a function that lays it out, too."""

    def plan(settings=SPREAD):
        with clients_of(filled.world.clients).warehouse() as connection:
            clients = filled.world.clients
            return shards.plan(connection, clients.driver, clients.database, settings, Settings().half_life_ms, WHEN)

    return plan


def worked(place, *numbers):
    with clients_of(place.world.clients).warehouse() as connection:
        return [shards.work_on(connection, WHEN, number) for number in numbers]


@pytest.mark.parametrize("distance", ["hops", "strength"])
def test_the_same_numbers_as_one_worker(filled, planned, monkeypatch, distance):
    settings = replace(SPREAD, metrics_distance=Distance(distance))
    alone = filled.refresh(settings=settings)
    before = filled.stored()
    # What the plan was made with counts, whatever the environment says where a shard runs.
    monkeypatch.setenv("ORGANISM_METRICS_DISTANCE", "hops")
    monkeypatch.setenv("ORGANISM_METRICS_SEED", "7")
    assert planned(settings) == [0, 1, 2]
    done = worked(filled, 2, 0, 1)
    assert sum(each["sources"] for each in done) == sum(each["of"] for each in done) == alone["betweenness"]["sources"]
    together = filled.refresh(settings=settings)
    assert together["betweenness"] == alone["betweenness"]
    after = filled.stored()
    assert after.keys() == before.keys()
    for person, row in after.items():
        assert row.pop("betweenness_centrality") == pytest.approx(
            before[person].pop("betweenness_centrality"), abs=1e-15
        )
        assert row == before[person]
    assert filled.rows("select count(*) from organism.metric_work") == [(0,)]


def test_a_graph_for_one_worker_is_not_laid_out(filled, planned, monkeypatch):
    assert planned(replace(SPREAD, metrics_shards=1)) == []
    monkeypatch.setattr(shards, "_SECONDS_A_TIE", 1e-9)
    assert planned() == []
    assert filled.rows("select count(*) from organism.metric_work") == [(0,)]


def test_a_shard_of_another_plan_writes_nothing(filled, planned, monkeypatch):
    planned()
    accumulate = shards.accumulate

    def overtaken(*arguments, **named):
        planned()
        return accumulate(*arguments, **named)

    monkeypatch.setattr(shards, "accumulate", overtaken)
    with pytest.raises(LeaseLost):
        worked(filled, 0)
    assert filled.rows("select part from organism.metric_work") == [(-1,)]


def test_parts_that_are_missing_are_not_made_up(filled, planned):
    planned()
    worked(filled, 0, 2)
    with pytest.raises(LeaseLost):
        filled.refresh(settings=SPREAD)
    assert filled.rows("select count(*) from organism.employee_metrics") == [(0,)]
    with pytest.raises(LeaseLost):
        worked(filled, 3)


def test_nothing_personal_stays_after_the_run(filled):
    spread(clients_of(filled.world.clients), WHEN, "run")
    assert filled.rows("select count(*) from organism.metric_work") == [(0,)]
    assert len(filled.stored()) == len(filled.nodes())

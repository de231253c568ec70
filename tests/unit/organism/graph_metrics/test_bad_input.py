"""Empty graphs, lone people, self loops, and numbers that are none."""

from datetime import UTC, datetime

import numpy as np
import pytest

from include.operations.errors import InputRejected
from include.organism.graph_metrics.measure import measure
from include.organism.graph_metrics.settings import RANGES, Distance, MetricSettings
from include.organism.graph_metrics.snapshot import snapshot
from include.organism.graph_metrics.ties import ties
from tests.unit.organism.graph_metrics.graphs import DAY, HALF_LIFE_MS, NOW, edges, people

WHEN = datetime.fromtimestamp(NOW / 1000, UTC)
SETTINGS = MetricSettings(metrics_threads=1)


def made(rows, count=4, **arguments):
    return snapshot(people(count), edges(rows), HALF_LIFE_MS, **arguments)


def test_people_who_know_nobody():
    measured = measure(made([], 3), WHEN, SETTINGS)
    for name in ("degree_centrality", "strength", "betweenness_centrality", "clustering_coefficient"):
        assert measured.values[name].tolist() == [0, 0, 0]
    assert measured.values["pagerank"] == pytest.approx([1 / 3] * 3)
    for name in ("burt_constraint", "reciprocity", "out_of_team_share"):
        assert np.isnan(measured.values[name]).all()
    assert measured.community.tolist() == [-1, -1, -1]
    frame = measured.frame()
    assert frame["community"].null_count() == frame["burt_constraint"].null_count() == frame["team"].null_count() == 3
    assert measured.facts["graph"]["as_of"] == WHEN.isoformat()


def test_one_person():
    measured = measure(made([], 1), WHEN, SETTINGS)
    assert measured.values["degree_centrality"].tolist() == measured.values["betweenness_centrality"].tolist() == [0]
    assert measured.values["pagerank"].tolist() == [1]


def test_unusable_edges_are_counted_and_touch_nobody():
    good = [(0, 1, 2.0, 1.0, NOW), (1, 2, 2.0, 1.0, NOW)]
    bad = [
        (0, 0, 1.0, 1.0, NOW),
        (0, 2, float("nan"), 1.0, NOW),
        (0, 3, 1.0, float("inf"), NOW),
        (2, 3, -1.0, 1.0, NOW),
        (3, 1, 1.0, 1.0, -1),
        (-1, 2, 1.0, 1.0, NOW),
        (0, 1, 9.0, 9.0, NOW),
    ]
    dirty = made([*good, *bad], unknown=2)
    assert dict(dirty.dropped) == {"self_loop": 1, "unusable": 4, "unknown_person": 3, "doubled": 1}
    clean, measured = measure(made(good), WHEN, SETTINGS), measure(dirty, WHEN, SETTINGS)
    for name, values in clean.values.items():
        assert np.array_equal(values, measured.values[name], equal_nan=True), name
    assert measured.facts["graph"]["dropped"] == dict(dirty.dropped)


def test_without_weight_there_is_no_community_and_no_constraint():
    measured = measure(made([(0, 1, 0.0, 0.0, NOW), (1, 2, 0.0, 0.0, NOW)]), WHEN, SETTINGS)
    assert set(measured.community) == {-1}
    assert np.isnan(measured.values["burt_constraint"]).all()
    assert measured.values["betweenness_centrality"][1] == pytest.approx(1 / 3)


def test_the_window_ends_a_tie_and_the_weight_fades():
    rows = [(0, 1, 1.0, 1.0, NOW - 28 * DAY), (1, 2, 1.0, 1.0, NOW - 14 * DAY), (2, 3, 1.0, 1.0, NOW)]
    graphs = ties(made(rows), NOW, 28)
    assert graphs.undirected.degree.tolist() == [0, 1, 2, 1]
    assert graphs.directed.weights == pytest.approx([0.5, 1.0])
    assert graphs.ever.degree.tolist() == [1, 2, 2, 1]
    assert ties(made(rows), NOW, 0).undirected.degree.tolist() == [1, 2, 2, 1]


def test_a_stream_that_stands_still_does_not_fade_the_graph_away():
    old = made([(0, 1, 1.0, 1.0, NOW - 900 * DAY), (1, 2, 1.0, 1.0, NOW - 901 * DAY)])
    measured = measure(old, WHEN, SETTINGS)
    assert measured.facts["graph"]["active_ties"] == 2
    assert measured.facts["graph"]["behind_s"] == 900 * 86_400


def test_events_after_the_logical_time_do_not_grow():
    ahead = made([(0, 1, 1.0, 1.0, NOW + 5 * DAY), (1, 2, 1.0, 1.0, NOW)])
    assert ahead.as_of(WHEN) == NOW
    assert ties(ahead, NOW, 28).directed.weights.tolist() == [1.0, 1.0]


def test_the_facts_of_every_metric_are_complete():
    measured = measure(made([(0, 1, 1.0, 1.0, NOW)]), WHEN, SETTINGS)
    needed = {"definition", "graph", "formula", "source", "method", "k", "seed", "engine", "version", "error_bound"}
    assert set(measured.facts) == {*measured.values, "community", "graph"}
    for name in (*measured.values, "community"):
        assert needed <= set(measured.facts[name])
    assert measured.facts["betweenness_centrality"]["k"] == 2
    assert measured.facts["betweenness_centrality"]["seed"] == measured.facts["community"]["seed"] == 42


@pytest.mark.parametrize("name", RANGES)
def test_settings_outside_their_range_are_refused(monkeypatch, name):
    for wrong in (RANGES[name][0] - 1, RANGES[name][1] * 2, "much", "nan"):
        monkeypatch.setenv(f"ORGANISM_{name.upper()}", str(wrong))
        with pytest.raises(InputRejected, match=f"ORGANISM_{name.upper()}"):
            MetricSettings.from_env()
    monkeypatch.setenv(f"ORGANISM_{name.upper()}", str(RANGES[name][1]))
    assert getattr(MetricSettings.from_env(), name) == RANGES[name][1]


def test_settings_of_words(monkeypatch):
    monkeypatch.setenv("ORGANISM_METRICS_DISTANCE", "strength")
    assert MetricSettings.from_env().metrics_distance is Distance.STRENGTH
    assert MetricSettings.from_env(metrics_distance="hops").metrics_distance is Distance.HOPS
    with pytest.raises(InputRejected, match="metrics_distance"):
        MetricSettings.from_env(metrics_distance="miles")
    assert MetricSettings(metrics_threads=3).threads == 3
    assert MetricSettings().threads >= 1

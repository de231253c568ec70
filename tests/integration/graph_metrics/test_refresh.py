"""From interactions in the stream to metrics on nodes, in the warehouse and in the cache."""

import json
from datetime import timedelta

import networkx as nx
import pytest

from include.organism import cache
from include.organism.graph_metrics.refresh import NobodyToMeasure
from include.organism.graph_metrics.settings import MetricSettings
from tests import oracle
from tests.faults.graph_metrics.places import WHEN
from tests.faults.world import events

SAME = 1e-9
WHOLE = MetricSettings(metrics_threads=2, metrics_window_days=0)


def graph_of(place, people=None):
    """What networkx sees: recomputed from the events by the oracle, without the code under test."""
    made = nx.DiGraph()
    made.add_nodes_from(people or oracle.expected(place.world.valid.values()).people)
    for (source, target), edge in oracle.expected(place.world.valid.values()).edges.items():
        if made.has_node(source) and made.has_node(target):
            made.add_edge(source, target, weight=edge.weight)
    return made


@pytest.fixture
def filled(place):
    place.world.publish(events(600, people=40))
    place.world.run()
    return place


def test_the_numbers_are_those_of_the_events(filled):
    manifest = filled.refresh(settings=WHOLE)
    graph = graph_of(filled)
    both = graph.to_undirected()
    stored, nodes = filled.stored(), filled.nodes()
    assert stored.keys() == set(graph) == nodes.keys()
    between, clustering = nx.betweenness_centrality(both), nx.clustering(both)
    degree, strength = nx.degree_centrality(both), dict(graph.degree(weight="weight"))
    for person, row in stored.items():
        assert row["betweenness_centrality"] == pytest.approx(between[person], abs=SAME)
        assert row["clustering_coefficient"] == pytest.approx(clustering[person], abs=SAME)
        assert row["degree_centrality"] == pytest.approx(degree[person], abs=SAME)
        assert row["strength"] == pytest.approx(strength[person], rel=SAME)
        node = nodes[person]
        for same in ("betweenness_centrality", "clustering_coefficient", "degree_centrality", "strength"):
            assert node[same] == pytest.approx(row[same], rel=SAME), same
        assert node["metrics_at"] == WHEN.timestamp() * 1000
    assert manifest["rows_out"] == len(graph)
    assert manifest["rows_in"] == graph.number_of_edges()
    assert manifest["betweenness"] == {"k": len(graph), "sources": len(graph), "error_bound": 0.0}


def test_how_it_was_made_is_kept_once_a_run(filled):
    filled.refresh()
    (row,) = filled.rows("select people, edges, metrics, completed_at is not null from organism.metric_run")
    people, edges, metrics, completed = row
    assert completed
    assert (people, edges) == (len(filled.nodes()), len(filled.cypher("MATCH ()-[r:INTERACTS]->() RETURN r")))
    for name in ("betweenness_centrality", "pagerank", "community", "reciprocity"):
        assert {"method", "k", "seed", "engine", "version", "definition", "formula", "source", "graph"} <= set(
            metrics[name]
        )
    assert metrics["graph"]["window_days"] == 28
    assert filled.rows("select count(*) from organism.current_metrics") == [(people,)]


def test_a_second_refresh_of_the_same_time_changes_nothing(filled):
    filled.refresh()
    before = filled.stored(), filled.nodes()
    again = filled.refresh(run="scheduled")
    assert again["table"] == {"changed": 0, "removed": 0, "left_out": 0}
    stored, nodes = filled.stored(), filled.nodes()
    for each in (before[1], nodes):
        assert {node.pop("metrics_epoch") for node in each.values()} <= {1, 2}
    assert (stored, nodes) == before
    assert filled.rows("select count(*) from organism.metric_run") == [(1,)]


def test_an_older_run_leaves_the_nodes_to_the_newer_one(filled):
    filled.refresh()
    older = filled.refresh(WHEN - timedelta(hours=6), "late")
    assert older["nodes_written"] is False
    assert older["cached"] == 0
    assert len(filled.stored(WHEN - timedelta(hours=6))) == older["rows_out"]
    assert {node["metrics_at"] for node in filled.nodes().values()} == {WHEN.timestamp() * 1000}


def test_the_cache_has_everybody_for_an_hour_and_the_graph_for_five_minutes(filled):
    filled.refresh()
    client, stored = filled.world.redis, filled.stored()
    assert filled.cached() == {cache.GRAPH_STATS, *map(cache.employee_key, stored)}
    assert 0 < client.ttl(cache.GRAPH_STATS) <= 300
    person = min(stored)
    assert 300 < client.ttl(cache.employee_key(person)) <= 3600
    value = json.loads(client.get(cache.employee_key(person)))
    assert value["measured_at"] == WHEN.isoformat()
    assert value["betweenness_centrality"] == stored[person]["betweenness_centrality"]
    assert value["team"] is None
    graph = json.loads(client.get(cache.GRAPH_STATS))
    assert graph["people"] == len(stored)
    assert 0 < graph["density"] <= 1


def test_the_5_minute_pipeline_deletes_what_it_changes(filled):
    filled.refresh()
    filled.world.publish(events(5, start=10_000, people=40))
    filled.world.run()
    assert cache.GRAPH_STATS not in filled.cached()


def test_who_opted_out_or_is_on_leave_is_not_measured(filled):
    filled.refresh()
    gone, away, chosen, *others = sorted(filled.nodes())
    filled.cypher("MATCH (e:Employee {id: $id}) SET e.opted_out = true", id=gone)
    filled.cypher("MATCH (e:Employee {id: $id}) SET e.on_leave = true", id=away)
    filled.rows(
        "insert into organism.privacy_choice (employee_id, opted_out_at, source) "
        "values (%s, now() - interval '1 hour', 'command') returning 1",
        chosen,
    )
    manifest = filled.refresh(settings=WHOLE)
    assert manifest["rows_out"] == len(others)
    assert set(filled.stored()) == set(others)
    nodes = filled.nodes()
    for person in (gone, away, chosen):
        assert not {"betweenness_centrality", "clustering_coefficient", "metrics_at", "metrics_epoch"} & set(
            nodes[person]
        )
    expected = nx.betweenness_centrality(graph_of(filled, others).to_undirected())
    for person in others:
        assert filled.stored()[person]["betweenness_centrality"] == pytest.approx(expected[person], abs=SAME)


def test_an_empty_graph_keeps_what_there_is(filled):
    filled.refresh()
    filled.cypher("MATCH (e:Employee) SET e.opted_out = true")
    with pytest.raises(NobodyToMeasure):
        filled.refresh(WHEN + timedelta(hours=6), "later")
    assert filled.rows("select count(*) > 0 from organism.current_metrics") == [(True,)]


def test_broken_properties_are_left_out_and_counted(place):
    place.cypher(
        "CREATE (a:Employee {id: 'a', team: 'red'})-[:INTERACTS {weight: 1.0, recency_weight: 1.0, last_at: 5}]->"
        "(b:Employee {id: 'b'})-[:INTERACTS {weight: 'much', recency_weight: 1.0, last_at: 5}]->"
        "(c:Employee {id: 'c', is_manager: true})-[:INTERACTS]->(a),"
        "(a)-[:INTERACTS {weight: 1.0, recency_weight: 1.0, last_at: 5}]->(a),"
        "(c)-[:INTERACTS {weight: 0.0/0.0, recency_weight: 1.0, last_at: 5}]->(b)"
    )
    manifest = place.refresh()
    assert manifest["dropped"] == {"self_loop": 1, "unusable": 3}
    assert manifest["rows_in"] == 1
    stored = place.stored()
    assert [stored[person]["degree_centrality"] for person in "abc"] == [0.5, 0.5, 0]
    assert stored["a"]["team"] == "red"
    assert stored["c"]["is_manager"] is True
    assert stored["c"]["burt_constraint"] is None

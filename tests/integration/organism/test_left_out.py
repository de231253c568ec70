"""Opting out, leave, erasure and pseudonyms in the 5-minute pipeline: held to the oracle of the events that remain."""

import base64

import pytest

from include.operations.errors import InputRejected
from include.organism.privacy.pseudonym import Pseudonyms
from tests import oracle
from tests.faults.world import event, events

pytestmark = pytest.mark.servers


def flag(world, person, name, value=True):
    world.driver.execute_query(f"MATCH (e:Employee {{id: $id}}) SET e.{name} = $value", id=person, value=value)


def without(world, person):
    """What the graph must be: no tie of the person's, everybody else as if they had never been met."""
    return oracle.expected(
        [each for each in world.valid.values() if person not in (each["source"], each["target"])],
        world.settings.half_life_days,
    )


def ties(world, person):
    query = "MATCH (:Employee {id: $id})-[r:INTERACTS]-() RETURN count(r) AS ties"
    return world.driver.execute_query(query, id=person).records[0]["ties"]


def people(world):
    rows = world.driver.execute_query(
        "MATCH (e:Employee) RETURN e.id, e.degree, e.strength, e.degree_centrality"
    ).records
    return {row[0]: tuple(row[1:]) for row in rows}


def test_who_opts_out_loses_ties_and_gets_none(world):
    world.publish(events(200))
    world.run()
    assert ties(world, "p1")
    flag(world, "p1", "opted_out")
    world.driver.execute_query("MATCH (e:Employee {id: 'p1'}) SET e.metrics_at = 1, e.betweenness_centrality = 0.5")
    world.publish(events(200, start=200))
    result = world.run()["update"]
    assert result["skipped"]["left_out"] > 0
    wanted = without(world, "p1")
    assert oracle.read_graph(world.driver).edges.keys() == wanted.edges.keys()
    found = people(world)
    assert found.pop("p1") == (0, 0.0, 0.0)
    for person, (degree, strength, centrality) in found.items():
        assert (degree, strength) == (wanted.people[person].degree, pytest.approx(wanted.people[person].strength))
        # The person who opted out is still one of those who could be met.
        assert centrality == pytest.approx(degree / len(found))
    (node,) = world.driver.execute_query("MATCH (e:Employee {id: 'p1'}) RETURN properties(e) AS p").records
    assert {"metrics_at", "betweenness_centrality"}.isdisjoint(node["p"])
    # Nothing is left to do, and opting in again begins anew.
    assert world.run()["update"]["skipped"]["left_out"] == 0
    flag(world, "p1", "opted_out", value=False)
    world.publish([event("again", "p1", "p2")])
    world.run()
    assert ties(world, "p1") == 1


def test_cached_figures_of_everybody_next_to_them_go(world):
    world.publish([event(1, "ann", "bob"), event(2, "cid", "dan")])
    world.run()
    for person in ("ann", "bob", "cid"):
        world.redis.set(f"metrics:employee:{person}", "x")
    flag(world, "ann", "opted_out")
    world.run()
    assert [world.redis.exists(f"metrics:employee:{person}") for person in ("ann", "bob", "cid")] == [0, 0, 1]


def test_who_is_on_leave_keeps_ties_and_gets_none_until_they_are_back(world):
    world.publish([event(1, "ann", "bob")])
    world.run()
    flag(world, "ann", "on_leave")
    world.publish(
        [event(2, "ann", "cid"), event(3, "bob", "ann"), event(4, "bob", "cid"), event(5, "bob", '["ann", "dan"]')]
    )
    assert world.run()["update"]["skipped"]["left_out"] == 3
    assert oracle.read_graph(world.driver).edges.keys() == {("ann", "bob"), ("bob", "cid"), ("bob", "dan")}
    flag(world, "ann", "on_leave", value=False)
    world.publish([event(6, "ann", "cid")])
    world.run()
    assert ties(world, "ann") == 2


def test_an_erased_person_does_not_come_back(world):
    world.publish([event(1, "ann", "bob"), event(2, "bob", "cid")])
    world.run()
    graph = world.clients.graph(world.settings)
    ledger = graph.acquire("erase")
    digest = Pseudonyms().tombstone("ann")
    assert graph.erase(ledger, "ann", digest) == {"people": 1, "ties": 1, "reports": 0}
    assert graph.erase(ledger, "ann", digest) == {"people": 0, "ties": 0, "reports": 0}
    graph.finish(ledger, {})
    graph.release("erase")
    world.publish([event(3, "ann", "bob"), event(4, "cid", "ann"), event(5, "cid", "bob")])
    assert world.run()["update"]["skipped"]["left_out"] == 2
    assert people(world) == {"bob": (1, 2.0, 1.0), "cid": (1, 2.0, 1.0)}


def test_with_a_key_nobody_is_in_the_graph_under_their_own_name(world, monkeypatch):
    monkeypatch.setenv("ORGANISM_PSEUDONYM_KEY", base64.b64encode(bytes(32)).decode())
    names = Pseudonyms.from_env()
    world.publish(events(100))
    world.run()
    renamed = [
        {**each, "source": names.of(each["source"]), "target": names.of(each["target"])}
        for each in world.valid.values()
    ]
    world.check_against(oracle.expected(renamed, world.settings.half_life_days))
    for other in (None, base64.b64encode(b"x" * 32).decode()):
        if other is None:
            monkeypatch.delenv("ORGANISM_PSEUDONYM_KEY")
        else:
            monkeypatch.setenv("ORGANISM_PSEUDONYM_KEY", other)
        with pytest.raises(InputRejected, match="ORGANISM_PSEUDONYM_KEY"):
            world.run()


def test_a_graph_that_was_built_without_a_key_is_not_continued_with_one(world, monkeypatch):
    world.publish(events(10))
    world.run()
    # As it was before the graph remembered keys.
    world.driver.execute_query("MATCH (l:PrivacyLedger) DELETE l")
    monkeypatch.setenv("ORGANISM_PSEUDONYM_KEY", base64.b64encode(bytes(32)).decode())
    with pytest.raises(InputRejected, match="without a key"):
        world.run()

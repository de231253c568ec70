"""A roster in a real Neo4j, with the caches in a real Redis."""

import threading

import pytest

from include.operations.errors import LeaseLost
from include.organism import cache
from include.organism.roster import parse
from include.organism.roster_load import load, rehearse
from include.organism.settings import Settings
from tests.faults.world import run_steps

pytestmark = pytest.mark.servers

ROSTER = """\
id,name,team,role,is_manager,manager_id,on_leave,opted_out
boss,Bo,Lead,CEO,yes,,no,no
ann,Ann,Sales,Rep,no,boss,no,yes
bob,Bob,Sales,Rep,no,ann,yes,no
"""


def people(clients):
    records, _, _ = clients.driver.execute_query("MATCH (e:Employee) RETURN e {.*} AS e ORDER BY e.id")
    return {record["e"]["id"]: record["e"] for record in records}


def managers(clients):
    records, _, _ = clients.driver.execute_query(
        "MATCH (e:Employee)-[r:REPORTS_TO]->(m) RETURN e.id AS id, m.id AS manager ORDER BY id, manager"
    )
    return [(record["id"], record["manager"]) for record in records]


def picture(clients):
    return people(clients), managers(clients)


def test_people_managers_and_flags(clients, graph):
    loaded = load(clients.redis, graph, parse(ROSTER), "run")
    assert (loaded.rows, loaded.loaded, loaded.created, loaded.unchanged, loaded.managers_changed) == (3, 3, 3, 0, 2)
    assert (loaded.refused, loaded.refusals, loaded.rescaled) == (0, [], True)
    found = people(clients)
    ann = found["ann"]
    assert ann.pop("created_at") <= ann.pop("updated_at")
    assert ann == {
        "id": "ann",
        "name": "Ann",
        "team": "Sales",
        "role": "Rep",
        "is_manager": False,
        "on_leave": False,
        "opted_out": True,
        "provisional": False,
        "degree": 0,
        "degree_centrality": 0.0,
        "strength": 0.0,
    }
    assert (found["boss"]["is_manager"], found["bob"]["on_leave"]) == (True, True)
    assert managers(clients) == [("ann", "boss"), ("bob", "ann")]


def test_loading_again_changes_nothing(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    before = picture(clients)
    loaded = load(clients.redis, graph, parse(ROSTER), "run")
    assert picture(clients) == before
    assert (loaded.created, loaded.unchanged, loaded.managers_changed, loaded.rescaled) == (0, 3, 0, False)


def test_a_person_of_the_interactions_is_no_longer_provisional_and_keeps_the_figures(clients, graph):
    settings = Settings(stream="roster-test", group="roster-test")
    event = {"id": "e", "source": "ann", "target": "bob", "type": "x", "weight": "4", "timestamp": "1700000000"}
    clients.redis.xadd(settings.stream, event)
    run_steps(clients, settings, "run-1")
    clients.redis.delete(settings.stream)
    assert people(clients)["ann"]["provisional"] is True
    loaded = load(clients.redis, graph, parse("id,team\nann,Sales\n"), "run")
    found = people(clients)
    assert (loaded.created, loaded.unchanged) == (0, 0)
    ann = found["ann"]
    assert (ann["provisional"], ann["team"], ann["strength"], ann["degree"]) == (False, "Sales", 4.0, 1)
    assert (ann["is_manager"], ann["on_leave"], ann["opted_out"]) == (False, False, False)
    assert "name" not in ann
    assert found["bob"]["provisional"] is True


def test_newcomers_rescale_everybodys_centrality(clients, graph):
    clients.driver.execute_query(
        "CREATE (a:Employee {id: 'x', degree: 1, degree_centrality: 1.0}),"
        " (b:Employee {id: 'y', degree: 1, degree_centrality: 1.0})"
    )
    loaded = load(clients.redis, graph, parse(ROSTER), "run")
    assert loaded.rescaled
    assert {key: e["degree_centrality"] for key, e in people(clients).items()} == {
        "x": 0.25, "y": 0.25, "ann": 0.0, "bob": 0.0, "boss": 0.0,
    }  # fmt: skip


def test_what_the_roster_does_not_say_stays(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    load(clients.redis, graph, parse("id,team\nann,Support\n"), "run")
    ann = people(clients)["ann"]
    assert (ann["team"], ann["name"], ann["opted_out"]) == ("Support", "Ann", True)
    assert managers(clients) == [("ann", "boss"), ("bob", "ann")]


def test_empty_clears_texts_and_managers_but_no_flag(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    load(clients.redis, graph, parse("id,name,manager_id,opted_out\nann,,,\n"), "run")
    ann = people(clients)["ann"]
    assert "name" not in ann
    assert (ann["team"], ann["opted_out"]) == ("Sales", True)
    assert managers(clients) == [("bob", "ann")]


def test_an_explicit_no_takes_a_flag_back(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    load(clients.redis, graph, parse("id,opted_out\nann,no\n"), "run")
    assert people(clients)["ann"]["opted_out"] is False


def test_a_reorganisation_that_swaps_manager_and_report(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    loaded = load(clients.redis, graph, parse("id,manager_id\nboss,bob\nann,boss\nbob,\n"), "run")
    assert loaded.refusals == []
    assert managers(clients) == [("ann", "boss"), ("boss", "bob")]


def test_rows_that_close_a_cycle_are_refused_whole_and_the_rest_is_kept(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    # bob's row closes the cycle; as he then stays with ann, who reports to boss, boss's row closes another one.
    loaded = load(clients.redis, graph, parse("id,team,manager_id\nboss,New,bob\nbob,Moved,boss\nzoe,X,ann\n"), "run")
    assert [(refusal.row, refusal.field, refusal.code) for refusal in loaded.refusals] == [
        (2, "manager_id", "cycle"),
        (3, "manager_id", "cycle"),
    ]
    assert managers(clients) == [("ann", "boss"), ("bob", "ann"), ("zoe", "ann")]
    assert {key: e["team"] for key, e in people(clients).items()} == {
        "boss": "Lead", "ann": "Sales", "bob": "Sales", "zoe": "X",
    }  # fmt: skip


def test_unknown_managers_are_refused_and_known_ones_may_be_in_the_graph_only(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    loaded = load(clients.redis, graph, parse("id,team,manager_id\nzoe,A,boss\nyan,B,nobody\n"), "run")
    assert [(refusal.row, refusal.field, refusal.code) for refusal in loaded.refusals] == [
        (3, "manager_id", "unknown_manager")
    ]
    assert set(people(clients)) == {"ann", "bob", "boss", "zoe"}


def test_a_manager_whose_own_row_is_refused_becomes_a_provisional_person(clients, graph):
    loaded = load(clients.redis, graph, parse("id,manager_id,on_leave\nchief,,perhaps\nann,chief,\n"), "run")
    assert (loaded.loaded, loaded.refused) == (1, 1)
    assert managers(clients) == [("ann", "chief")]
    assert people(clients)["chief"]["provisional"] is True
    assert people(clients)["ann"]["provisional"] is False


def test_several_managers_in_the_graph_become_the_one_of_the_roster(clients, graph):
    clients.driver.execute_query(
        "CREATE (a:Employee {id: 'a'}), (b:Employee {id: 'b'}), (c:Employee {id: 'c'}),"
        " (a)-[:REPORTS_TO]->(b), (a)-[:REPORTS_TO]->(c), (c)-[:REPORTS_TO]->(b)"
    )
    load(clients.redis, graph, parse("id,manager_id\na,b\n"), "run")
    assert managers(clients) == [("a", "b"), ("c", "b")]


def test_values_are_never_cypher(clients, graph):
    hostile = "'}) DETACH DELETE e //`;"
    load(
        clients.redis,
        graph,
        parse([{"id": hostile, "name": hostile, "manager_id": "x" + hostile}, {"id": "x" + hostile}]),
        "r",
    )
    assert set(people(clients)) == {hostile, "x" + hostile}


def test_many_people_go_in_parts(clients, graph, monkeypatch):
    monkeypatch.setattr("include.organism.roster_graph._BATCH", 7)
    rows = [{"id": f"p{n:03}", "team": f"t{n % 5}", "manager_id": f"p{n // 2:03}" if n else None} for n in range(100)]
    loaded = load(clients.redis, graph, parse(rows), "run")
    assert (loaded.loaded, loaded.created, loaded.managers_changed) == (100, 100, 99)
    assert len(managers(clients)) == 99
    assert {e["team"] for e in people(clients).values()} == {f"t{n}" for n in range(5)}
    assert not any(e["provisional"] for e in people(clients).values())


# --- caches ---------------------------------------------------------------------------


def put(clients, *ids):
    for person in ids:
        clients.redis.set(cache.employee_key(person), "x")
    clients.redis.set(cache.GRAPH_STATS, "x")


def left(clients, *ids):
    return [key for key in (*map(cache.employee_key, ids), cache.GRAPH_STATS) if clients.redis.exists(key)]


def test_newcomers_make_everybodys_cached_figures_wrong(clients, graph):
    clients.driver.execute_query("CREATE (:Employee {id: 'other'})")
    put(clients, "ann", "other")
    loaded = load(clients.redis, graph, parse(ROSTER), "run")
    assert left(clients, "ann", "other") == []
    assert loaded.people_invalidated == 4


def test_without_newcomers_only_the_rosters_people_are_invalidated(clients, graph):
    clients.driver.execute_query("CREATE (:Employee {id: 'other'})")
    load(clients.redis, graph, parse(ROSTER), "run")
    put(clients, "ann", "bob", "other")
    loaded = load(clients.redis, graph, parse("id,team\nann,X\n"), "run")
    assert left(clients, "ann", "bob", "other") == [cache.employee_key("bob"), cache.employee_key("other")]
    assert loaded.people_invalidated == 1


def test_a_load_that_died_before_the_caches_is_made_good_by_the_next(clients, graph, monkeypatch):
    clients.driver.execute_query("CREATE (:Employee {id: 'other'})")
    put(clients, "ann", "other")

    def die(*_):
        raise ConnectionError("Redis is gone")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "invalidate", die)
        with pytest.raises(ConnectionError):
            load(clients.redis, graph, parse(ROSTER), "run")
    loaded = load(clients.redis, graph, parse(ROSTER), "run")
    assert not loaded.rescaled
    assert left(clients, "ann", "other") == []


# --- dry run, fencing, retries ----------------------------------------------------------


def test_a_rehearsal_says_what_a_load_does_and_writes_nothing(clients, graph):
    load(clients.redis, graph, parse(ROSTER), "run")
    put(clients, "ann")
    before = picture(clients)
    text = "id,team,manager_id\nann,Sales,bob\nzoe,New,boss\nbob,Other,\nyan,,nobody\n"
    said = rehearse(graph, parse(text))
    assert picture(clients) == before
    assert len(left(clients, "ann")) == 2
    done = load(clients.redis, graph, parse(text), "run")
    assert said.refusals == done.refusals != []
    for name in ("rows", "loaded", "created", "unchanged", "managers_changed"):
        assert getattr(said, name) == getattr(done, name), name


def test_a_rehearsal_needs_no_schema_and_leaves_none(clients, graph):
    assert rehearse(graph, parse(ROSTER)).created == 3
    records, _, _ = clients.driver.execute_query("MATCH (n) RETURN count(n) AS n")
    assert records[0]["n"] == 0


def test_a_zombie_writes_nothing_after_a_later_load_has_begun(clients, graph):
    old = parse("id,team\nann,Old\n")
    epoch = graph.begin("old")
    load(clients.redis, graph, parse(ROSTER), "new")
    before = picture(clients)
    for step in (
        lambda: graph.write_hierarchy(epoch, old),
        lambda: graph.write_people(epoch, old.people),
        lambda: graph.finish(epoch),
    ):
        with pytest.raises(LeaseLost):
            step()
    assert picture(clients) == before


def test_a_zombie_does_not_mark_caches_fresh_that_a_later_load_has_yet_to_clear(clients, graph):
    epoch = graph.begin("old")
    later = graph.begin("new")
    graph.write_hierarchy(later, parse(ROSTER))
    assert graph.finish(later)
    graph.mark_fresh(epoch)
    assert set(graph.stale_people([])) == {"ann", "bob", "boss"}
    graph.mark_fresh(later)
    assert list(graph.stale_people([])) == []


def test_two_loads_at_once_leave_one_of_them_whole(clients, graph):
    # Together they would be a cycle: a reports to b in one, b to a in the other.
    clients.driver.execute_query("CREATE (:Employee {id: 'a'}), (:Employee {id: 'b'})")
    graph.begin("schema")
    start = threading.Barrier(2)
    ends = []

    def run(text):
        start.wait()
        try:
            ends.append(load(clients.redis, graph, parse(text), text).refused)
        except LeaseLost:
            ends.append("fenced")

    threads = [threading.Thread(target=run, args=(f"id,manager_id\n{who}\n",)) for who in ("a,b", "b,a")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 2
    assert len(managers(clients)) == 1

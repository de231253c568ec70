"""REPORTS_TO stays without cycles, whatever the roster and the graph say."""

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from include.organism.roster import Person
from include.organism.roster_hierarchy import resolve

IDS = "abcdef"


def person(row, person_id, manager, *, names_manager=True):
    return Person(row, person_id, {}, names_manager, manager)


def roster(**managers):
    """People in order; `a="b"` reports to b, None to nobody."""
    return [person(row, person_id, manager) for row, (person_id, manager) in enumerate(managers.items(), start=2)]


def outcome(people, current=None, known=IDS):
    kept, refusals = resolve(people, set(known), current or {})
    return [p.id for p in kept], [(refusal.row, refusal.code) for refusal in refusals]


def test_a_tree_is_taken_whole():
    assert outcome(roster(a=None, b="a", c="a", d="b")) == (["a", "b", "c", "d"], [])


def test_the_last_row_of_a_cycle_is_refused():
    assert outcome(roster(a="b", b="c", c="a", d="a")) == (["a", "b", "d"], [(4, "cycle")])


def test_a_cycle_through_the_graph_is_refused():
    assert outcome(roster(a="c"), {"c": ["b"], "b": ["a"]}) == ([], [(2, "cycle")])


def test_the_graphs_old_managers_do_not_count_where_the_roster_says_new_ones():
    # They swap places: neither half alone would do.
    assert outcome(roster(a="b", b=None), {"b": ["a"]}) == (["a", "b"], [])


def test_a_row_that_says_nothing_of_a_manager_keeps_the_graphs():
    people = [person(2, "a", None, names_manager=False), person(3, "b", "a")]
    assert outcome(people, {"a": ["b"]}) == (["a"], [(3, "cycle")])


def test_a_refused_row_keeps_its_old_manager_which_may_close_another_cycle():
    # c's row closes a cycle with d; refused, c goes on reporting to b, and so b cannot report to c.
    people = roster(b="c", d="c", c="d")
    assert outcome(people, {"c": ["b"]}) == (["d"], [(4, "cycle"), (2, "cycle")])


def test_an_unknown_manager_refuses_the_row():
    assert outcome(roster(a="z", b="a")) == (["b"], [(2, "unknown_manager")])


def test_people_with_several_managers_in_the_graph_are_understood():
    assert outcome(roster(a="b"), {"b": ["c", "a"]}) == ([], [(2, "cycle")])
    assert outcome(roster(b="c"), {"b": ["c", "a"]}) == (["b"], [])


def test_a_cycle_that_is_in_the_graph_already_stops_nobody_and_ends():
    assert outcome(roster(a="b"), {"b": ["c"], "c": ["b"]}) == (["a"], [])


def test_long_chains_are_fast_enough():
    people = [person(n + 2, str(n), str(n + 1)) for n in range(2_000)]
    assert outcome(people, known={str(n) for n in range(2_001)}) == ([p.id for p in people], [])


PEOPLE = st.lists(
    st.tuples(st.sampled_from(IDS), st.none() | st.sampled_from(IDS), st.booleans()), unique_by=lambda row: row[0]
)
FOREST = st.lists(st.integers(-1, 4), min_size=6, max_size=6).map(
    lambda above: {IDS[n]: [IDS[m]] for n, m in enumerate(above) if 0 <= m < n}
)


@given(PEOPLE, FOREST, st.permutations(IDS))
def test_the_result_never_has_a_cycle_and_nothing_is_refused_without_one(rows, current, names):
    rename = dict(zip(IDS, names, strict=True))
    current = {rename[who]: [rename[m] for m in managers] for who, managers in current.items()}
    people = [
        person(row, who, manager if says else None, names_manager=says)
        for row, (who, manager, says) in enumerate(rows, start=2)
        if manager != who
    ]
    kept, refusals = resolve(people, set(IDS), current)
    after = {**current}
    for p in kept:
        if p.names_manager:
            after[p.id] = [p.manager] if p.manager else []
    graph = nx.DiGraph((who, manager) for who, managers in after.items() for manager in managers)
    assert nx.is_directed_acyclic_graph(graph)
    assert {p.row for p in kept} | {refusal.row for refusal in refusals} == {p.row for p in people}
    assert len(kept) + len(refusals) == len(people)
    assert resolve(people, set(IDS), current) == (kept, refusals)
    wanted = {**current, **{p.id: [p.manager] if p.manager else [] for p in people if p.names_manager}}
    whole = nx.DiGraph((who, manager) for who, managers in wanted.items() for manager in managers)
    if nx.is_directed_acyclic_graph(whole):
        assert refusals == []

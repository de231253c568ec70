"""Groups: who is treated, held out and left out."""

import pytest

from include.operations.errors import InputRejected
from include.organism.interventions.population import Kind, Person, Population, Target, is_held_out
from include.organism.interventions.settings import Settings


def people(count=400):
    return tuple(
        Person(f"p{n}", f"team{n % 4}", "works council" if n % 50 == 0 else "IC", n % 25 == 0, n % 20 == 1, n % 20 == 2)
        for n in range(count)
    )


@pytest.fixture
def population():
    return Population(people(), frozenset({"p3", "p7"}), Settings())


def test_a_group_is_split_without_rest(population):
    group = population.group(Target(Kind.TEAM, "team3"))
    assert (group.size, group.complement) == (100, 300)
    assert len(group.treated) + group.held_out + group.excluded == group.size


def test_nobody_excluded_or_held_out_is_treated(population):
    treated = population.group(Target(Kind.EVERYONE)).treated
    by_id = {person.id: person for person in population.people}
    assert not any(
        by_id[p].opted_out or by_id[p].on_leave or by_id[p].role == "works council" or p in ("p3", "p7")
        for p in treated
    )
    assert not treated & population.holdout
    assert not population.holdout & population.excluded


def test_the_absent_are_those_of_the_graph_of_whom_nothing_is_measured():
    outside = Population(people(), frozenset({"p3", "gone"}), Settings())
    # Of twenty people one is on leave and one opted out; the works council is measured like everybody.
    assert len(outside.absent) == 2 * 400 // 20 + 1
    assert "p3" in outside.absent
    assert not {"p0", "gone"} & outside.absent


def test_the_council_is_never_a_target(population):
    group = population.group(Target(Kind.ROLE, "works council"))
    assert (group.council, group.treated) == (True, frozenset())


def test_the_holdout_is_stable_and_of_the_share_asked_for():
    ids = [f"person-{n}" for n in range(20_000)]
    held = {each for each in ids if is_held_out(each, "salt", 0.15)}
    assert 0.14 < len(held) / len(ids) < 0.16
    assert held == {each for each in reversed(ids) if is_held_out(each, "salt", 0.15)}
    # A larger share keeps those it had; another salt draws others.
    assert held < {each for each in ids if is_held_out(each, "salt", 0.2)}
    assert held != {each for each in ids if is_held_out(each, "pepper", 0.15)}
    # Fixed for good: a change of the formula would treat people who were held out.
    assert [n for n in range(40) if is_held_out(f"EMP_{n:03}", "causal-organism", 0.15)] == [4, 17, 19, 22, 28, 30, 34]


@pytest.mark.parametrize(("kind", "value"), [("person", "p1"), ("team", ""), ("everyone", "x"), ("", "")])
def test_a_person_is_no_target(kind, value):
    with pytest.raises(InputRejected):
        Target.read(kind, value)

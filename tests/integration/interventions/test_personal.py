"""A person who is erased is forgotten wherever interventions remember them, and the others are still undone."""

import json

import pytest

from include.organism.interventions import personal
from tests.interventions import approved, execute, roll_back

pytestmark = pytest.mark.servers


def everything(world):
    tables = ("intervention", "intervention_member", "intervention_step", "intervention_audit")
    texts = [row[0] for table in tables for row in world.rows(f"select t::text from organism.{table} t")]
    found = world.driver.execute_query("MATCH (l:InterventionLedger) RETURN l.captured AS captured").records
    return " ".join([*texts, *(record["captured"] or "" for record in found)])


def forget(world, person):
    """As `privacy erase` does."""
    with world.desk() as desk, desk.connection.transaction():
        for table in ("intervention_step", "intervention_member"):
            desk.connection.execute(f"delete from organism.{table} where employee_id = %s", [person])
        return personal.forget(desk.connection, world.driver, None, person)


def test_a_person_is_forgotten_everywhere_and_the_others_are_still_undone(world):
    before = world.graph()
    which = approved(world, "reassign_manager", {"manager_of_team": "Sales"})
    execute(world, which)
    person = world.members(which)[1]
    for expected in (1, 0):
        assert forget(world, person) == {"intervention_managers": 0, "intervention_ledgers": expected}
    world.driver.execute_query("MATCH (e:Employee {id: $id}) DETACH DELETE e", id=person)
    assert json.dumps(person) not in everything(world)
    assert person not in everything(world)
    roll_back(world, which)
    del before[person]
    assert world.graph() == before


@pytest.mark.parametrize("number", [1, 2], ids=["the old manager", "the new one"])
def test_an_erased_manager_is_given_back_to_nobody_and_keeps_nobody(world, number):
    before = world.graph()
    which = approved(world, "reassign_manager", {"manager_of_team": "Sales"})
    execute(world, which)
    manager = world.id(number)
    assert forget(world, manager)["intervention_managers"] > 10
    world.driver.execute_query("MATCH (e:Employee {id: $id}) DETACH DELETE e", id=manager)
    assert manager not in everything(world)
    assert roll_back(world, which) == "rolled_back"
    member = next(each for each in world.members(which) if each != manager and before[each][1])
    assert world.graph()[member][1] == ([] if number == 1 else [world.id(1)])

"""A person who is erased is forgotten wherever interventions remember them, and the others are still undone."""

import json
import uuid

import pytest

from include.cli import privacy
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


@pytest.fixture
def erase(world, cli, redis_server, monkeypatch):
    """`privacy erase` on the command line."""
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    monkeypatch.setenv("ORGANISM_STREAM", f"erase-{uuid.uuid4().hex[:12]}")
    return lambda person: cli("privacy", "erase", person, "--yes")


def in_calendars(sink):
    return {each["asked"]["person"]: (each["state"], each["effects"]) for each in sink.actions()}


def test_what_is_in_force_for_an_erased_person_is_cancelled_first(world, alert_sink, erase):
    which = approved(world)
    execute(world, which)
    others = dict.fromkeys(world.members(which), ("active", 1))
    person = min(others)
    del others[person]
    # As long as that cannot be done, nothing is deleted.
    before = everything(world)
    alert_sink.behave("actions", "server_error")
    failed = erase(person)
    assert failed.code == 1
    assert "NOT_CANCELLED" in failed.err
    assert "erase again" in failed.err
    assert person not in failed.err
    assert everything(world) == before
    assert person in world.graph()
    alert_sink.behave("actions")
    done = erase(person)
    assert (done.code, "cancelled_actions 1" in done.out) == (0, True), done.err
    assert in_calendars(alert_sink) == others | {person: ("cancelled", 2)}
    assert person not in everything(world)
    assert erase(person).code == 0
    assert roll_back(world, which) == "rolled_back"
    assert in_calendars(alert_sink) == dict.fromkeys([*others, person], ("cancelled", 2))


def test_an_action_that_begins_during_an_erasure_is_cancelled_too(world, alert_sink, erase, monkeypatch):
    which = approved(world)
    acquire = privacy._acquire

    def execute_then_acquire(requests, run):
        execute(world, which)
        return acquire(requests, run)

    monkeypatch.setattr(privacy, "_acquire", execute_then_acquire)
    # One of the team who is not held out.
    person = world.id(1 + 4 * 5)
    assert erase(person).code == 0
    assert in_calendars(alert_sink)[person] == ("cancelled", 2)
    assert person not in everything(world)


def test_an_erasure_waits_for_a_run_that_is_at_the_persons_action(world, alert_sink, erase):
    which = approved(world)
    execute(world, which)
    person = world.members(which)[0]
    world.set("update organism.intervention set lease_until = now() + interval '5 minutes'")
    failed = erase(person)
    assert (failed.code, "LEASE_HELD" in failed.err) == (1, True)
    assert in_calendars(alert_sink)[person] == ("active", 1)
    world.set("update organism.intervention set lease_until = null")
    assert erase(person).code == 0
    assert in_calendars(alert_sink)[person] == ("cancelled", 2)


def test_an_action_on_the_graph_needs_no_other_system(world, erase, monkeypatch):
    which = approved(world, "role_change", {"role": "Specialist"})
    execute(world, which)
    person = world.members(which)[0]
    monkeypatch.delenv("AIRFLOW_CONN_INTERVENTIONS")
    assert erase(person).code == 0
    assert person not in everything(world)
    assert person not in world.graph()
    assert roll_back(world, which) == "rolled_back"

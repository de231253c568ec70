"""Outcomes on a real warehouse: who is compared, what is undone, which types are switched off."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from include.organism.interventions import execution, outcomes, store, switch
from tests.interventions import NOW, PEOPLE, approved, assess, execute

pytestmark = pytest.mark.servers


def check(world, days=8, **settings):
    world.now = NOW + timedelta(days=days)
    with world.desk("outcomes", **settings) as desk:
        return outcomes.check(desk)


def undo(world, **settings):
    with world.desk("outcomes", **settings) as desk:
        return outcomes.roll_back_harmful(desk)


def test_what_harmed_is_undone_once(world, alert_sink):
    which = approved(world)
    execute(world, which)
    assess(world, which, 15)
    assert check(world, days=6) == {}
    assert check(world) == {"harmful": 1}
    assert check(world) == {}
    row = world.rows("select metric, treated, holdout, effect, low, high, verdict from organism.intervention_outcome")[
        0
    ]
    assert row[0] == "burnout_score"
    assert row[1] == len(world.members(which))
    assert row[4] < 15 < row[5]
    assert undo(world) == {"rolled_back": 1, "disabled": 0}
    assert undo(world) == {"rolled_back": 0, "disabled": 0}
    assert world.status(which) == ("rolled_back", "harmful")
    assert {each["effects"] for each in alert_sink.actions()} == {2}


@pytest.mark.parametrize(("effect", "verdict"), [(-12, "improved"), (0, "no_difference")])
def test_what_did_not_harm_stays(world, effect, verdict):
    which = approved(world)
    execute(world, which)
    assess(world, which, effect)
    assert check(world) == {verdict: 1}
    assert undo(world) == {"rolled_back": 0, "disabled": 0}
    assert world.status(which) == ("executed", "")


def test_it_is_compared_with_held_out_people_alone(world):
    """The others are treated by nobody, but not drawn by the hash: their burnout does not matter."""
    which = approved(world)
    execute(world, which)
    with world.desk() as desk:
        holdout = desk.population(set()).holdout
    others = {world.id(n) for n in range(PEOPLE)} - holdout - set(world.members(which))
    assess(world, which, 15, skip=others)
    assert check(world) == {"harmful": 1}


def test_too_few_answers_are_measured_later_and_given_up_in_the_end(world):
    which = approved(world)
    execute(world, which)
    assess(world, which, 15, skip=world.members(which)[9:])
    assert check(world) == {"not_measurable": 1}
    assert world.rows("select treated, effect from organism.intervention_outcome") == [(None, None)]
    assert check(world, days=22) == {}
    assess(world, which, 15)
    assert check(world, days=9) == {"harmful": 1}


def test_answers_without_consent_or_of_people_who_opted_out_do_not_count(world):
    which = approved(world)
    execute(world, which)
    assess(world, which, 15)
    members = world.members(which)
    with psycopg.connect(world.url) as connection:
        connection.execute(
            "update organism.burnout_assessment set consent = false, score = null where employee_id = any(%s)",
            [members[:5]],
        )
        connection.execute(
            "insert into organism.privacy_choice (employee_id, opted_out_at, source)"
            " select unnest(%s::text[]), now(), 'test'",
            [members[5:8]],
        )
    check(world)
    assert world.rows("select treated from organism.intervention_outcome") == [(len(members) - 8,)]


def test_people_who_are_cut_off_are_harm_where_that_is_not_meant(world):
    which = approved(world, "redistribute_tasks", {"percent": 25})
    execute(world, which)
    assess(world, which, 0)
    world.measure(NOW + timedelta(days=3), {"Design": 0.1, "Engineering": 0.1, "Sales": 0.2, "Support": 0.05})
    assert check(world) == {"harmful": 1}
    assert dict(world.rows("select metric, verdict from organism.intervention_outcome")) == {
        "burnout_score": "no_difference",
        "degree_centrality": "harmful",
    }


def test_a_type_that_harmed_repeatedly_is_switched_off_until_a_person_says_otherwise(world):
    for team in ("Engineering", "Sales"):
        which = approved(world, team=team)
        execute(world, which)
        assess(world, which, 15)
        assert check(world)["harmful"] == 1
        done = undo(world)
        world.now = NOW
    assert done == {"rolled_back": 1, "disabled": 1}
    world.settings = replace(world.settings, weekly_share=0.9)
    assert world.propose("reduce_meetings", "Design").reason_code == "action_disabled"
    assert world.propose("schedule_focus_time", "Design", change=-0.1).reason_code == ""
    with world.desk() as desk, desk.connection.transaction():
        assert switch.enable(desk.connection, "reduce_meetings", "ann", "the next ones will be smaller")
    assert undo(world)["disabled"] == 0
    assert world.propose("reduce_meetings", "Support").reason_code == ""


def test_stuck_ones_are_settled(world, alert_sink):
    lost, half = approved(world), approved(world, team="Sales")
    with world.desk("lost") as desk:
        fence = execution._claim(desk, lost)
        execution._apply(desk, store.find(desk.connection, lost), fence)
    execute(world, half)
    world.set(
        "update organism.intervention set status = 'rolling_back', lease_until = executed_at, executor = 'gone',"
        f" reason_code = 'harmful' where id = '{half}'"
    )
    world.now = NOW + timedelta(minutes=30)
    with world.desk("sweep") as desk:
        assert outcomes.settle(desk) == {"settled": 0}
    world.now = NOW + timedelta(hours=2)
    with world.desk("sweep") as desk:
        assert outcomes.settle(desk) == {"settled": 2}
    assert world.status(lost) == ("failed", "abandoned")
    assert world.status(half) == ("rolled_back", "harmful")
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}

"""The commands a person on call needs: see, propose, stop, allow again."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from include.organism.interventions import switch
from tests.interventions import MEASURED, NOW

pytestmark = pytest.mark.servers


@pytest.fixture
def today(world, monkeypatch):
    """The commands use this machine's clock: metrics of an hour ago."""
    world.measure(datetime.now(UTC) - timedelta(hours=1))
    monkeypatch.setenv("INTERVENTION_MODE", "review")
    monkeypatch.setenv("INTERVENTION_APPROVERS", "ann,bo")
    monkeypatch.setenv("INTERVENTION_WEEKLY_SHARE", "0.5")
    return world


def test_stop_and_resume(world, cli):
    assert cli("interventions", "stop", "--reason", "an incident").code == 0
    assert world.propose("reduce_meetings").reason_code == "kill_switch"
    assert cli("interventions", "resume", "--reason", "over").code == 0
    assert world.propose("reduce_meetings").status == "pending_approval"
    assert [
        row[0] for row in world.rows("select event from organism.intervention_audit where intervention_id is null")
    ] == [
        "interventions_stopped",
        "interventions_resumed",
    ]


def test_a_type_is_allowed_again(world, cli):
    with world.desk() as desk, desk.connection.transaction():
        switch.disable(desk.connection, "reduce_meetings", "test", "harm", NOW)
    assert "may be proposed again" in cli("interventions", "enable", "reduce_meetings", "--reason", "x").out
    assert "was not switched off" in cli("interventions", "enable", "reduce_meetings", "--reason", "x").out


def test_propose_and_list(today, cli):
    estimate = today.estimate(measured_at=MEASURED)
    made = cli(
        "interventions",
        "propose",
        "reduce_meetings",
        "--team",
        "Engineering",
        "--estimate",
        estimate,
        "--parameters",
        '{"percent": 30}',
    )
    which, status = made.out.split()
    assert (made.code, made.err, status) == (0, "", "pending_approval")
    listed = json.loads(cli("interventions", "list", "--json").out)
    assert [(row["id"], row["parameters"]) for row in listed] == [(which, {"percent": 30})]
    assert which in cli("interventions", "list", "--status", "pending_approval").out
    assert which not in cli("interventions", "list", "--status", "executed").out
    assert (
        "forbidden_action"
        in cli("interventions", "propose", "fire_employee", "--team", "Sales", "--estimate", estimate).out
    )


@pytest.mark.parametrize("words", [[], ["--team", "a", "--role", "b"], ["--team", "a", "--parameters", "[1]"]])
def test_wrong_words_are_refused(today, cli, words):
    assert cli("interventions", "propose", "reduce_meetings", "--estimate", "1", *words).code == 1
    assert today.rows("select count(*) from organism.intervention") == [(0,)]

"""Executing and undoing on real servers: once, only what is allowed, and back to exactly what was there."""

import threading
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from include.operations.errors import LeaseHeld, LeaseLost
from include.organism.interventions import audit, execution, store
from include.organism.interventions.errors import ActionRefused
from tests.interventions import NOW, PEOPLE, approved, execute, roll_back

pytestmark = pytest.mark.servers

GRAPH = [
    ("role_change", {"role": "Specialist"}),
    ("promote_role", {"role": "Lead"}),
    ("team_restructure", {"team": "Research"}),
    ("reassign_manager", {"manager_of_team": "Sales"}),
]
CALENDAR = [
    ("reduce_meetings", {"percent": 40}),
    ("schedule_focus_time", {"minutes": 90, "per_week": 2}),
    ("major_schedule_change", {"schedule": "four days"}),
    ("redistribute_tasks", {"percent": 25}),
    ("suggest_focus_time", {"minutes": 60, "per_week": 1, "uptake": 0.5}),
]


@pytest.mark.parametrize(("action", "parameters"), GRAPH)
def test_an_action_on_the_graph_is_done_for_its_people_only_and_undone_exactly(world, action, parameters):
    before = world.graph()
    which = approved(world, action, parameters)
    assert execute(world, which) == "executed"
    after = world.graph()
    changed = {person for person in before if before[person] != after[person]}
    members = set(world.members(which))
    assert changed <= members
    assert len(members - changed) <= 1  # who had it already
    assert 10 <= len(members) < PEOPLE / 4
    assert roll_back(world, which) == "rolled_back"
    assert world.graph() == before
    # Nothing left to undo, nothing done again.
    assert roll_back(world, which) == "rolled_back"
    assert execute(world, which) == "rolled_back"
    assert world.graph() == before


@pytest.mark.parametrize(("action", "parameters"), CALENDAR)
def test_an_action_elsewhere_is_done_once_and_undone_exactly(world, alert_sink, action, parameters):
    which = approved(world, action, parameters)
    assert execute(world, which) == "executed"
    done = alert_sink.actions()
    assert sorted(each["asked"]["person"] for each in done) == world.members(which)
    assert {each["effects"] for each in done} == {1}
    captured = dict(
        world.rows("select employee_id, captured from organism.intervention_step where intervention_id = %s", which)
    )
    assert captured == {each["asked"]["person"]: each["captured"] for each in done}
    assert roll_back(world, which) == "rolled_back"
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}
    assert {each["effects"] for each in alert_sink.actions()} == {2}


def test_what_is_written_down(world):
    which = approved(world, by="cy")
    execute(world, which, run="run-1")
    roll_back(world, which)
    assert world.events(which) == [
        "intervention_proposed",
        "intervention_approved",
        "intervention_begun",
        "intervention_executed",
        "outcome_monitoring_scheduled",
        "rollback_begun",
        "intervention_rolled_back",
    ]
    row = world.rows("select decided_by, decision_note, treated, executor from organism.intervention")[0]
    assert row == ("ann", "because", len(world.members(which)), "")
    with world.desk() as desk:
        assert audit.verify(desk.connection).faults == []


def test_no_person_is_in_the_audit_or_the_proposal(world):
    which = approved(world, "reassign_manager", {"manager_of_team": "Sales"})
    execute(world, which)
    texts = world.rows(
        "select i::text from organism.intervention i union all select detail::text || actor from"
        " organism.intervention_audit"
    )
    assert not [text for (text,) in texts if any(f"p{n:03}" in text for n in range(PEOPLE))]


def test_executing_again_changes_nothing(world, alert_sink):
    which = approved(world)
    assert execute(world, which) == "executed"
    events = world.events(which)
    for run in ("run", "another run"):
        assert execute(world, which, run) == "executed"
    assert world.events(which) == events
    assert {each["effects"] for each in alert_sink.actions()} == {1}


def test_two_runs_at_once_execute_once(world, alert_sink):
    which = approved(world)
    start, ended = threading.Barrier(4), []

    def run(name):
        start.wait()
        try:
            ended.append(execute(world, which, name))
        except (LeaseHeld, LeaseLost) as error:
            ended.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(f"run {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "executed" in ended
    assert world.status(which) == ("executed", "")
    assert world.events(which).count("intervention_begun") == 1
    assert world.events(which).count("intervention_executed") == 1
    assert {each["effects"] for each in alert_sink.actions()} == {1}


@pytest.mark.parametrize("status", ["pending_approval", "rejected"])
def test_only_what_is_approved_is_executed(world, alert_sink, status):
    placed = world.propose("reduce_meetings")
    if status == "rejected":
        world.approve(placed.id, approved=False)
    assert execute(world, placed.id) == status
    assert alert_sink.actions() == []


def test_approved_too_long_ago_is_not_executed(world, alert_sink):
    which = approved(world)
    world.now = NOW + timedelta(hours=24)
    world.measure(world.now)
    assert execute(world, which) == "refused"
    assert world.status(which) == ("refused", "expired")
    assert alert_sink.actions() == []


@pytest.mark.parametrize(
    ("variable", "statement", "code"),
    [
        ("false", "", "kill_switch"),
        ("", "", "kill_switch"),
        (None, "", "kill_switch_unreadable"),
        ("true", "update organism.intervention_switch set enabled = false", "kill_switch"),
        ("true", "delete from organism.intervention_switch", "kill_switch_unreadable"),
    ],
)
def test_the_kill_switch_stops_at_the_last_moment(world, alert_sink, monkeypatch, variable, statement, code):
    which = approved(world)
    if variable is None:
        monkeypatch.delenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED")
    else:
        monkeypatch.setenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED", variable)
    if statement:
        world.set(statement)
    assert execute(world, which) == "refused"
    assert world.status(which) == ("refused", code)
    assert alert_sink.actions() == []
    assert world.members(which) == []


def test_a_stop_between_the_checks_and_the_effect_stops(world, alert_sink, monkeypatch):
    which = approved(world)
    claim = execution._claim

    def claim_then_stop(desk, intervention):
        fence = claim(desk, intervention)
        world.set("update organism.intervention_switch set enabled = false")
        return fence

    monkeypatch.setattr(execution, "_claim", claim_then_stop)
    assert execute(world, which) == "failed"
    assert world.status(which) == ("failed", "kill_switch")
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}


def test_without_its_connection_nothing_begins(world, monkeypatch):
    which = approved(world)
    monkeypatch.delenv("AIRFLOW_CONN_INTERVENTIONS")
    with pytest.raises(AirflowNotFoundException):
        execute(world, which)
    assert world.status(which) == ("approved", "")
    assert world.members(which) == []


def test_rolling_back_is_not_stopped(world, alert_sink):
    which = approved(world)
    execute(world, which)
    world.set("update organism.intervention_switch set enabled = false")
    assert roll_back(world, which) == "rolled_back"


def test_an_opt_out_after_approval_is_honoured(world):
    which = approved(world)
    world.set(
        "insert into organism.privacy_choice (employee_id, opted_out_at, source)"
        " select 'p' || to_char(n, 'FM000'), now(), 'test' from generate_series(1, 41, 8) n"
    )
    world.driver.execute_query("MATCH (e:Employee {id: 'p005'}) SET e.on_leave = true")
    assert execute(world, which) == "executed"
    assert not {"p001", "p005", "p009", "p017", "p025", "p033", "p041"} & set(world.members(which))


def test_budgets_hold_when_two_are_executed_at_once(world):
    """Each alone fits, both together do not: the second one finds no room."""
    first = approved(world, team="Engineering", daily_actions=1)
    second = approved(world, team="Sales", daily_actions=1)
    ended = []

    def run(which):
        ended.append(execute(world, which, str(which), daily_actions=1))

    threads = [threading.Thread(target=run, args=(which,)) for which in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["executed", "refused"]
    assert ("refused", "daily_budget") in {world.status(first), world.status(second)}


def test_a_group_rests_after_an_action(world):
    which = approved(world)
    execute(world, which)
    assert world.propose("reduce_meetings").reason_code == "cool_down"
    assert world.propose("reduce_meetings", team="Manager", kind="role").status != "shadow"
    roll_back(world, which)
    assert world.propose("reduce_meetings").reason_code == "cool_down"


def test_what_cannot_be_done_is_undone_and_failed(world, alert_sink):
    which = approved(world)
    alert_sink.behave("actions", "refuse")
    with pytest.raises(ActionRefused):
        execute(world, which)
    # It was not cancelled either: the system refuses everything.
    assert world.events(which)[-1] == "rollback_failed"
    alert_sink.behave("actions", "ok")
    assert execute(world, which) == "failed"
    assert world.status(which) == ("failed", "action_refused")
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}


@pytest.mark.parametrize("team", ["Nobody", "Engineering"])
def test_a_manager_who_is_not_there_or_would_close_a_cycle_is_refused(world, team):
    """The managers of the teams report to one of Engineering's people, so they cannot become their manager."""
    world.driver.execute_query(
        "MATCH (m:Employee {id: 'p002'}), (e:Employee {team: 'Engineering', is_manager: false})"
        " MERGE (m)-[:REPORTS_TO]->(e)"
    )
    before = world.graph()
    which = approved(world, "reassign_manager", {"manager_of_team": "Sales" if team == "Engineering" else team})
    with pytest.raises(ActionRefused):
        execute(world, which)
    assert world.status(which) == ("failed", "action_refused")
    assert world.graph() == before


def test_a_roster_that_came_later_wins_over_the_rollback(world):
    which = approved(world, "role_change", {"role": "Specialist"})
    execute(world, which)
    newer, gone = world.members(which)[:2]
    world.driver.execute_query("MATCH (e:Employee {id: $id}) SET e.role = 'Director'", id=newer)
    world.driver.execute_query("MATCH (e:Employee {id: $id}) DETACH DELETE e", id=gone)
    assert roll_back(world, which) == "rolled_back"
    graph = world.graph()
    assert graph[newer][0]["role"] == "Director"
    assert "Specialist" not in {values.get("role") for values, _ in graph.values()}
    detail = world.rows("select detail from organism.intervention_audit where event = 'intervention_rolled_back'")
    assert detail[0][0]["changed_since"] == 2


def test_a_lease_keeps_others_out_until_it_ends(world, alert_sink):
    which = approved(world)
    with world.desk("first") as desk:
        execution._claim(desk, which)
    with pytest.raises(LeaseHeld):
        execute(world, which, "second")
    world.now += timedelta(seconds=world.settings.lease_s + 1)
    assert execute(world, which, "second") == "executed"
    assert "intervention_taken_over" in world.events(which)


def test_a_writer_that_was_fenced_off_changes_nothing(world, alert_sink):
    """The first run wakes up after another one has executed, and after it was rolled back."""
    for action, parameters in (("reduce_meetings", None), ("role_change", {"role": "Specialist"})):
        which = approved(world, action, parameters, team="Engineering" if parameters is None else "Sales")
        with world.desk("zombie") as desk:
            fence = execution._claim(desk, which)
            row = store.find(desk.connection, which)
            desk.connection.commit()
            world.now += timedelta(seconds=world.settings.lease_s + 1)
            assert execute(world, which, "second") == "executed"
            roll_back(world, which)
            before = world.graph()
            with desk.connection.transaction():
                desk.connection.execute("update organism.intervention_step set state = 'planned'")
            with pytest.raises(LeaseLost):
                execution._apply(desk, row, fence)
            with pytest.raises(LeaseLost):
                execution._finish(desk, which, fence)
        assert world.graph() == before
        assert world.status(which)[0] == "rolled_back"
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}


def test_an_abandoned_execution_is_undone(world, alert_sink):
    which = approved(world)
    with world.desk("lost") as desk:
        fence = execution._claim(desk, which)
        execution._apply(desk, store.find(desk.connection, which), fence)
    world.now += timedelta(seconds=world.settings.lease_s + 1)
    with world.desk("sweep") as desk:
        assert execution.give_up(desk, which) == "failed"
    assert world.status(which) == ("failed", "abandoned")
    assert {each["state"] for each in alert_sink.actions()} == {"cancelled"}

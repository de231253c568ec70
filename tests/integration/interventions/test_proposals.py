"""Proposals from estimates and from people, and decisions about them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from include.organism.interventions import proposals, review, store
from include.organism.interventions.settings import Mode
from tests.interventions import MEASURED, NOW, PEOPLE

pytestmark = pytest.mark.servers


def suggest(world, **settings):
    """What the pipeline would do in one run."""
    with world.desk("pipeline", **settings) as desk:
        people = desk.population(set())
        return proposals.place(desk, proposals.from_estimates(desk, MEASURED, people), people, "pipeline")


def shown(world):
    return world.rows(
        "select action, target_value, status, expected_effect, expected_low, expected_high"
        " from organism.intervention order by proposed_at, impact, action"
    )


def test_supported_estimates_become_proposals_for_the_team_with_most_of_the_treatment(world):
    world.estimate()
    placed = suggest(world)
    assert [each.status for each in placed] == ["pending_approval"] * 3
    rows = {row[0]: row[1:] for row in shown(world)}
    assert {action: row[0] for action, row in rows.items()} == {
        "suggest_focus_time": "Engineering",
        "reduce_meetings": "Sales",
        "schedule_focus_time": "Design",
    }
    effect, low, high = rows["reduce_meetings"][2:]
    # Half of a mean of about 0.2, times 60 points.
    assert effect == pytest.approx(-0.5 * 0.203 * 60, rel=0.02)
    assert (low, high) == (pytest.approx(effect * 70 / 60), pytest.approx(effect * 50 / 60))


def test_a_rerun_proposes_nothing_twice(world):
    world.estimate()
    first = suggest(world)
    count = world.rows("select count(*) from organism.intervention_audit")
    again = suggest(world)
    assert {each.id for each in again} == {each.id for each in first}
    assert not any(each.new for each in again)
    assert world.rows("select count(*) from organism.intervention_audit") == count


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "suggestive"},
        {"estimate": -60, "low": -70, "high": -50},  # less contact would be worse
        {"treatment": "tenure"},
        {"outcome": "turnover"},
        {"measured_at": MEASURED - timedelta(hours=6)},
    ],
)
def test_other_estimates_suggest_nothing(world, changes):
    world.estimate(**changes)
    assert suggest(world) == []


@pytest.mark.parametrize(
    ("mode", "low", "medium"),
    [
        (Mode.SHADOW, "shadow", "shadow"),
        (Mode.REVIEW, "pending_approval", "pending_approval"),
        (Mode.LIVE, "approved", "pending_approval"),
    ],
)
def test_the_mode_says_what_becomes_of_it(world, mode, low, medium):
    world.estimate()
    suggest(world, mode=mode)
    status = {row[0]: row[2] for row in shown(world)}
    assert (status["suggest_focus_time"], status["reduce_meetings"]) == (low, medium)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"clusters": 40}, "few_clusters"), ({"runs": 1}, "sign_unstable"), ({"q": 0.2}, "multiple_tests")],
)
def test_a_weak_estimate_is_refused_and_written_down(world, changes, code):
    world.estimate(**changes)
    placed = suggest(world, max_proposals=1)
    assert [(each.status, each.reason_code) for each in placed] == [("refused", code)]
    assert world.events(placed[0].id) == ["intervention_refused"]


@pytest.mark.parametrize(("action", "code"), [("fire_employee", "forbidden_action"), ("be_happy", "unknown_action")])
def test_forbidden_and_unknown_actions_are_refused_and_written_down(world, action, code):
    placed = world.propose(action, change=-0.1, mode=Mode.LIVE)
    assert (placed.status, placed.reason_code) == ("refused", code)
    assert world.events(placed.id) == ["intervention_refused"]
    assert world.approve(placed.id) == "refused"


def test_sizes_of_small_groups_are_not_told(world):
    world.driver.execute_query(
        "MATCH (e:Employee {team: 'Sales'}) WHERE e.id > $id SET e.team = 'Tiny'", id=world.id(131)
    )
    placed = world.propose("reduce_meetings", "Tiny")
    assert placed.reason_code == "small_group"
    assert world.rows("select group_size, treated from organism.intervention") == [(None, None)]


def test_everyone_but_a_few_is_refused(world):
    world.driver.execute_query("MATCH (e:Employee) WHERE e.id > $id SET e.role = 'Other'", id=world.id(8))
    assert world.propose("reduce_meetings", "Other", kind="role", weekly_share=1.0).reason_code == "small_complement"


def decide(world, which, account="ann", *, approved=True, at=None, settings=None):
    with world.desk() as desk:
        decision = review.Decision(approved, account, at or world.now, "why | `not`\n")
        return review.decide(desk.connection, which, decision, "run", settings or world.settings)


def begin(world, which, key="run", running=()):
    with world.desk() as desk:
        return review.begin(desk.connection, which, key, world.settings, world.now, running.__contains__)


def test_the_question_names_groups_figures_and_accounts_but_no_person(world):
    which = world.propose("reassign_manager", parameters={"manager_of_team": "Sales|`x`"}, change=-0.1).id
    request = begin(world, which)
    assert request.approvers == ["ann", "bo"]
    assert request.subject == "HIGH: reassign_manager for team Engineering"
    assert "95 % interval" in request.body
    assert "`Sales  x `" in request.body
    assert not [n for n in range(PEOPLE) if world.id(n) in request.body]


def test_one_run_asks(world):
    which = world.propose("reduce_meetings").id
    assert begin(world, which, "first") is not None
    assert begin(world, which, "first") is not None
    assert begin(world, which, "second", running={"first"}) is None


def test_a_run_that_ended_without_an_answer_asks_no_more_and_one_other_takes_over(world):
    which = world.propose("reduce_meetings").id
    assert begin(world, which, "failed") is not None
    # Each sees the failed run's key, or waits for the lock of the one that was there first and sees that one's.
    keys = [f"run {n}" for n in range(4)]
    with ThreadPoolExecutor(len(keys)) as threads:
        asked = list(threads.map(lambda key: begin(world, which, key, running=keys), keys))
    assert sum(each is not None for each in asked) == 1
    # The failed run, cleared by somebody, finds the one that asks now.
    assert begin(world, which, "failed", running=keys) is None


@pytest.mark.parametrize(
    ("account", "status", "code"),
    [("ann", "approved", ""), ("eve", "refused", "approver_not_allowed"), ("", "expired", "expired")],
)
def test_only_a_named_approver_approves(world, account, status, code):
    which = world.propose("reduce_meetings").id
    assert decide(world, which, account) == status
    assert world.status(which) == (status, code)


def test_no_answer_in_time_is_no_approval(world):
    which = world.propose("reduce_meetings").id
    assert decide(world, which, at=NOW + timedelta(hours=24)) == "expired"
    other = world.propose("reduce_meetings", "Sales").id
    with world.desk() as desk:
        assert review.expire(desk.connection, NOW + timedelta(hours=23), "sweep") == 0
        assert review.expire(desk.connection, NOW + timedelta(hours=25), "sweep") == 1
    assert world.status(other) == ("expired", "expired")


def test_four_eyes(world):
    """Neither the proposer nor who approved the last HIGH action; MEDIUM knows no such rule."""
    first = world.propose("role_change", parameters={"role": "x"}, change=-0.1, by="ann").id
    assert begin(world, first).approvers == ["bo"]
    assert decide(world, first, "bo") == "approved"
    second = world.propose("role_change", "Sales", parameters={"role": "x"}, change=-0.1, by="cy").id
    assert begin(world, second).approvers == ["ann"]
    assert decide(world, second, "bo") == "refused"
    assert world.status(second) == ("refused", "approver_not_allowed")
    assert world.propose("reduce_meetings", "Design", by="ann").status == "pending_approval"
    alone = world.propose("role_change", "Support", parameters={"role": "x"}, change=-0.1, by="ann", approvers=("ann",))
    assert alone.reason_code == "no_approver"


def test_a_double_click_decides_once(world):
    which = world.propose("reduce_meetings").id
    start, said = threading.Barrier(4), []

    def click(approved):
        start.wait()
        said.append(decide(world, which, approved=approved))

    clicks = [threading.Thread(target=click, args=(number % 2 == 0,)) for number in range(4)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join()
    assert len(set(said)) == 1
    assert len(world.events(which)) == 2


def test_the_same_proposal_at_once_is_one(world):
    world.estimate()
    start = threading.Barrier(3)

    def run():
        start.wait()
        suggest(world, max_proposals=1)

    runs = [threading.Thread(target=run) for _ in range(3)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert len(shown(world)) == 1
    with world.desk() as desk:
        assert len(store.listed(desk.connection, ["pending_approval"], 10)) == 1

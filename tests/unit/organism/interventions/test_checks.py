"""The checks, one by one: their order, their codes, and that what is unknown refuses."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.operations.errors import InputRejected
from include.organism.interventions import checks
from include.organism.interventions.catalogue import CATALOGUE, FORBIDDEN, Impact
from include.organism.interventions.checks import Budget, Case, Switches
from include.organism.interventions.evidence import Estimate, Freshness
from include.organism.interventions.population import Group
from include.organism.interventions.settings import FLOOR, Mode, Settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ESTIMATE = Estimate(
    id=1,
    specification_hash="s",
    treatment="degree_centrality",
    outcome="burnout_score",
    verdict="supported",
    estimate=60.0,
    ci_low=50.0,
    ci_high=70.0,
    clusters=200,
    q_value=0.001,
    placebo_p=0.6,
    lead_p=0.4,
    overlap_ok=True,
    sign_stable=True,
)
GROUP = Group(size=30, complement=270, treated=frozenset(map(str, range(14))), held_out=4, excluded=2, council=False)
GOOD = Case(
    action="reduce_meetings",
    outcome="burnout_score",
    now=NOW,
    expires_at=NOW + timedelta(hours=24),
    settings=Settings(mode=Mode.REVIEW, approvers=("ann",)),
    switches=Switches(variable=True, database=True),
    freshness=Freshness(NOW - timedelta(hours=3), 298),
    estimates=[ESTIMATE],
    evidence=1,
    expected=(-6.0, -7.0, -5.0),
    group=GROUP,
    people=310,
    measurable=300,
    holdout=45,
    budget=Budget(rested=True, week=14, today=0, open=False),
    approvers=["ann"],
)


def with_estimate(**changes):
    return {"estimates": [replace(ESTIMATE, **changes)]}


def with_group(**changes):
    return {"group": replace(GROUP, **changes)}


def with_budget(**changes):
    return {"budget": replace(GOOD.budget, **changes)}


# In the order of the checks; each must be refused by its own code also when everything after it is wrong, too.
CASES = [
    ("kill_switch_unreadable", {"switches": Switches(variable=None, database=True)}),
    ("kill_switch_unreadable", {"switches": Switches(variable=True, database=None)}),
    ("kill_switch", {"switches": Switches(variable=False, database=True)}),
    ("kill_switch", {"switches": Switches(variable=True, database=False)}),
    ("forbidden_action", {"action": "fire_employee"}),
    ("unknown_action", {"action": "improve_morale"}),
    ("action_disabled", {"switches": Switches(variable=True, database=True, disabled="")}),
    ("stale_metrics", {"freshness": Freshness(None, 0)}),
    ("stale_metrics", {"freshness": Freshness(NOW - timedelta(hours=12, seconds=1), 298)}),
    ("stale_metrics", {"freshness": Freshness(NOW + timedelta(seconds=1), 298)}),
    ("low_coverage", {"freshness": Freshness(NOW, 284)}),
    ("low_coverage", {"measurable": 0}),
    ("no_evidence", {"estimates": []}),
    ("no_evidence", {"evidence": 0, "estimates": []}),
    ("no_evidence", {"evidence": 2}),
    ("not_supported", with_estimate(verdict="suggestive")),
    ("other_outcome", with_estimate(outcome="turnover")),
    ("interval_has_zero", with_estimate(ci_low=-1.0)),
    ("interval_has_zero", with_estimate(ci_low=math.nan, ci_high=math.nan)),
    ("placebo_failed", with_estimate(placebo_p=0.01)),
    ("placebo_failed", with_estimate(placebo_p=math.nan)),
    ("leads_failed", with_estimate(lead_p=math.nan)),
    ("no_overlap", with_estimate(overlap_ok=None)),
    ("few_clusters", with_estimate(clusters=49)),
    ("sign_unstable", with_estimate(sign_stable=None)),
    ("multiple_tests", with_estimate(q_value=0.06)),
    ("multiple_tests", with_estimate(q_value=math.nan)),
    ("no_expected_effect", {"expected": None}),
    ("no_expected_effect", {"expected": (1.0, math.nan, 2.0)}),
    ("small_group", with_group(treated=frozenset(map(str, range(9))))),
    ("small_complement", with_group(complement=9)),
    ("small_complement", with_group(complement=1)),
    ("excluded_group", with_group(council=True)),
    ("mostly_excluded", with_group(excluded=16)),
    ("already_open", with_budget(open=True)),
    ("cool_down", with_budget(rested=False)),
    ("daily_budget", with_budget(today=3)),
    ("blast_radius", with_budget(week=16)),
    ("no_holdout", {"holdout": 9}),
    ("no_approver", {"approvers": []}),
]


def test_a_good_case_passes():
    assert checks.first_refusal(GOOD) is None
    assert checks.first_refusal(GOOD, checks.BEFORE_EXECUTION) is None


@pytest.mark.parametrize(("code", "changes"), CASES)
def test_each_refusal_has_its_code(code, changes):
    assert checks.first_refusal(replace(GOOD, **changes)).code == code


@pytest.mark.parametrize("number", range(1, len(CASES)))
def test_the_first_in_order_decides(number):
    """With the change of each case that comes later, the code of the earlier one stands."""
    code, changes = CASES[number - 1]
    later = {name: value for _, more in CASES[number:] for name, value in more.items() if name not in changes}
    assert checks.first_refusal(replace(GOOD, **{**later, **changes})).code == code


def test_whole_organisation_has_no_complement():
    assert checks.first_refusal(replace(GOOD, **with_group(complement=0))) is None


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("mode_shadow", {"settings": replace(GOOD.settings, mode=Mode.SHADOW)}),
        ("expired", {"now": GOOD.expires_at, "freshness": Freshness(GOOD.expires_at, 298)}),
        ("blast_radius", with_budget(week=16)),
        ("kill_switch", {"switches": Switches(variable=True, database=False)}),
    ],
)
def test_before_execution_mode_and_expiry_are_asked_too(code, changes):
    assert checks.first_refusal(replace(GOOD, **changes), checks.BEFORE_EXECUTION).code == code


def test_no_setting_lowers_the_group_below_five():
    assert Settings(min_group=5).group_floor("turnover") == FLOOR == 5
    assert Settings(min_group=1, min_group_burnout=1).group_floor("burnout_score") == FLOOR
    assert Settings().group_floor("burnout_score") == 10
    with pytest.raises(InputRejected, match="INTERVENTION_MIN_GROUP"):
        Settings.from_env({"INTERVENTION_MIN_GROUP": "4"})


@pytest.mark.parametrize("action", CATALOGUE.values(), ids=lambda action: action.name)
@pytest.mark.parametrize("mode", Mode)
def test_only_low_in_live_runs_by_itself(action, mode):
    alone = action.impact is Impact.LOW and mode is Mode.LIVE
    assert checks.needs_person(action.name, mode) is not alone


def test_what_is_not_known_needs_a_person():
    assert checks.needs_person("fire_employee", Mode.LIVE)
    assert not set(FORBIDDEN) & set(CATALOGUE)


@pytest.mark.parametrize(
    ("impact", "allowed"), [("LOW", ["ann", "bo", "cy"]), ("MEDIUM", ["ann", "bo", "cy"]), ("HIGH", ["cy"])]
)
def test_four_eyes(impact, allowed):
    assert checks.eligible(("cy", "ann", "bo"), impact, "ann", "bo") == allowed


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("MODE", "on", True),
        ("HOLDOUT_SHARE", "0.05", True),
        ("HOLDOUT_SHARE", "0.2", False),
        ("HOLDOUT_SHARE", "0.21", True),
        ("WEEKLY_SHARE", "nan", True),
        ("DAILY_ACTIONS", "2.5", True),
        ("APPROVERS", "ann, bo", False),
    ],
)
def test_settings_refuse_what_makes_no_sense(name, value, wrong):
    environ = {f"INTERVENTION_{name}": value}
    if not wrong:
        Settings.from_env(environ)
        return
    with pytest.raises(InputRejected, match=f"INTERVENTION_{name}"):
        Settings.from_env(environ)


def test_defaults_do_nothing():
    found = Settings.from_env({})
    assert (found.mode, found.approvers) == (Mode.SHADOW, ())
    assert Settings.from_env({"INTERVENTION_EXCLUDED_ROLES": ""}).excluded_roles == ()


@pytest.mark.parametrize("action", CATALOGUE.values(), ids=lambda action: action.name)
def test_every_action_says_how_it_is_undone(action):
    assert action.reversible_by
    if action.automatic:
        values = action.read({})
        assert action.change(10.0, values) < 0


def test_parameters_are_checked():
    meetings = CATALOGUE["reduce_meetings"]
    assert meetings.read({}) == {"percent": 50}
    for wrong in ({"percent": 0}, {"percent": math.nan}, {"percent": "50"}, {"percent": True}, {"person": "p1"}):
        with pytest.raises(InputRejected):
            meetings.read(wrong)
    with pytest.raises(InputRejected):
        CATALOGUE["role_change"].read({})
    with pytest.raises(InputRejected):
        CATALOGUE["role_change"].read({"role": "x\n"})
    assert meetings.change(0.2, {"percent": 50}) == pytest.approx(-0.1)
    assert CATALOGUE["schedule_focus_time"].change(0.2, {"minutes": 120, "per_week": 2}) == pytest.approx(-0.02)
    assert meetings.change(math.nan, {"percent": 50}) is None

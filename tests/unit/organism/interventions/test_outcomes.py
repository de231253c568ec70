"""Difference-in-differences against a peer, and what counts as harm."""

import random

import pytest
from scipy import stats

from include.organism.interventions.catalogue import Rule
from include.organism.interventions.outcomes import CONTACT, Difference, difference, judge

FOUND = Difference(treated=20, holdout=20, before=50.0, after=50.0, effect=0.0, low=-3.0, high=3.0)


def pairs(count, effect, dice):
    return [(before := dice.gauss(50, 10), before + effect + dice.gauss(0, 4)) for _ in range(count)]


def test_it_equals_welchs_interval_of_the_changes():
    dice = random.Random(4)
    treated, holdout = pairs(23, 5, dice), pairs(41, 1, dice)
    found = difference(treated, holdout)
    peer = stats.ttest_ind([b - a for a, b in treated], [b - a for a, b in holdout], equal_var=False)
    low, high = peer.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
    assert found.effect == pytest.approx((found.low + found.high) / 2)
    assert (found.treated, found.holdout) == (23, 41)


def test_the_interval_covers_the_true_effect():
    """95 % of 400 draws, within what chance allows (binomial, 4 standard errors)."""
    covered = 0
    for seed in range(400):
        dice = random.Random(seed)
        found = difference(pairs(12, 3.0, dice), pairs(30, 0.0, dice))
        covered += found.low <= 3.0 <= found.high
    assert covered / 400 >= 0.95 - 4 * (0.95 * 0.05 / 400) ** 0.5


def test_what_changes_for_everybody_is_no_effect():
    found = difference([(40, 60), (50, 70)], [(10, 30), (20, 40)])
    assert (found.effect, found.low, found.high) == (0, 0, 0)
    assert (found.before, found.after) == (45, 65)


@pytest.mark.parametrize(
    ("effect", "low", "high", "verdict"),
    [
        (2, 0.5, 3.5, "harmful"),
        (2, -1, 5, "no_difference"),
        (10.1, -5, 25, "harmful"),  # more than a fifth of 50, even if uncertain
        (9.9, -5, 25, "no_difference"),
        (-2, -3.5, -0.5, "improved"),
        (-20, -41, 1, "no_difference"),
    ],
)
def test_burnout_is_judged_by_its_rule(effect, low, high, verdict):
    found = Difference(20, 20, 50.0, 50.0 + effect, effect, low, high)
    assert judge(found, "burnout_score", Rule()).verdict == verdict


def test_where_more_is_better_less_is_harm():
    rule = Rule(metric="engagement", better=1)
    assert judge(Difference(20, 20, 50, 45, -5, -7, -3), "engagement", rule).verdict == "harmful"
    assert judge(Difference(20, 20, 50, 55, 5, 3, 7), "engagement", rule).verdict == "improved"


@pytest.mark.parametrize(
    ("least", "effect", "verdict"),
    [(0.7, -0.031, "harmful"), (0.7, -0.029, "no_difference"), (None, -0.09, "no_difference")],
)
def test_losing_contacts_is_harm_unless_it_is_the_purpose(least, effect, verdict):
    found = Difference(20, 20, 0.1, 0.1 + effect, effect, effect - 0.01, effect + 0.01)
    assert judge(found, CONTACT, Rule(least_contact=least)).verdict == verdict

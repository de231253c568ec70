"""What is said of an estimate, and what takes it back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from include.organism.analysis.verdict import REASONS, Evidence, Verdict, judge
from include.organism.causal.spec import Effect


def effect(estimate=10.0, p_value=0.001, std_error=2.0):
    return Effect(estimate, std_error, estimate / std_error, p_value, estimate - 4, estimate + 4)


GOOD = Evidence(
    effect(),
    q_value=0.002,
    placebo_p=0.4,
    lead_p=0.5,
    second=effect(9.5),
    second_applies=True,
    robustness_value=0.2,
)


def test_supported():
    assert judge(GOOD) == (Verdict.SUPPORTED, [])


@pytest.mark.parametrize(
    ("change", "verdict", "code"),
    [
        ({"placebo_p": 0.04}, Verdict.REFUSED, "placebo_failed"),
        ({"placebo_p": math.nan}, Verdict.REFUSED, "placebo_failed"),
        ({"lead_p": 0.04}, Verdict.NOT_IDENTIFIED, "leads_matter"),
        ({"effect": effect(p_value=0.3), "q_value": 0.3}, Verdict.NOT_IDENTIFIED, "no_clear_effect"),
        ({"effect": effect(p_value=math.nan)}, Verdict.NOT_IDENTIFIED, "no_clear_effect"),
        ({"effect": effect(p_value=0.07), "q_value": 0.07}, Verdict.SUGGESTIVE, "no_clear_effect"),
        ({"q_value": 0.06}, Verdict.SUGGESTIVE, "not_after_correction"),
        ({"lead_p": None}, Verdict.SUGGESTIVE, "no_leads"),
        ({"second": None}, Verdict.SUGGESTIVE, "no_second_engine"),
        ({"second": effect(-1.0)}, Verdict.SUGGESTIVE, "engines_disagree"),
        ({"second": effect(20.0)}, Verdict.SUGGESTIVE, "engines_disagree"),
        ({"robustness_value": 0.01}, Verdict.SUGGESTIVE, "fragile"),
        ({"robustness_value": math.nan}, Verdict.SUGGESTIVE, "fragile"),
    ],
)
def test_each_doubt_by_itself(change, verdict, code):
    assert judge(replace(GOOD, **change)) == (verdict, [code])
    assert code in REASONS


def test_all_doubts_are_said_and_the_weightiest_decides():
    bad = replace(GOOD, placebo_p=0.01, lead_p=0.01, second=None)
    assert judge(bad) == (Verdict.REFUSED, ["placebo_failed", "leads_matter", "no_second_engine"])


def test_a_placebo_that_cannot_be_tried_refuses_nothing():
    assert judge(replace(GOOD, placebo_p=None))[0] is Verdict.SUPPORTED


def test_a_second_engine_that_has_nothing_to_add_is_no_doubt():
    assert judge(replace(GOOD, second=None, second_applies=False))[0] is Verdict.SUPPORTED

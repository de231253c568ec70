"""What may be said of an estimate: supported, suggestive, not identified, or refused, and why in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from include.organism.causal.spec import Effect

SIGNIFICANT: Final = 0.05
SUGGESTIVE: Final = 0.10
# A confounder that explains less than this share of both residual variances would undo the estimate.
LEAST_ROBUSTNESS: Final = 0.05

REASONS: Final[dict[str, str]] = {
    "stale_metrics": "The graph's metrics are not of this run, so that the newest period would be a guess.",
    "no_assessments": "There are no consented scores in the span.",
    "placebo_failed": "A treatment that cannot have worked seems to: the method finds effects where there are none.",
    "leads_matter": "Later treatment goes with today's outcome: what drives the outcome may drive the treatment.",
    "no_leads": "Too few people are seen in consecutive periods for a look at later treatment.",
    "no_clear_effect": "The interval holds zero: the data do not tell an effect from none.",
    "not_after_correction": "It is clear by itself, but not among this many questions asked of the same data.",
    "engines_disagree": "Double machine learning finds another effect: the answer hangs on how confounders act.",
    "no_overlap": "The treatment varies too little within people, or for too few of them.",
    "no_second_engine": "Double machine learning gave no estimate to compare with.",
    "fragile": "A weak unobserved confounder would be enough to undo it.",
}
ASSUMPTIONS: Final = (
    "What makes people differ for good (character, job, contract) is taken out, and so is what changes for everybody"
    " alike (season, a busy quarter). What changes for single people at the same time as the treatment is not.",
    "The outcome follows the treatment within the same period and does not cause it: nobody gets more contacts because"
    " of being exhausted. The look at later treatment would show it, if it is strong.",
    "One person's treatment does not change another one's outcome.",
    "People whose scores are missing are not missing because of the treatment and the outcome together.",
)


class Verdict(StrEnum):
    """How far an answer carries."""

    SUPPORTED = "supported"
    SUGGESTIVE = "suggestive"
    NOT_IDENTIFIED = "not identified"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict is made of.

    Attributes:
        effect: the within estimate.
        q_value: its p value after Benjamini and Hochberg's correction over the run's estimates.
        placebo_p: p value of a treatment that cannot have worked; None: it could not be tried.
        lead_p: joint p value of later treatment; None: it could not be looked at.
        second: estimate of the second engine; None: it gave none.
        second_applies: whether the second engine could differ at all: without confounders it has nothing to add.
        robustness_value: Cinelli and Hazlett's robustness value for the estimate itself, 0 to 1.
    """

    effect: Effect
    q_value: float
    placebo_p: float | None
    lead_p: float | None
    second: Effect | None
    second_applies: bool
    robustness_value: float


def judge(evidence: Evidence) -> tuple[Verdict, list[str]]:
    """The verdict, and codes of all that speaks against the estimate, the weightiest first."""
    refusing = [code for code, holds in (("placebo_failed", _below(evidence.placebo_p)),) if holds]
    breaking = [
        code
        for code, holds in (
            ("leads_matter", _below(evidence.lead_p)),
            ("no_clear_effect", not evidence.effect.p_value < SUGGESTIVE),
        )
        if holds
    ]
    weakening = [
        code
        for code, holds in (
            ("no_clear_effect", SIGNIFICANT <= evidence.effect.p_value < SUGGESTIVE),
            ("not_after_correction", evidence.effect.p_value < SIGNIFICANT <= evidence.q_value),
            ("no_leads", evidence.lead_p is None),
            ("no_second_engine", evidence.second_applies and evidence.second is None),
            ("engines_disagree", evidence.second is not None and _disagree(evidence.effect, evidence.second)),
            ("fragile", not evidence.robustness_value >= LEAST_ROBUSTNESS),
        )
        if holds
    ]
    codes = [*refusing, *breaking, *weakening]
    if refusing:
        return Verdict.REFUSED, codes
    if breaking:
        return Verdict.NOT_IDENTIFIED, codes
    return (Verdict.SUGGESTIVE if weakening else Verdict.SUPPORTED), codes


def _below(p_value: float | None) -> bool:
    # A NaN is no pass.
    return p_value is not None and not p_value >= SIGNIFICANT


def _disagree(one: Effect, other: Effect) -> bool:
    apart = abs(one.estimate - other.estimate)
    # The two rest on the same rows, so that this is a generous allowance.
    return one.estimate * other.estimate < 0 or not apart <= 2 * math.hypot(one.std_error, other.std_error)

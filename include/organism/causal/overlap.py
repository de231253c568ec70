"""Whether the data vary enough to answer: how much of the treatment is left, and how many people it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from include.organism.causal.spec import Fit

# Below these the estimate may be right, and is not shown to be.
LEAST_RESIDUAL_SHARE = 0.01
LEAST_VARYING_SHARE = 0.1
LEAST_EFFECTIVE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the estimate is made from."""

    ok: bool
    within_share: float
    """Of the treatment's variance, after person and period effects."""
    residual_share: float
    """Of it, after the confounders, too."""
    varying_share: float
    """Of people: those whose treatment changes."""
    effective_people: float
    """So many equal people would say as much."""
    words: tuple[str, ...]
    """What is too little, in plain words."""


def overlap(fit: Fit) -> Overlap:
    """Judge the variation a fit rests on."""
    varying = fit.varying_people / fit.people
    words = []
    if fit.treatment_residual_share < LEAST_RESIDUAL_SHARE:
        words.append(
            f"Only {fit.treatment_residual_share:.1%} of the treatment's differences are left after people, periods "
            "and confounders are held fixed."
        )
    if varying < LEAST_VARYING_SHARE:
        words.append(f"The treatment changes for only {varying:.1%} of the people.")
    if fit.effective_people < LEAST_EFFECTIVE_SHARE * fit.people:
        words.append(
            f"The estimate rests on few people: as if there were {fit.effective_people:,.0f} of {fit.people:,}."
        )
    return Overlap(
        ok=not words,
        within_share=fit.treatment_within_share,
        residual_share=fit.treatment_residual_share,
        varying_share=varying,
        effective_people=fit.effective_people,
        words=tuple(words),
    )

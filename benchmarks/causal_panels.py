"""Panels whose true effect is known, for tests and benchmarks: people x weeks, with hidden differences."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

TRUE_EFFECT: Final = 0.25


def panel(
    people: int,
    weeks: int,
    *,
    seed: int,
    covariates: int = 2,
    effect: float = TRUE_EFFECT,
    missing: float = 0.0,
    persistence: float = 0.0,
) -> pl.DataFrame:
    """Columns `person`, `period`, `treatment`, `outcome`, `x0`...: rows in a random order.

    A person's level a and the week's level raise both treatment and outcome, so that a pooled regression is biased:
    treatment = .5 x0 + .4 a + .2 g + noise, outcome = effect x treatment + x0 + .8 a + .5 g + noise. `missing` is the
    share of rows left out, more of them for people of a high level; `persistence` the autocorrelation of both noises.
    """
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(people)
    person = np.repeat(np.arange(people), weeks)
    week = np.tile(np.arange(weeks), people)
    a, g = level[person], np.sin(week / 8)
    x = rng.standard_normal((people * weeks, covariates))
    treatment = 0.5 * x[:, 0] + 0.4 * a + 0.2 * g + _noise(rng, people, weeks, persistence)
    outcome = effect * treatment + x[:, 0] + 0.8 * a + 0.5 * g + _noise(rng, people, weeks, persistence)
    names = [f"x{place}" for place in range(covariates)]
    frame = pl.DataFrame(
        {"person": person, "period": week, "treatment": treatment, "outcome": outcome}
        | {name: x[:, place] for place, name in enumerate(names)}
    )
    if missing:
        gone = rng.random(len(frame)) < np.clip(missing * (1 + 0.5 * a), 0, 1)
        frame = frame.filter(~pl.Series(gone))
    return frame[rng.permutation(len(frame))]


def _noise(rng: np.random.Generator, people: int, weeks: int, persistence: float) -> np.ndarray:
    fresh = rng.standard_normal((people, weeks))
    if persistence:
        for week in range(1, weeks):
            fresh[:, week] = persistence * fresh[:, week - 1] + np.sqrt(1 - persistence**2) * fresh[:, week]
    return fresh.ravel()

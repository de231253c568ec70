"""Placebos: every person gets the treatment history of somebody else, which cannot have worked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from include.organism.causal.engine import Panel
from include.organism.causal.engine_local import ArrayPanel
from include.organism.causal.kernels import Floats
from include.organism.causal.regression import WITHIN, estimate
from include.organism.causal.spec import Fit, Limits, PanelSpec, Refused

DRAWS = 199
# Placebos are fitted many times; this many rows show what they can show.
ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Placebo:
    """What the estimator says of treatments without effect."""

    draws: int
    """Placebos that could be fitted."""
    rows: int
    """Rows of the sample they were fitted on."""
    mean: float
    """Mean of their estimates, which should be 0."""
    spread: float
    """Standard deviation of their estimates, which should be near the standard error."""
    rejected: float
    """Share of them called significant at 5 %, which should be about 5 %."""
    p_value: float
    """Of at least so many being called significant if the errors are right (binomial). Small: the errors are too
    small, and the estimate is not to be trusted."""
    randomisation_p: float
    """Share of placebos with a t at least as large as the real treatment's on the same rows (Fisher's test)."""


def placebo(
    panel: Panel, spec: PanelSpec, *, draws: int = DRAWS, rows: int = ROWS, seed: int = 0, limits: Limits | None = None
) -> Placebo | Refused:
    """Swap whole histories between people, so that their persistence is kept, and estimate again, `draws` times.

    In each period the values are those of that period, permuted; where the other person has none, the row is left out.
    """
    from scipy import stats

    frame = panel.sample(rows, seed).drop_nulls(spec.numbers)
    plain = replace(spec, cluster=None)
    person, period = _codes(frame[spec.person].to_numpy()), frame[spec.period].to_numpy()
    values = frame.select(spec.numbers).to_numpy(order="c")
    real = _fit(person, period, values, plain, limits)
    if isinstance(real, Refused):
        return real
    columns = _codes(period)
    histories = np.full((person.max() + 1, columns.max() + 1), np.nan)
    histories[person, columns] = values[:, 1]
    rng = np.random.default_rng(seed)
    fits: list[Fit] = []
    for _ in range(draws):
        lent = histories[rng.permutation(len(histories))][person, columns]
        there = ~np.isnan(lent)
        swapped = values[there]
        swapped[:, 1] = lent[there]
        fit = _fit(person[there], period[there], swapped, plain, limits)
        if isinstance(fit, Fit):
            fits.append(fit)
        elif not fits:
            return fit
    estimates = np.array([fit.effect.estimate for fit in fits])
    rejected = sum(fit.effect.p_value < 0.05 for fit in fits)
    larger = sum(abs(fit.effect.t) >= abs(real.effect.t) for fit in fits)
    return Placebo(
        draws=len(fits),
        rows=real.rows,
        mean=float(estimates.mean()),
        spread=float(estimates.std(ddof=1)) if len(fits) > 1 else 0.0,
        rejected=rejected / len(fits),
        p_value=float(stats.binom.sf(rejected - 1, len(fits), 0.05)),
        randomisation_p=(1 + larger) / (1 + len(fits)),
    )


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _fit(
    person: np.ndarray, period: np.ndarray, values: Floats, spec: PanelSpec, limits: Limits | None
) -> Fit | Refused:
    return estimate(ArrayPanel(person, period, values), spec, "local", methods=(WITHIN,), limits=limits)[WITHIN]

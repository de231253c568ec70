"""How strong an unobserved confounder would have to be (Cinelli and Hazlett 2020, JRSS B 82, equations 7, 13 to 16).

Partial R2 are shares of what is left after the person and period effects and the confounders. The interval is the
cluster-robust one: a confounder moves it, and its width is taken as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.organism.causal import solve
from include.organism.causal.kernels import Floats
from include.organism.causal.spec import Effect, Fit


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A hypothetical confounder `times` as strong as an observed one."""

    confounder: str
    times: float
    treatment_r2: float
    """Share of the treatment's residual variance it would explain."""
    outcome_r2: float
    """Share of the outcome's residual variance it would explain."""
    estimate: float
    """The estimate, moved towards zero by such a confounder."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What would undo the estimate."""

    partial_r2: float
    """Share of the outcome's residual variance the treatment explains: a confounder that explains all that is left of
    the outcome has to explain this much of the treatment."""
    robustness_value: float
    """A confounder that explains this share of both residual variances brings the estimate to zero."""
    robustness_value_interval: float
    """The share that makes the 95 % interval include zero; 0: it does already."""
    benchmarks: tuple[Benchmark, ...]


def sensitivity(fit: Fit, *, times: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Sensitivity:
    """Robustness values, and what confounders as strong as the observed ones would leave of the estimate."""
    ratio = _sd_ratio(fit)
    reach = abs(fit.effect.low if fit.effect.estimate > 0 else fit.effect.high)
    crosses = fit.effect.low <= 0 <= fit.effect.high
    return Sensitivity(
        partial_r2=_partial_r2(fit.gram, 0, 1),
        robustness_value=robustness(abs(fit.effect.estimate) / ratio),
        robustness_value_interval=0.0 if crosses else robustness(reach / ratio),
        benchmarks=tuple(
            found
            for place, name in enumerate(fit.names[1:], start=2)
            for k in times
            if (found := _benchmark(fit, place, name, k, ratio)) is not None
        ),
    )


def robustness(f: float) -> float:
    """The robustness value of a bias of `f` residual standard deviation ratios: (sqrt(f^4 + 4 f^2) - f^2) / 2."""
    return 0.5 * (float(np.sqrt(f**4 + 4 * f**2)) - f**2)


def moved(effect: Effect, ratio: float, treatment_r2: float, outcome_r2: float) -> float:
    """The estimate less the bias that such a confounder makes at most, towards zero; it may change its sign."""
    bias = ratio * float(np.sqrt(outcome_r2 * treatment_r2 / (1 - treatment_r2)))
    return float(np.sign(effect.estimate) * (abs(effect.estimate) - bias))


def _sd_ratio(fit: Fit) -> float:
    """Residual standard deviation of the outcome over that of the treatment."""
    treatment = 1 / solve.inverse(fit.gram[1:, 1:])[0, 0]
    outcome = 1 / solve.inverse(fit.gram)[0, 0]
    return float(np.sqrt(outcome / treatment))


def _partial_r2(gram: Floats, one: int, other: int) -> float:
    """Squared correlation of two columns after all the others are taken out of both."""
    inverse = solve.inverse(gram)
    return float(inverse[one, other] ** 2 / (inverse[one, one] * inverse[other, other]))


def _benchmark(fit: Fit, place: int, name: str, k: float, ratio: float) -> Benchmark | None:
    """Bounds of section 4.4, None when no confounder can be so strong: it would explain more than everything."""
    with_treatment = _partial_r2(fit.gram[1:, 1:], 0, place - 1)
    with_outcome = _partial_r2(fit.gram, 0, place)
    treatment_r2 = k * with_treatment / (1 - with_treatment)
    if treatment_r2 >= 1:
        return None
    correlation = k * with_treatment**2 / ((1 - k * with_treatment) * (1 - with_treatment))
    if not 0 <= correlation < 1:
        return None
    outcome_r2 = ((np.sqrt(k) + np.sqrt(correlation)) / np.sqrt(1 - correlation)) ** 2
    outcome_r2 = min(1.0, float(outcome_r2 * with_outcome / (1 - with_outcome)))
    return Benchmark(name, k, treatment_r2, outcome_r2, moved(fit.effect, ratio, treatment_r2, outcome_r2))

"""Errors, intervals and tests from cluster-robust covariances; Benjamini and Hochberg's correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from include.organism.causal.kernels import Floats
from include.organism.causal.spec import Effect, Fit

LEVEL = 0.95


class Estimated(Protocol):
    """What has coefficients, their covariance and degrees of freedom."""

    @property
    def coefficients(self) -> Floats:
        """The estimates."""
        ...

    @property
    def covariance(self) -> Floats:
        """Their covariance."""
        ...

    @property
    def df(self) -> int:
        """Degrees of freedom of the t distribution."""
        ...


def crv1(bread: Floats, meat: Floats, *, rows: int, clusters: int, unknowns: int) -> Floats:
    """Cluster-robust covariance, (X'X)^-1 M (X'X)^-1 times G / (G - 1) times (N - 1) / (N - k).

    That is `ssc(k_adj=True, k_fixef="nonnested", G_adj=True)`, the default of pyfixest 0.60 and of fixest.
    """
    factor = clusters / (clusters - 1) * (rows - 1) / (rows - unknowns)
    covariance: Floats = factor * bread @ meat @ bread
    return (covariance + covariance.T) / 2


def effect_of(fit: Fit, name: str) -> Effect:
    """The effect of any regressor of a fit, by its name.

    Raises:
        InputRejected: there is none of that name, or it was dropped.
    """
    return effect(fit, fit.weights({name: 1.0}))


def effect(fit: Estimated, weights: Floats) -> Effect:
    """The weighted sum of coefficients, its error and interval by the t distribution."""
    return from_error(float(weights @ fit.coefficients), float(np.sqrt(weights @ fit.covariance @ weights)), fit.df)


def from_error(estimate: float, std_error: float, df: float) -> Effect:
    """Interval and two-sided p value of an estimate; `df` may be infinite (normal distribution)."""
    from scipy import stats

    spread = float(stats.t.ppf((1 + LEVEL) / 2, df)) * std_error
    t = estimate / std_error if std_error > 0 else float(np.copysign(np.inf, estimate)) if estimate else 0.0
    return Effect(estimate, std_error, t, float(2 * stats.t.sf(abs(t), df)), estimate - spread, estimate + spread)


def wald(fit: Estimated, positions: Sequence[int]) -> tuple[float, float]:
    """Whether some coefficients are all zero: F = b' V^-1 b / m and its p value, F distributed with (m, G - 1)."""
    from scipy import stats

    chosen = np.array(positions)
    b, v = fit.coefficients[chosen], fit.covariance[np.ix_(chosen, chosen)]
    # The covariance of many coefficients from few clusters is singular: the part that is known is tested.
    statistic, rank = float(b @ np.linalg.pinv(v, hermitian=True) @ b), int(np.linalg.matrix_rank(v, hermitian=True))
    if rank == 0:
        return 0.0, 1.0
    f = statistic / rank
    return f, float(stats.f.sf(f, rank, fit.df))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Q values in the order given: the smallest false discovery rate at which each hypothesis is rejected.

    Benjamini and Hochberg 1995: the minimum, over the p values not below one's own, of p m / rank.
    """
    from scipy import stats

    if not len(p_values):
        return []
    return [float(q) for q in stats.false_discovery_control(list(p_values), method="bh")]

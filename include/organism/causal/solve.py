"""From sums to coefficients: period effects, what cannot be told apart, and the normal equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.organism.causal.kernels import Design, Floats, Moments
from include.organism.causal.spec import Refused

# Of a column's variance: less than this is rounding, as in fixest and pyfixest.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal equations after the effects are taken out."""

    effects: Floats | None
    """T x q: the period effects of each column; None in a pooled regression."""
    gram: Floats
    """q x q: cross products of what is left."""
    total: Floats
    """q: the variance sums before anything was taken out, the scale on which "nothing is left" is judged."""


def normal_within(moments: Moments) -> Normal:
    """Solve the period effects exactly and take them out.

    The T x T matrix is singular once for each group of periods that shares people (connected component of the panel):
    the first period of each is the base.
    """
    matrix = np.diag(moments.period_rows) - moments.crossed
    free = np.ones(len(matrix), dtype=bool)
    free[moments.period_rows == 0] = False
    free[first_of_components(moments.crossed)] = False
    effects = np.zeros_like(moments.by_period)
    if free.any():
        effects[free] = np.linalg.solve(matrix[np.ix_(free, free)], moments.by_period[free])
    gram = moments.within - moments.by_period.T @ effects
    return Normal(effects, (gram + gram.T) / 2, _total(moments))


def normal_pooled(moments: Moments) -> Normal:
    """Take out the means only."""
    gram = moments.products - np.outer(moments.total, moments.total) / moments.rows
    return Normal(None, (gram + gram.T) / 2, _total(moments))


def first_of_components(crossed: Floats) -> list[int]:
    """The first period of each group of periods that are linked by people."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(csr_array(crossed > 0), directed=False)
    return [int(first) for first in np.unique(labels, return_index=True)[1]]


def design(
    normal: Normal, moments: Moments, shift: Floats, names: tuple[str, ...]
) -> tuple[Design, dict[str, str]] | Refused:
    """Choose the regressors that can be told apart and solve for the coefficients.

    `names` are the outcome, the treatment, the confounders. Also says which confounders were dropped, and why.
    """
    within = normal.effects is not None
    share = np.divide(np.diag(normal.gram), normal.total, out=np.zeros(len(names)), where=normal.total > 0)
    if share[0] < _TOLERANCE:
        return Refused.because("constant_outcome")
    if share[1] < _TOLERANCE:
        return Refused.because("constant_treatment")
    scale = np.sqrt(np.where(share < _TOLERANCE, 1.0, np.diag(normal.gram)))
    scaled = normal.gram / np.outer(scale, scale)
    dropped: dict[str, str] = {}
    kept: list[int] = []
    for column in range(2, len(names)):
        if share[column] < _TOLERANCE:
            dropped[names[column]] = (
                "it does not change over time, beyond what changes for everybody alike: the person effects hold it"
                if within
                else "it is the same in all rows"
            )
        elif _left(scaled, column, kept) < _TOLERANCE:
            dropped[names[column]] = "the other confounders determine it"
        else:
            kept.append(column)
    # The treatment comes last, so that a confounder is never dropped in its favour.
    if _left(scaled, 1, kept) < _TOLERANCE:
        return Refused.because("collinear_treatment")
    chosen = (0, 1, *kept)
    effects = None if normal.effects is None else normal.effects[:, list(chosen)]
    moved = np.array(shift[list(chosen)])
    if not within:
        moved += moments.total[list(chosen)] / moments.rows
    beta, pivot = coefficients(normal.gram[np.ix_(chosen, chosen)])
    return Design(chosen, moved, effects, beta, pivot), dropped


def coefficients(gram: Floats) -> tuple[Floats, Floats]:
    """Coefficients of the outcome (column 0) on the rest, and the combination that is the treatment's residual."""
    pivot = np.zeros(len(gram) - 1)
    pivot[0] = 1.0
    if len(gram) > 2:
        pivot[1:] = -inverse(gram[2:, 2:]) @ gram[2:, 1]
    return inverse(gram[1:, 1:]) @ gram[1:, 0], pivot


def inverse(gram: Floats) -> Floats:
    """Inverse of a positive definite matrix, whose columns may be of very different sizes."""
    scale = np.sqrt(np.diag(gram))
    result: Floats = np.linalg.inv(gram / np.outer(scale, scale)) / np.outer(scale, scale)
    return result


def _left(scaled: Floats, column: int, others: list[int]) -> float:
    """The share of a column's variance that some other columns do not explain."""
    if not others:
        return 1.0
    explained: NDArray[np.float64] = scaled[others, column]
    return float(1.0 - explained @ np.linalg.solve(scaled[np.ix_(others, others)], explained))


def _total(moments: Moments) -> Floats:
    total: Floats = np.diag(moments.products) - moments.total**2 / moments.rows
    return total

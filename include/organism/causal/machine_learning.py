"""The second engine: double machine learning on within-transformed data (DoubleML's partially linear regression).

The person and period effects are taken out exactly, as in the first engine (unless the specification has none); then
learners predict outcome and treatment from the confounders in other people's rows (folds of whole people), so that
confounders may act in other shapes than straight lines. Squares and products are made before the effects are taken out:
the square of what is left of a confounder is not what is left of its square. That is why the lasso is the first choice;
trees (`boosting`) find shapes that squares and products do not describe, and shrink the rest.
Chernozhukov et al. 2018; for panels Clarke and Polselli 2025 (their within-group variant: effects are additive).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from include.organism.causal import kernels, solve
from include.organism.causal.engine import Panel
from include.organism.causal.inference import from_error
from include.organism.causal.kernels import Floats, People
from include.organism.causal.spec import Effect, Limits, PanelSpec, Refused

if TYPE_CHECKING:
    import pandas as pd

Learner = Literal["boosting", "lasso"]
ROWS = 200_000
FOLDS = 5
# What the within estimator calls constant, as a share of the variance.
_CONSTANT = 1e-9
# Of more confounders there would be more products than can be learned.
_PRODUCTS_OF = 12


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """The effect by double machine learning."""

    effect: Effect
    """Interval by the normal distribution; the error is clustered by person."""
    learner: Learner
    folds: int
    rows: int
    """Of a sample of whole people, when the panel has more."""
    people: int


def double_machine_learning(
    panel: Panel,
    spec: PanelSpec,
    *,
    learner: Learner = "lasso",
    rows: int = ROWS,
    folds: int = FOLDS,
    seed: int = 0,
    limits: Limits | None = None,
) -> SecondOpinion | Refused:
    """Estimate the effect once more, on about `rows` rows; the same seed gives the same answer.

    Raises:
        InputRejected: see `CausalEngine.open`.
    """
    limits = limits or Limits()
    if not spec.confounders:
        return Refused.because("no_confounders")
    people, left = _within(panel, spec, rows, seed)
    count = len(people.starts) - 1
    if count < limits.clusters:
        return Refused.because("too_few_clusters", f"({count:,}, at least {limits.clusters:,}.)")
    spread, before = left.var(axis=0), people.values.var(axis=0)
    if spread[0] <= _CONSTANT * before[0] or spread[1] <= _CONSTANT * before[1]:
        return Refused.because("constant_outcome" if spread[0] <= _CONSTANT * before[0] else "constant_treatment")
    used = [0, 1, *(c for c in range(2, left.shape[1]) if spread[c] > _CONSTANT * before[c])]
    if len(used) == 2:
        return Refused.because("no_confounders")
    # Learners see columns of one size; the effect is turned back into units.
    sizes = np.sqrt(spread[used])
    estimate, error = _fit(_frame(people, left[:, used] / sizes), learner, folds, seed)
    unit = float(sizes[0] / sizes[1])
    effect = from_error(estimate * unit, error * unit, float("inf"))
    return SecondOpinion(effect, learner, folds, people.rows, count)


def _within(panel: Panel, spec: PanelSpec, rows: int, seed: int) -> tuple[People, Floats]:
    """Rows of people seen at least twice, and their within-transformed values."""
    frame = panel.sample(rows, seed)
    period = np.unique(frame[spec.period].to_numpy(), return_inverse=True)
    person = np.unique(frame[spec.person].to_numpy(), return_inverse=True)[1]
    values = _expanded(frame.select(spec.numbers).to_numpy(order="c"))
    people = kernels.people(person, period[1], values, single=not spec.effects)
    if not people.rows or not spec.effects:
        return people, people.values
    moments = kernels.moments(people, len(period[0]), people.values.mean(axis=0))
    effects = solve.normal_within(moments).effects
    return people, people.values if effects is None else kernels.residuals(people, effects)


def _expanded(values: Floats) -> Floats:
    """Confounders (columns 2 and on), their squares and, of a few, their products, too."""
    given = values[:, 2:]
    if not len(given):
        return values
    spread = given.std(axis=0)
    scaled = (given - given.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    pairs = combinations(range(scaled.shape[1]), 2) if scaled.shape[1] <= _PRODUCTS_OF else ()
    products = [scaled[:, one] * scaled[:, other] for one, other in pairs]
    return np.column_stack([values, scaled**2, *products])


def _frame(people: People, values: Floats) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(values, columns=["y", "d", *(f"x{place}" for place in range(values.shape[1] - 2))])
    frame["person"] = np.repeat(np.arange(len(people.starts) - 1), np.diff(people.starts))
    return frame


def _fit(frame: pd.DataFrame, learner: Learner, folds: int, seed: int) -> tuple[float, float]:
    import doubleml
    from threadpoolctl import threadpool_limits

    data = doubleml.DoubleMLData(
        frame, y_col="y", d_cols="d", x_cols=[f"x{place}" for place in range(frame.shape[1] - 3)], cluster_cols="person"
    )
    # One thread: on a busy worker OpenMP's threads wait for each other a hundred times longer than they work.
    with _seeded(seed), threadpool_limits(1):
        model = doubleml.DoubleMLPLR(data, _learner(learner, seed), _learner(learner, seed), n_folds=folds)
        model.fit()
    return float(model.coef[0]), float(model.se[0])


def _learner(learner: Learner, seed: int) -> Any:
    if learner == "boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(max_iter=100, learning_rate=0.1, min_samples_leaf=50, random_state=seed)
    from sklearn.linear_model import LassoCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LassoCV(cv=3, random_state=seed))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """DoubleML draws its folds from numpy's global generator, which is left as it was found."""
    kept = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept)

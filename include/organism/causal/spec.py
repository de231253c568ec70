"""What is asked of a panel, when an answer is refused, and how an answer looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from include.operations.errors import InputRejected
from include.organism.causal.kernels import Floats

REASONS: Final[dict[str, str]] = {
    "no_rows": "There are no complete rows: in each one the outcome, the treatment or a confounder is missing.",
    "not_finite": "Some values are infinite. That is a fault of the data, and no estimate is made from it.",
    "duplicate_rows": "Some people have more than one row for the same period, so that rows would count twice.",
    "single_period": "Nobody is seen twice beside others, so that nobody can be compared with themselves.",
    "too_many_periods": "There are more periods than the estimator is made for; take longer ones, such as weeks.",
    "too_few_clusters": "There are too few people (or groups) for an error that can be trusted.",
    "too_few_rows": "There are hardly more rows than unknowns.",
    "constant_outcome": "The outcome never changes for anybody, beyond what changes for everybody alike.",
    "constant_treatment": "The treatment never changes for anybody, beyond what changes for everybody alike.",
    "collinear_treatment": "The confounders determine the treatment, so that their effects cannot be told apart.",
    "few_contribute": "The estimate rests on too few people: those whose treatment changed.",
    "no_leads": "Too few people are seen in consecutive periods for a look at later treatment.",
    "no_confounders": "There are no confounders to adjust for more flexibly: the second engine has nothing to add.",
    "too_few_people": "A figure of so few people is not shown.",
    "not_estimated": "It would change something whose effect these data do not show.",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """No estimate, and why: an answer, not an error."""

    reason_code: str
    """A key of `REASONS`."""
    words: str

    @classmethod
    def because(cls, reason_code: str, detail: str = "") -> Refused:
        """The words of the reason, and a detail in figures, which names nobody."""
        return cls(reason_code, f"{REASONS[reason_code]} {detail}".rstrip())


@dataclass(frozen=True, slots=True)
class Limits:
    """Below these figures an answer is refused (docs/decisions/0028 says where they come from)."""

    clusters: int = 30
    """Clusters: the t distribution with G - 1 degrees of freedom is too short-tailed for fewer."""
    contributing: float = 10.0
    """People the estimate effectively rests on, see `Fit.effective_people`."""
    periods: int = 600
    """More would make the T x T matrix of period effects the largest part of the work."""


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """The columns of a panel with one row per person and period, and their roles.

    `period` holds whole numbers, in which consecutive periods differ by 1 (weeks since a first one, say). Outcome,
    treatment and confounders are numbers or booleans; rows in which one is missing are left out and counted.
    """

    outcome: str
    treatment: str
    confounders: tuple[str, ...] = ()
    person: str = "person"
    period: str = "period"
    cluster: str | None = None
    """Errors are clustered by this column; None: by person."""
    effects: bool = True
    """Whether people are compared with themselves. False: a cross-section, which compares people with each other; only
    the pooled regression is made then, and people who are seen once count, too."""
    shifts: tuple[int, ...] = ()
    """The treatment of other periods as further regressors: 1 is the next period's, -1 the last one's."""

    def __post_init__(self) -> None:
        used = [self.person, self.period, *self.numbers]
        twice = sorted({name for name in used if used.count(name) > 1})
        if twice:
            raise InputRejected(
                f"The column {twice[0]} has two roles in one analysis.", what_to_do="name each column once"
            )

    @property
    def numbers(self) -> tuple[str, ...]:
        """The outcome, the treatment, the confounders, the shifted treatment: the order of the columns in all sums."""
        return (*self.given, *(self.shifted(shift) for shift in self.shifts))

    @property
    def given(self) -> tuple[str, ...]:
        """Those of `numbers` that are columns of the panel."""
        return (self.outcome, self.treatment, *self.confounders)

    def shifted(self, shift: int) -> str:
        """The name of the treatment of another period."""
        return f"{self.treatment}{shift:+d}"

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        cluster = () if self.cluster in {None, self.person, self.period, *self.given} else (str(self.cluster),)
        return (self.person, self.period, *cluster, *self.given)


@dataclass(frozen=True, slots=True)
class Effect:
    """One coefficient: outcome units per unit of the treatment."""

    estimate: float
    std_error: float
    t: float
    p_value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float


@dataclass(frozen=True, slots=True)
class Fit:
    """An estimated regression."""

    method: str
    """`two_way_within` or `pooled_ols`."""
    engine: str
    names: tuple[str, ...]
    """The regressors that were used, the treatment first."""
    coefficients: Floats
    covariance: Floats
    """CRV1, with the small-sample factor of pyfixest and fixest."""
    effect: Effect
    """Of the treatment."""
    dropped: dict[str, str]
    """Confounders left out, and why."""
    rows: int
    rows_missing: int
    """Left out because a value is missing."""
    rows_single: int
    """Left out because the person, or the period, has no other row."""
    people: int
    periods: int
    clusters: int
    df: int
    """Degrees of freedom of the t distribution: clusters - 1."""
    varying_people: int
    """People whose treatment changes at all."""
    effective_people: float
    """(sum w)^2 / sum w^2, w being a person's share in the treatment's residual variance: so many equal people would
    say as much (Aronow and Samii 2016 for the weights, Kish for the count). Clusters, if these are given."""
    treatment_mean: float
    treatment_sd: float
    treatment_within_share: float
    """Share of the treatment's variance that remains after person and period effects."""
    treatment_residual_share: float
    """Share that remains after the confounders, too: what the estimate is made from."""
    outcome_mean: float
    r2: float
    """Share of the outcome's variance explained by the regressors, after person and period effects if there are any."""
    gram: Floats = field(repr=False, default_factory=lambda: np.zeros((0, 0)))
    """Cross products of the residualised outcome and regressors, outcome first."""
    classical_error: float = 0.0
    """Of the treatment, if errors were independent and alike: for comparison with old tables."""
    unknowns: int = 0
    """Unknowns counted in N - k: regressors and effects (with people nested in clusters: periods only)."""

    def weights(self, amounts: dict[str, float]) -> Floats:
        """A vector over the coefficients, from amounts by name."""
        unknown = sorted(set(amounts) - set(self.names))
        if unknown:
            raise InputRejected(
                f"The regression has no coefficient of {unknown[0]}.",
                what_to_do="name the treatment, or a confounder that was not dropped",
            )
        return np.array([amounts.get(name, 0.0) for name in self.names])

"""Two-way fixed effects and, beside it, the pooled regression: two passes over the rows, whatever the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.organism.causal import solve
from include.organism.causal.engine import Sums
from include.organism.causal.inference import crv1, from_error
from include.organism.causal.kernels import Design, Moments, Scores
from include.organism.causal.spec import Fit, Limits, PanelSpec, Refused

WITHIN: Final = "two_way_within"
POOLED: Final = "pooled_ols"
# Passes after which rounding is no more: the second always suffices unless the columns are nearly collinear.
_REFINEMENTS = 3
_REFINED = 1e-10


class _Solved(NamedTuple):
    """One method's way to its coefficients."""

    method: str
    normal: solve.Normal
    design: Design
    sums: Scores
    dropped: dict[str, str]


def estimate(
    panel: Sums,
    spec: PanelSpec,
    engine: str,
    *,
    methods: Sequence[str] | None = None,
    limits: Limits | None = None,
) -> dict[str, Fit | Refused]:
    """Estimate by each method (default: both, or the pooled one when the specification has no effects).

    A refusal of the whole panel is the answer of each method.
    """
    limits = limits or Limits()
    methods = methods or ((WITHIN, POOLED) if spec.effects else (POOLED,))
    refused = _refusal(panel, spec, limits)
    if refused is not None:
        return dict.fromkeys(methods, refused)
    moments, excluded = _moments(panel, spec)
    refused = _refusal_of(moments, spec, limits)
    if refused is not None:
        return dict.fromkeys(methods, refused)
    answers: dict[str, Fit | Refused] = {}
    designs: dict[str, tuple[Design, dict[str, str]]] = {}
    normals = {
        method: solve.normal_within(moments) if method == WITHIN else solve.normal_pooled(moments) for method in methods
    }
    for method, normal in normals.items():
        found = solve.design(normal, moments, panel.profile.means, spec.numbers)
        if isinstance(found, Refused):
            answers[method] = found
        else:
            designs[method] = found
    refined = _refine(panel, {method: made for method, (made, _) in designs.items()}, excluded, moments.rows)
    for method, (made, sums) in refined.items():
        solved = _Solved(method, normals[method], made, sums, designs[method][1])
        answers[method] = _fit(engine, spec, panel, moments, solved, limits)
    return {method: answers[method] for method in methods}


def _refusal(panel: Sums, spec: PanelSpec, limits: Limits) -> Refused | None:
    profile = panel.profile
    if profile.infinite:
        return Refused.because("not_finite", f"({profile.infinite:,} rows.)")
    if not profile.rows:
        return Refused.because("no_rows", f"({profile.missing:,} rows are incomplete.)")
    if len(profile.periods) > limits.periods:
        return Refused.because("too_many_periods", f"({len(profile.periods):,}, at most {limits.periods:,}.)")
    if spec.effects and len(profile.periods) < 2:
        return Refused.because("single_period")
    return None


def _moments(panel: Sums, spec: PanelSpec) -> tuple[Moments, NDArray[np.bool_]]:
    """The first pass; again without the periods in which a single row is left, as long as there are any."""
    excluded = np.zeros(len(panel.profile.periods), dtype=bool)
    while True:
        moments = panel.moments(excluded)
        single = moments.period_rows == 1
        if not single.any() or not spec.effects:
            return moments, excluded
        excluded = excluded | single


def _refusal_of(moments: Moments, spec: PanelSpec, limits: Limits) -> Refused | None:
    if moments.duplicates:
        return Refused.because("duplicate_rows", f"({moments.duplicates:,} rows too many.)")
    if not moments.rows:
        return Refused.because("single_period")
    unknowns = len(spec.numbers)
    if spec.effects:
        unknowns += moments.people + int(np.count_nonzero(moments.period_rows)) - 2
    if moments.rows <= unknowns:
        return Refused.because("too_few_rows", f"({moments.rows:,} rows, {unknowns:,} unknowns.)")
    if spec.effects and not moments.varying:
        return Refused.because("constant_treatment")
    if spec.cluster is None and moments.people < limits.clusters:
        return _few_clusters(moments.people, limits)
    return None


def _few_clusters(clusters: int, limits: Limits) -> Refused:
    return Refused.because("too_few_clusters", f"({clusters:,}, at least {limits.clusters:,}.)")


def _refine(
    panel: Sums, designs: dict[str, Design], excluded: NDArray[np.bool_], rows: int
) -> dict[str, tuple[Design, Scores]]:
    """The second pass. Coefficients that X'e says are not yet exact are corrected, and the pass is done again."""
    done: dict[str, tuple[Design, Scores]] = {}
    waiting = dict(designs)
    for last in (False,) * (_REFINEMENTS - 1) + (True,):
        if not waiting:
            break
        sums = dict(zip(waiting, panel.scores(list(waiting.values()), excluded), strict=True))
        for method, scores in sums.items():
            made = waiting.pop(method)
            step = solve.inverse(scores.gram[1:, 1:]) @ scores.score
            better = made._replace(beta=made.beta + step, pivot=solve.coefficients(scores.gram)[1])
            errors = np.sqrt(scores.residual / rows * np.diag(solve.inverse(scores.gram[1:, 1:])))
            if last or np.all(np.abs(step) <= _REFINED * (np.abs(better.beta) + errors)):
                done[method] = (better, scores)
            else:
                waiting[method] = better
    return done


def _fit(engine: str, spec: PanelSpec, panel: Sums, moments: Moments, solved: _Solved, limits: Limits) -> Fit | Refused:
    made, sums, normal = solved.design, solved.sums, solved.normal
    periods = int(np.count_nonzero(moments.period_rows))
    clusters, meat, weight_squared = moments.people, sums.meat, sums.weight_squared
    if sums.keyed is not None:
        by_cluster = sums.keyed.sums
        clusters, meat = len(by_cluster), by_cluster[:, :-1].T @ by_cluster[:, :-1]
        weight_squared = float(by_cluster[:, -1] @ by_cluster[:, -1])
        if clusters < limits.clusters:
            return _few_clusters(clusters, limits)
    unknowns = _unknowns(solved.method, len(made.beta), moments, periods)
    effective = sums.weight**2 / weight_squared
    if solved.method == WITHIN and effective < limits.contributing:
        return Refused.because(
            "few_contribute", f"(As if {effective:,.1f} people, at least {limits.contributing:,.0f}.)"
        )
    bread = solve.inverse(sums.gram[1:, 1:])
    covariance = crv1(bread, meat, rows=moments.rows, clusters=clusters, unknowns=unknowns)
    effects = moments.people + periods - 1 if solved.method == WITHIN else 1
    freedom = moments.rows - len(made.beta) - effects
    means = panel.profile.means + moments.total / moments.rows
    return Fit(
        method=solved.method,
        engine=engine,
        names=tuple(spec.numbers[column] for column in made.columns[1:]),
        coefficients=made.beta,
        covariance=covariance,
        effect=from_error(float(made.beta[0]), float(np.sqrt(covariance[0, 0])), clusters - 1),
        df=clusters - 1,
        dropped=solved.dropped,
        rows=moments.rows,
        rows_missing=panel.profile.missing,
        rows_single=panel.profile.rows - moments.rows,
        people=moments.people,
        periods=periods,
        clusters=clusters,
        varying_people=moments.varying,
        effective_people=effective,
        treatment_mean=float(means[1]),
        treatment_sd=float(np.sqrt(normal.total[1] / (moments.rows - 1))),
        treatment_within_share=float(normal.gram[1, 1] / normal.total[1]),
        treatment_residual_share=sums.weight / float(normal.total[1]),
        outcome_mean=float(means[0]),
        r2=1.0 - sums.residual / float(sums.gram[0, 0]),
        gram=sums.gram,
        classical_error=float(np.sqrt(sums.residual / freedom * bread[0, 0])),
        unknowns=unknowns,
    )


def _unknowns(method: str, regressors: int, moments: Moments, periods: int) -> int:
    """The k of N - k, as pyfixest counts: effects nested in the clusters count as one, no base period is taken off."""
    if method == POOLED:
        return regressors + 1
    if moments.wandering:
        return regressors + moments.people + periods - 1
    return regressors + periods

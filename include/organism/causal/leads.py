"""Treatment of other periods: whether the future "explains" the present, and how an effect unfolds in time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from include.organism.causal.engine import CausalEngine, Source
from include.organism.causal.inference import effect_of, wald
from include.organism.causal.regression import WITHIN, estimate
from include.organism.causal.spec import Effect, Fit, Limits, PanelSpec, Refused


@dataclass(frozen=True, slots=True)
class EventStudy:
    """Effects of the treatment by the time since it; before it, there should be none."""

    points: tuple[tuple[int, Effect], ...]
    """Periods since the treatment (negative: the outcome came first), and the effect; in order."""
    lead_f: float
    lead_p: float
    """Of all effects before the treatment being zero, jointly (Wald test, clustered)."""
    rows: int
    people: int


def event_study(
    engine: CausalEngine,
    source: Source,
    spec: PanelSpec,
    *,
    leads: int = 1,
    lags: int = 0,
    limits: Limits | None = None,
) -> EventStudy | Refused:
    """Regress the outcome on the treatment of this period, of `leads` later and of `lags` earlier ones.

    With leads only it is the test of strict exogeneity of Wooldridge (2010, section 10.7.1): under the assumptions of
    the within estimator, later treatment does not matter. Rows whose neighbours are missing are left out.
    """
    shifts = tuple(shift for shift in range(leads, -lags - 1, -1) if shift)
    with engine.open(source, replace(spec, shifts=shifts)) as panel:
        fit = estimate(panel, replace(spec, shifts=shifts), engine.name, methods=(WITHIN,), limits=limits)[WITHIN]
    if isinstance(fit, Refused):
        return Refused.because("no_leads", f"({fit.words})")
    before = [fit.names.index(spec.shifted(s)) for s in shifts if s > 0 and spec.shifted(s) in fit.names]
    if leads and not before:
        return Refused.because("no_leads", "(The later treatment is determined by this period's.)")
    f, p = wald(fit, before) if before else (0.0, 1.0)
    return EventStudy(_points(fit, spec, shifts), f, p, fit.rows, fit.people)


def _points(fit: Fit, spec: PanelSpec, shifts: tuple[int, ...]) -> tuple[tuple[int, Effect], ...]:
    names = {0: spec.treatment} | {-shift: spec.shifted(shift) for shift in shifts}
    return tuple((when, effect_of(fit, names[when])) for when in sorted(names) if names[when] in fit.names)

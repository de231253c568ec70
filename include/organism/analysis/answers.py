"""Answers: one estimate a treatment, all that is tried against it, and what it means for changes one could make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from include.organism.analysis.panel import PERIOD, PERSON
from include.organism.analysis.question import METRICS, Question
from include.organism.analysis.verdict import REASONS, Evidence, Verdict, judge
from include.organism.privacy.groups import minimum_group

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from include.organism.analysis.panel import PanelFile
    from include.organism.causal.counterfactual import Change, Counterfactual
    from include.organism.causal.engine import CausalEngine
    from include.organism.causal.leads import EventStudy
    from include.organism.causal.machine_learning import SecondOpinion
    from include.organism.causal.overlap import Overlap
    from include.organism.causal.placebo import Placebo
    from include.organism.causal.sensitivity import Sensitivity
    from include.organism.causal.spec import Effect, Fit, PanelSpec, Refused

# Periods before and after the treatment, as far as the event study looks.
LEADS: Final = 2
LAGS: Final = 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change one could make, and what the estimate says of it, or why it says nothing."""

    name: str
    changes: tuple[dict[str, Any], ...]
    result: Counterfactual | Refused


@dataclass(frozen=True, slots=True)
class Trial:
    """An estimate and all that was tried against it.

    Attributes:
        fit: the within estimate.
        naive: the pooled regression, for contrast only.
        overlap: whether the data vary enough.
        second: double machine learning.
        placebo: treatments that cannot have worked.
        study: effects by the time since the treatment.
        sensitivity: what an unobserved confounder would have to be.
        scenarios: what it means for changes one could make.
    """

    fit: Fit
    naive: Fit | Refused
    overlap: Overlap
    second: SecondOpinion | Refused
    placebo: Placebo | Refused
    study: EventStudy | Refused
    sensitivity: Sensitivity
    scenarios: tuple[Scenario, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the data say about one treatment.

    Attributes:
        treatment: what is varied.
        confounders: what is held fixed.
        verdict: how far it carries.
        reasons: codes of what speaks against it, the weightiest first.
        words: the same in plain words.
        trial: the estimate; None: there is none.
        q_value: its p value after Benjamini and Hochberg's correction over the run's answers.
    """

    treatment: str
    confounders: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    words: tuple[str, ...]
    trial: Trial | None = None
    q_value: float | None = None

    @property
    def effect(self) -> Effect | None:
        """The estimate that may be shown; None: refused."""
        return self.trial.fit.effect if self.trial is not None and self.verdict is not Verdict.REFUSED else None


def answer(engine: CausalEngine, panel: PanelFile, question: Question, *, seed: int = 0) -> list[Answer]:
    """Estimate the effect of each treatment and try everything against it; refusals are answers, too.

    Args:
        engine: who adds up.
        panel: the rows.
        question: what is asked.
        seed: of placebos, samples and folds; the same one gives the same answers.
    """
    tried = {name: _try(engine, panel, question, name, seed) for name in question.treatments}
    return _judged(question, tried)


def refused(question: Question, code: str) -> list[Answer]:
    """The answer to every treatment when there is nothing to estimate from; `code` is one of `verdict.REASONS`."""
    return [_refused(question, name, code, REASONS[code]) for name in question.treatments]


def _try(engine: CausalEngine, panel: PanelFile, question: Question, treatment: str, seed: int) -> Trial | Answer:
    from include.organism.causal.leads import event_study
    from include.organism.causal.machine_learning import double_machine_learning
    from include.organism.causal.overlap import overlap
    from include.organism.causal.placebo import placebo
    from include.organism.causal.regression import POOLED, WITHIN, estimate
    from include.organism.causal.sensitivity import sensitivity
    from include.organism.causal.spec import PanelSpec, Refused

    spec = PanelSpec(question.outcome, treatment, question.confounders_of(treatment), PERSON, PERIOD)
    with engine.open(panel.path, spec) as opened:
        fits = estimate(opened, spec, engine.name)
        fit = fits[WITHIN]
        if isinstance(fit, Refused):
            return _refused(question, treatment, fit.reason_code, fit.words)
        variation = overlap(fit)
        if not variation.ok:
            return _refused(question, treatment, "no_overlap", " ".join((REASONS["no_overlap"], *variation.words)))
        second = double_machine_learning(opened, spec, seed=seed)
        fake = placebo(opened, spec, seed=seed)
    study = event_study(engine, panel.path, spec, leads=LEADS, lags=LAGS)
    if isinstance(study, Refused):
        # Lags cost periods, and the verdict needs the leads only.
        study = event_study(engine, panel.path, spec, leads=1)
    return Trial(
        fit=fit,
        naive=fits[POOLED],
        overlap=variation,
        second=second,
        placebo=fake,
        study=study,
        sensitivity=sensitivity(fit),
        scenarios=_scenarios(fit, spec, panel.path, question),
    )


def _newest(path: Path, given: Sequence[str], least: int) -> pl.DataFrame:
    """The complete rows, one a person, of the newest period that has at least `least` of them; none: no period has."""
    import polars as pl

    complete = pl.scan_parquet(path).filter(pl.all_horizontal(pl.col(name).is_finite() for name in given))
    # Counted first: of a large panel only that period is held.
    large = complete.group_by(PERIOD).len().filter(pl.col("len") >= least)
    return complete.join(large.select(pl.col(PERIOD).max()), on=PERIOD, how="semi").collect()


def _scenarios(fit: Fit, spec: PanelSpec, path: Path, question: Question) -> tuple[Scenario, ...]:
    from include.organism.causal.counterfactual import SCENARIOS, Change

    # A change divided by the effect is a mean of the treatment.
    least = max(minimum_group(name) for name in spec.given)
    rows = _newest(path, spec.given, least)
    asked = {name: changes for name, changes in SCENARIOS.items() if _speaks_of(changes, spec, rows)}
    for given in question.scenarios:
        change = Change(**{key: value for key, value in given.items() if key != "name"})
        if _speaks_of((change,), spec, rows):
            asked[given["name"]] = (change,)
    return tuple(
        Scenario(name, tuple(map(asdict, changes)), _told(fit, rows, spec, changes, least))
        for name, changes in asked.items()
    )


def _told(
    fit: Fit, rows: pl.DataFrame, spec: PanelSpec, changes: tuple[Change, ...], least: int
) -> Counterfactual | Refused:
    from include.organism.causal.counterfactual import counterfactual
    from include.organism.causal.spec import Refused

    if rows.is_empty():
        return Refused.because("too_few_people", f"(Fewer than {least} in every period.)")
    told = counterfactual(fit, rows, spec.outcome, changes)
    # By how much a metric of theirs changes says what it is, unless the same is added for each.
    personal = any(change.column in METRICS and change.how != "add" for change in changes)
    if isinstance(told, Refused) or not personal or told.people == 0 or told.people >= least:
        return told
    return Refused.because("too_few_people", f"(It would change the metrics of fewer than {least}.)")


def _speaks_of(changes: Sequence[Any], spec: PanelSpec, rows: pl.DataFrame) -> bool:
    """Whether a scenario is one of this treatment or its confounders, and the panel has what it names."""
    named = {name for change in changes for name in (change.column, change.by, change.unless) if name}
    return named <= set(rows.columns) and {change.column for change in changes} <= set(spec.given)


def _judged(question: Question, tried: dict[str, Trial | Answer]) -> list[Answer]:
    from include.organism.causal.inference import benjamini_hochberg

    trials = {name: found for name, found in tried.items() if isinstance(found, Trial)}
    q_values = dict(
        zip(trials, benjamini_hochberg([trial.fit.effect.p_value for trial in trials.values()]), strict=True)
    )
    return [
        found if isinstance(found, Answer) else _judge(question, name, found, q_values[name])
        for name, found in tried.items()
    ]


def _judge(question: Question, treatment: str, trial: Trial, q_value: float) -> Answer:
    from include.organism.causal.spec import Refused

    second = trial.second
    verdict, codes = judge(
        Evidence(
            effect=trial.fit.effect,
            q_value=q_value,
            placebo_p=None if isinstance(trial.placebo, Refused) else trial.placebo.p_value,
            lead_p=None if isinstance(trial.study, Refused) else trial.study.lead_p,
            second=None if isinstance(second, Refused) else second.effect,
            second_applies=not (isinstance(second, Refused) and second.reason_code == "no_confounders"),
            robustness_value=trial.sensitivity.robustness_value,
        )
    )
    return Answer(
        treatment=treatment,
        confounders=question.confounders_of(treatment),
        verdict=verdict,
        reasons=tuple(codes),
        words=tuple(REASONS[code] for code in codes),
        trial=trial,
        q_value=q_value,
    )


def _refused(question: Question, treatment: str, code: str, words: str) -> Answer:
    return Answer(treatment, question.confounders_of(treatment), Verdict.REFUSED, (code,), (words,))

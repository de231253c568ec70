"""Panels with a known effect: it is found, intervals hold it as often as they say, and the naive estimate fails."""

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import TRUE_EFFECT, panel
from include.organism.causal.engine_local import ArrayPanel
from include.organism.causal.inference import effect_of
from include.organism.causal.overlap import overlap
from include.organism.causal.regression import POOLED, WITHIN, estimate
from include.organism.causal.spec import Limits, PanelSpec
from tests.unit.organism.causal.panels import SPEC, fit

SEEDS = 200


def both(frame):
    values = frame.select(SPEC.numbers).to_numpy(order="c")
    arrays = ArrayPanel(frame["person"].to_numpy(), frame["period"].to_numpy(), values)
    return estimate(arrays, SPEC, "local")


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_coverage_and_bias(missing):
    """Errors are correlated in time, so that errors that are not clustered would be too small."""
    found = [both(panel(80, 12, seed=seed, missing=missing, persistence=0.6)) for seed in range(SEEDS)]
    within = [answers[WITHIN].effect for answers in found]
    naive = [answers[POOLED].effect for answers in found]
    covered = np.mean([e.low <= TRUE_EFFECT <= e.high for e in within])
    assert 0.93 <= covered <= 0.985
    assert abs(np.mean([e.estimate for e in within]) - TRUE_EFFECT) < 0.05 * TRUE_EFFECT
    # The naive contrast is off by the half of the effect and more, and its intervals know nothing of it.
    assert np.mean([e.estimate for e in naive]) - TRUE_EFFECT > 0.5 * TRUE_EFFECT
    assert np.mean([e.low <= TRUE_EFFECT <= e.high for e in naive]) < 0.5


def burnout(seed, people=200, weeks=26):
    """The original's ground truth (organism.md 10), with people who differ and some who become managers."""
    rng = np.random.default_rng(seed)
    person, week = np.repeat(np.arange(people), weeks), np.tile(np.arange(weeks), people)
    hub = rng.uniform(0.2, 0.5, people)[person]
    degree = np.clip(hub + rng.normal(0, 0.1, person.size), 0, 1)
    promoted = rng.integers(0, 2 * weeks, people)[person]
    manager = (week >= promoted).astype(float)
    level = 20 + 40 * hub
    outcome = np.clip(level + 60 * degree - 30 * manager + rng.normal(0, 5, person.size), 0, 100)
    return pl.DataFrame({"person": person, "period": week, "degree": degree, "is_manager": manager, "burnout": outcome})


def test_the_ground_truth_of_the_original():
    spec = PanelSpec("burnout", "degree", ("is_manager",))
    answer = fit(burnout(42), spec)
    assert answer.effect.estimate == pytest.approx(60, abs=2)
    assert answer.effect.low > 0
    manager = effect_of(answer, "is_manager")
    assert manager.estimate == pytest.approx(-30, abs=1)
    assert manager.high < 0
    # Hubs differ from others in more than their degree.
    assert fit(burnout(42), spec, POOLED).effect.estimate > 70


def test_variation_is_judged():
    good = overlap(fit(panel(100, 10, seed=1)))
    assert good.ok
    assert good.words == ()
    assert good.varying_share == 1
    frame = panel(100, 10, seed=1)
    shrunk = frame.with_columns(treatment=pl.col("x0") * 50 + pl.col("treatment"))
    poor = overlap(fit(shrunk))
    assert not poor.ok
    assert "are held fixed" in poor.words[0]
    assert poor.residual_share < 0.001 < poor.within_share
    few = frame.with_columns(treatment=pl.when(pl.col("person").is_in([3, 7])).then("treatment").otherwise(0.0))
    rare = overlap(fit(few, limits=Limits(contributing=1)))
    assert rare.varying_share == 0.02
    assert 1 <= rare.effective_people <= 2
    assert len(rare.words) == 2

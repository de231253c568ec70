"""How strong a confounder has to be: the published example, and confounders that are then shown."""

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import panel
from include.organism.causal import sensitivity as module
from include.organism.causal.sensitivity import robustness, sensitivity
from include.organism.causal.spec import Effect, PanelSpec
from tests.unit.organism.causal.panels import SPEC, fit


def test_darfur():
    """Cinelli and Hazlett 2020, table 1: estimate .097, error .023, 783 degrees of freedom."""
    estimate, error, freedom = 0.09731582, 0.02325654, 783
    ratio = error * np.sqrt(freedom)
    assert robustness(estimate / ratio) == pytest.approx(0.139, abs=0.0005)
    assert robustness((estimate - 1.963 * error) / ratio) == pytest.approx(0.076, abs=0.0005)


def hidden(strength, seed=1):
    """A panel with a confounder of both treatment and outcome."""
    frame = panel(200, 12, seed=seed, missing=0.2)
    z = np.random.default_rng(seed + 99).standard_normal(len(frame))
    return frame.with_columns(
        z=pl.Series(z),
        treatment=pl.col("treatment") + strength * pl.Series(z),
        outcome=pl.col("outcome") + 0.25 * strength * pl.Series(z) + strength * pl.Series(z),
    )


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_a_confounder_moves_the_estimate_as_far_as_said(strength):
    frame = hidden(strength)
    short, long = fit(frame), fit(frame, PanelSpec("outcome", "treatment", ("x0", "x1", "z")))
    position = long.names.index("z") + 1
    treatment_r2 = module._partial_r2(long.gram[1:, 1:], 0, position - 1)
    outcome_r2 = module._partial_r2(long.gram, 0, position)
    moved = module.moved(short.effect, module._sd_ratio(short), treatment_r2, outcome_r2)
    assert moved == pytest.approx(long.effect.estimate, rel=1e-8)


def test_a_confounder_of_the_robustness_value_brings_zero():
    found = fit(panel(200, 12, seed=1))
    told = sensitivity(found)
    ratio = module._sd_ratio(found)
    assert module.moved(found.effect, ratio, told.robustness_value, told.robustness_value) == pytest.approx(
        0, abs=1e-12
    )
    assert module.moved(found.effect, ratio, told.partial_r2, 1.0) == pytest.approx(0, abs=1e-12)
    assert 0 < told.robustness_value_interval < told.robustness_value


def test_an_interval_with_zero_in_it_needs_no_confounder():
    told = sensitivity(fit(panel(40, 6, seed=3, effect=0.0)))
    assert told.robustness_value_interval == 0


def test_signs_do_not_matter():
    frame = panel(200, 12, seed=1)
    plus, minus = sensitivity(fit(frame)), sensitivity(fit(frame.with_columns(-pl.col("outcome"))))
    assert plus.robustness_value == pytest.approx(minus.robustness_value)
    assert plus.robustness_value_interval == pytest.approx(minus.robustness_value_interval)
    assert plus.benchmarks[0].estimate == pytest.approx(-minus.benchmarks[0].estimate)


def test_benchmarks():
    """The numbers of sensemakr's formulas, taken on by hand for x1, which explains next to nothing."""
    found = fit(panel(200, 12, seed=1))
    weak = [b for b in sensitivity(found).benchmarks if b.confounder == "x1"]
    assert [b.times for b in weak] == [1, 2, 3]
    assert weak[0].treatment_r2 < weak[2].treatment_r2 < 0.01
    assert weak[2].estimate == pytest.approx(found.effect.estimate, abs=0.01)
    assert module.moved(Effect(1.0, 0.1, 10, 0, 0.8, 1.2), 2.0, 0.2, 0.05) == pytest.approx(1 - 2 * np.sqrt(0.0125))
    assert SPEC.confounders == ("x0", "x1")

"""Somebody else's treatment has no effect; errors that are too small are found out."""

import polars as pl
import pytest

from benchmarks.causal_panels import panel
from include.organism.causal import regression
from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.inference import crv1
from include.organism.causal.placebo import placebo
from include.organism.causal.spec import Refused
from tests.unit.organism.causal.panels import SPEC, fit


def draw(frame, **arguments):
    with LocalEngine().open(frame, SPEC) as opened:
        return placebo(opened, SPEC, **arguments)


def test_placebos_are_zero_and_the_effect_is_not_one_of_them():
    frame = panel(100, 10, seed=1, missing=0.2, persistence=0.6)
    found = draw(frame)
    assert found.draws == 199
    assert abs(found.mean) < 3 * found.spread / found.draws**0.5
    assert found.spread == pytest.approx(fit(frame).effect.std_error, rel=0.25)
    assert found.p_value > 0.01
    assert found.randomisation_p == 1 / 200


def test_a_treatment_without_effect_is_one_of_them():
    found = draw(panel(100, 10, seed=5, effect=0.0))
    assert found.randomisation_p > 0.05


def test_errors_that_are_too_small_are_found_out(monkeypatch):
    monkeypatch.setattr(regression, "crv1", lambda *args, **kwargs: crv1(*args, **kwargs) / 4)
    found = draw(panel(100, 10, seed=1))
    assert found.rejected > 0.2
    assert found.p_value < 1e-6


def test_same_seed_same_answer_and_a_sample_of_people():
    frame = panel(400, 10, seed=2)
    one = draw(frame, rows=1_500, draws=20, seed=4)
    assert one == draw(frame, rows=1_500, draws=20, seed=4)
    assert one != draw(frame, rows=1_500, draws=20, seed=5)
    assert 1_000 < one.rows < 2_000
    assert one.rows % 10 == 0


def test_refused_where_the_estimate_is():
    answer = draw(panel(100, 10, seed=1).with_columns(treatment=pl.lit(1.0)))
    assert isinstance(answer, Refused)
    assert answer.reason_code == "constant_treatment"

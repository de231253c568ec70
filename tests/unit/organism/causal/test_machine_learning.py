"""The second engine sees what is not linear, and is blind to nothing the first one sees."""

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import TRUE_EFFECT, panel
from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.machine_learning import double_machine_learning
from include.organism.causal.spec import PanelSpec, Refused
from tests.unit.organism.causal.panels import SPEC, fit

FRAME = panel(150, 12, seed=1, missing=0.2, persistence=0.5)


def learn(frame, spec=SPEC, **arguments):
    with LocalEngine().open(frame, spec) as opened:
        return double_machine_learning(opened, spec, **arguments)


def curved(frame):
    """A confounder acts by its square, which a linear adjustment does not see."""
    square = pl.col("x1") ** 2
    return frame.with_columns(pl.col("treatment") + square, pl.col("outcome") + (1 + TRUE_EFFECT) * square)


def test_agrees_with_the_first_engine_where_that_is_right():
    found, first = learn(FRAME), fit(FRAME)
    assert found.effect.estimate == pytest.approx(first.effect.estimate, abs=first.effect.std_error)
    assert found.effect.std_error == pytest.approx(first.effect.std_error, rel=0.15)
    assert (found.rows, found.people) == (first.rows, first.people)


def test_confounders_in_other_shapes_than_straight_lines():
    frame = curved(FRAME)
    first = fit(frame).effect
    assert first.low > TRUE_EFFECT + 0.1
    found = learn(frame).effect
    assert found.low - 0.02 <= TRUE_EFFECT <= found.high + 0.02
    # Trees approach the shape; what they miss stays in the estimate.
    trees = learn(frame, learner="boosting").effect
    assert abs(trees.estimate - TRUE_EFFECT) < 0.4 * abs(first.estimate - TRUE_EFFECT)


def test_same_seed_same_answer_and_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()
    one = learn(FRAME, seed=3)
    assert one == learn(FRAME, seed=3)
    assert one != learn(FRAME, seed=4)
    assert np.random.get_state()[1].tolist() == before


def test_units():
    frame = FRAME.with_columns(pl.col("outcome") * 100, pl.col("treatment") * 0.01)
    found, plain = learn(frame), learn(FRAME)
    assert found.effect.estimate == pytest.approx(plain.effect.estimate * 1e4, rel=1e-6)


@pytest.mark.parametrize(
    ("frame", "spec", "code"),
    [
        (FRAME, PanelSpec("outcome", "treatment"), "no_confounders"),
        (FRAME.with_columns(x0=pl.col("person")), PanelSpec("outcome", "treatment", ("x0",)), "no_confounders"),
        (FRAME.filter(pl.col("person") < 3), SPEC, "too_few_clusters"),
        (FRAME.with_columns(treatment=pl.col("person") * 2.0 + pl.col("period")), SPEC, "constant_treatment"),
        (FRAME.clear(), SPEC, "too_few_clusters"),
    ],
)
def test_refused(frame, spec, code):
    answer = learn(frame, spec)
    assert isinstance(answer, Refused)
    assert answer.reason_code == code

"""Panels that cannot answer are refused with the reason; input that cannot be read is an error."""

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import panel
from include.operations.errors import InputRejected
from include.organism.causal.regression import POOLED, WITHIN, estimate
from include.organism.causal.spec import REASONS, Fit, Limits, PanelSpec, Refused
from tests.unit.organism.causal.panels import SPEC, fit

FRAME = panel(60, 8, seed=1)
NOBODY = FRAME.clear()


def duplicate(frame):
    return pl.concat([frame, frame.head(3)])


def by_person(frame):
    return frame.with_columns(treatment=pl.col("person").cast(pl.Float64))


def by_period(frame):
    return frame.with_columns(treatment=pl.col("period").cast(pl.Float64))


def by_both(frame):
    """Constant beyond what is alike for everybody, though it changes for each person."""
    return frame.with_columns(treatment=pl.col("period") * 0.1 + pl.col("person") * 3.0)


def of_few(frame):
    return frame.with_columns(treatment=pl.when(pl.col("person") < 4).then("treatment").otherwise(0.0))


REFUSED = {
    "no_rows": FRAME.with_columns(outcome=pl.lit(None, pl.Float64)),
    "empty": NOBODY,
    "not_finite": FRAME.with_columns(
        treatment=pl.when(pl.col("person") == 3).then(float("inf")).otherwise("treatment")
    ),
    "duplicate_rows": duplicate(FRAME),
    "single_period": FRAME.filter(pl.col("period") == 2),
    "seen_once": FRAME.filter(pl.col("period") == pl.col("person") % 8),
    "too_many_periods": panel(3, 700, seed=1),
    "too_few_clusters": FRAME.filter(pl.col("person") < 3),
    "constant_outcome": FRAME.with_columns(outcome=pl.col("person") * 1.7 + pl.col("period")),
    "constant_treatment": FRAME.with_columns(treatment=pl.lit(4)),
    "constant_by_person": by_person(FRAME),
    "constant_by_period": by_period(FRAME),
    "constant_by_both": by_both(FRAME),
    "collinear_treatment": FRAME.with_columns(x1=pl.col("treatment") * -3 + pl.col("x0")),
    "few_contribute": of_few(FRAME),
    "too_few_rows": panel(31, 2, seed=1, covariates=35),
}
CODES = {
    "empty": "no_rows",
    "seen_once": "single_period",
    "constant_by_person": "constant_treatment",
    "constant_by_period": "constant_treatment",
    "constant_by_both": "constant_treatment",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    spec = PanelSpec("outcome", "treatment", tuple(f"x{i}" for i in range(35))) if name == "too_few_rows" else SPEC
    answer = fit(REFUSED[name], spec)
    code = CODES.get(name, name)
    assert isinstance(answer, Refused)
    assert answer.reason_code == code
    assert answer.words.startswith(REASONS[code])


def test_every_reason_of_a_regression_is_tried():
    assert {CODES.get(name, name) for name in REFUSED} == set(REASONS) - {
        "no_leads",
        "no_confounders",
        "not_estimated",
        "too_few_people",
    }


def test_few_groups_are_refused_though_people_are_many():
    frame = FRAME.with_columns(team=pl.col("person") % 3)
    answer = fit(frame, PanelSpec("outcome", "treatment", ("x0",), cluster="team"))
    assert answer.reason_code == "too_few_clusters"
    assert "3" in answer.words


def test_the_naive_contrast_stands_where_the_within_estimator_is_refused():
    from include.organism.causal.engine_local import LocalEngine

    with LocalEngine().open(by_both(FRAME), SPEC) as opened:
        answers = estimate(opened, SPEC, "local")
    assert isinstance(answers[WITHIN], Refused)
    assert isinstance(answers[POOLED], Fit)


def test_a_limit_can_be_set():
    assert fit(FRAME, limits=Limits(clusters=61)).reason_code == "too_few_clusters"
    assert fit(FRAME.filter(pl.col("person") < 20), limits=Limits(clusters=20)).clusters == 20


def test_missing_values_are_left_out_and_counted():
    rng = np.random.default_rng(1)
    holes = FRAME.with_columns(
        outcome=pl.Series(np.where(rng.random(len(FRAME)) < 0.1, np.nan, FRAME["outcome"])),
        x0=pl.Series([None if hole else x for hole, x in zip(rng.random(len(FRAME)) < 0.1, FRAME["x0"], strict=True)]),
    )
    whole = holes.drop_nulls().drop_nans()
    answer, expected = fit(holes), fit(whole)
    assert answer.rows_missing == len(FRAME) - len(whole)
    np.testing.assert_allclose(answer.coefficients, expected.coefficients, rtol=1e-11)


@pytest.mark.parametrize(
    ("frame", "spec", "words"),
    [
        (FRAME, PanelSpec("outcome", "absent"), "no column absent"),
        (FRAME.cast({"x0": pl.String}), SPEC, "column x0"),
        (FRAME.cast({"period": pl.Float64}), SPEC, "whole numbers"),
        ({"person": []}, SPEC, "cannot read a dict"),
    ],
)
def test_unusable_input(frame, spec, words):
    with pytest.raises(InputRejected, match=words):
        fit(frame, spec)


def test_a_column_has_one_role():
    with pytest.raises(InputRejected, match="two roles"):
        PanelSpec("outcome", "treatment", ("outcome",))


def test_booleans_are_numbers():
    answer = fit(FRAME.with_columns(treatment=pl.col("treatment") > 0))
    assert 0 < answer.treatment_mean < 1

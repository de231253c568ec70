"""The regressions equal pyfixest's and linearmodels'."""

import warnings

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import panel
from include.organism.causal.regression import POOLED, WITHIN
from include.organism.causal.spec import Limits, PanelSpec
from tests.unit.organism.causal.panels import SPEC, fit

BALANCED = panel(150, 20, seed=1, persistence=0.5)
UNBALANCED = panel(200, 15, seed=2, missing=0.4)
# A third of the people are left with a single week.
SPARSE = panel(160, 4, seed=3, missing=0.55)


def with_single_period(frame):
    """A period in which one person is seen, who then has no other row left: both go, one after the other."""
    rows = {"person": [9_001, 9_001], "period": [0, 99], "treatment": [1.0, 2.0], "outcome": [3.0, 1.0]}
    return pl.concat([frame, pl.DataFrame(rows | {"x0": [0.5, 1.5], "x1": [0.1, 0.2]})])


def two_parts():
    """Two panels that share no period, so that their period effects have two bases."""
    late = panel(80, 6, seed=5, missing=0.2).with_columns(pl.col("person") + 1_000, pl.col("period") + 50)
    return pl.concat([panel(80, 8, seed=4, missing=0.2), late])


def far_from_zero():
    """Large means, as those of counts and dates are, cost the sums no digits."""
    return UNBALANCED.with_columns(pl.col("treatment") * 1e-3 + 1e4, pl.col("outcome") * 10 + 1e6)


PANELS = {
    "balanced": BALANCED,
    "unbalanced": UNBALANCED,
    "sparse": SPARSE,
    "single period": with_single_period(UNBALANCED),
}


def peer(frame, formula, cluster="person"):
    import pyfixest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyfixest.feols(formula, frame.to_pandas(), vcov={"CRV1": cluster}, fixef_tol=1e-13, fixef_maxiter=10**6)


@pytest.mark.parametrize("name", PANELS)
def test_two_way_within_is_pyfixest(name):
    ours, theirs = fit(PANELS[name]), peer(PANELS[name], "outcome ~ treatment + x0 + x1 | person + period")
    assert ours.rows == theirs._N
    np.testing.assert_allclose(ours.coefficients, theirs.coef(), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), theirs.se(), rtol=1e-7)
    np.testing.assert_allclose(ours.covariance, theirs._vcov, rtol=1e-6, atol=1e-9)
    assert ours.effect.p_value == pytest.approx(theirs.pvalue()["treatment"], rel=1e-6)
    low, high = theirs.confint().loc["treatment"]
    assert (ours.effect.low, ours.effect.high) == pytest.approx((low, high), rel=1e-7)


def test_people_who_share_no_period():
    """pyfixest counts the periods once too often in such a panel, which concerns the small-sample factor alone."""
    ours, theirs = fit(two_parts()), peer(two_parts(), "outcome ~ treatment + x0 + x1 | person + period")
    np.testing.assert_allclose(ours.coefficients, theirs.coef(), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), theirs.se(), rtol=1e-7)


def test_values_far_from_zero():
    ours, theirs = fit(far_from_zero()), fit(UNBALANCED)
    assert ours.effect.estimate == pytest.approx(theirs.effect.estimate * 1e4, rel=1e-8)
    assert ours.effect.std_error == pytest.approx(theirs.effect.std_error * 1e4, rel=1e-8)


def test_pooled_regression_is_pyfixest():
    ours, theirs = fit(BALANCED, method=POOLED), peer(BALANCED, "outcome ~ treatment + x0 + x1")
    np.testing.assert_allclose(ours.coefficients, theirs.coef()[1:], rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), theirs.se()[1:], rtol=1e-10)
    assert ours.r2 == pytest.approx(theirs._r2)


def test_pooled_regression_takes_the_same_rows_as_the_within_estimator():
    assert fit(SPARSE, method=POOLED).rows == fit(SPARSE).rows < len(SPARSE)


@pytest.mark.parametrize("wander", [False, True])
def test_clusters_of_several_people(wander):
    place = pl.col("person") + pl.col("period") // 5 if wander else pl.col("person")
    frame = UNBALANCED.with_columns(team="team " + (place % 40).cast(pl.String))
    ours = fit(frame, PanelSpec("outcome", "treatment", ("x0", "x1"), cluster="team"))
    theirs = peer(frame, "outcome ~ treatment + x0 + x1 | person + period", "team")
    assert (ours.clusters, ours.df) == (40, 39)
    np.testing.assert_allclose(ours.covariance, theirs._vcov, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("frame", [BALANCED, UNBALANCED], ids=["balanced", "unbalanced"])
def test_two_way_within_is_linearmodels(frame):
    from linearmodels import PanelOLS

    data = frame.to_pandas().set_index(["person", "period"])
    model = PanelOLS(
        data["outcome"], data[["treatment", "x0", "x1"]], entity_effects=True, time_effects=True, singletons=False
    )
    theirs = model.fit(cov_type="clustered", cluster_entity=True, group_debias=True)
    ours = fit(frame)
    np.testing.assert_allclose(ours.coefficients, theirs.params, rtol=1e-9)
    # Its small-sample factor counts the person effects, too.
    factor = (ours.rows - ours.unknowns) / theirs.df_resid
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance) * factor), theirs.std_errors, rtol=1e-9)


def test_a_confounder_that_never_changes_is_left_out_and_said():
    frame = UNBALANCED.with_columns(manager=pl.col("person") % 3 == 0)
    spec = PanelSpec("outcome", "treatment", ("manager", "x0", "x1"))
    ours, plain = fit(frame, spec), fit(frame)
    assert ours.names == plain.names
    assert "person effects" in ours.dropped["manager"]
    np.testing.assert_allclose(ours.coefficients, plain.coefficients, rtol=1e-12)
    assert fit(frame, spec, POOLED).names == ("treatment", "manager", "x0", "x1")


def test_of_confounders_that_repeat_each_other_one_is_kept():
    frame = UNBALANCED.with_columns(again=pl.col("x0") * -2 + pl.col("x1") + 7)
    ours = fit(frame, PanelSpec("outcome", "treatment", ("x0", "x1", "again")))
    assert set(ours.dropped) == {"again"}
    np.testing.assert_allclose(ours.coefficients, fit(frame).coefficients, rtol=1e-9)


def test_limits_do_not_change_the_numbers():
    loose = fit(SPARSE, limits=Limits(clusters=2))
    assert loose.effect == fit(SPARSE).effect


def test_methods_are_named():
    assert (fit(BALANCED).method, fit(BALANCED, method=POOLED).method) == (WITHIN, POOLED)
    assert SPEC.numbers == ("outcome", "treatment", "x0", "x1")

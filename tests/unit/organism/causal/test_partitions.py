"""The answer is the same however the rows are cut and in whatever order they come."""

from functools import reduce
from operator import add

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.causal_panels import panel
from include.organism.causal import kernels
from tests.unit.organism.causal.panels import SPEC, fit

FRAMES = {"balanced": panel(60, 8, seed=1), "unbalanced": panel(90, 10, seed=2, missing=0.4)}


def arrays(frame):
    values = frame.select(SPEC.numbers).to_numpy(order="c")
    return frame["person"].to_numpy(), frame["period"].to_numpy(), values


def same(ours, theirs):
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=1e-11)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(ours.gram, theirs.gram, rtol=1e-10, atol=1e-10)
    assert (ours.rows, ours.people, ours.clusters) == (theirs.rows, theirs.people, theirs.clusters)
    assert ours.effective_people == pytest.approx(theirs.effective_people, rel=1e-10)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("rows", [30, 100])
def test_parts_of_any_size(name, rows):
    frame = FRAMES[name]
    same(fit(frame, part_bytes=rows * 8 * 7), fit(frame))


@pytest.mark.parametrize("name", FRAMES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(1, 70))
def test_sums_add_up_over_any_partition_of_the_people(name, seed, parts):
    rng = np.random.default_rng(seed)
    person, period, values = arrays(FRAMES[name])
    shift = values.mean(axis=0) + rng.standard_normal(values.shape[1])
    part_of = rng.integers(0, parts, person.max() + 1)
    order = rng.permutation(len(person))
    person, period, values = person[order], period[order], values[order]
    cut = [part_of[person] == part for part in rng.permutation(parts)]
    found = reduce(add, (kernels.moments(kernels.people(person[c], period[c], values[c]), 10, shift) for c in cut))
    whole = kernels.moments(kernels.people(person, period, values), 10, shift)
    for field in ("rows", "people", "duplicates", "varying", "wandering"):
        assert getattr(found, field) == getattr(whole, field)
    for field in ("period_rows", "crossed", "by_period", "within", "total", "products"):
        np.testing.assert_allclose(getattr(found, field), getattr(whole, field), rtol=1e-10, atol=1e-10)


def test_order_of_rows_and_names_of_people():
    frame = FRAMES["unbalanced"]
    named = frame.with_columns(person="p" + (pl.col("person") * 7919 % 1000).cast(pl.String)).sample(
        fraction=1.0, shuffle=True, seed=3
    )
    same(fit(named), fit(frame.sort("period", "person")))


def test_parquet_files_and_frames(tmp_path):
    frame = FRAMES["unbalanced"]
    for place, part in enumerate(frame.iter_slices(100)):
        part.write_parquet(tmp_path / f"{place}.parquet")
    same(fit(str(tmp_path / "*.parquet")), fit(frame))
    same(fit(tmp_path), fit(frame.lazy()))


def test_a_block_boundary_cuts_no_person(monkeypatch):
    frame, expected = FRAMES["unbalanced"], fit(FRAMES["unbalanced"])
    for rows in (1, 7, 64):
        monkeypatch.setattr(kernels, "_BLOCK", rows)
        same(fit(frame), expected)


def test_people_of_one_row_are_left_out():
    rows = kernels.people(np.array([5, 3, 5, 9]), np.array([0, 0, 1, 2]), np.arange(8.0).reshape(4, 2))
    assert list(rows.starts) == [0, 2]
    assert rows.values.tolist() == [[0, 1], [4, 5]]


def test_no_rows_at_all():
    nothing = kernels.people(np.array([], int), np.array([], int), np.zeros((0, 2)))
    assert kernels.moments(nothing, 3, np.zeros(2)).rows == 0

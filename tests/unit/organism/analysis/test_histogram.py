"""Bars that hold enough people, on borders that are nobody's value."""

from __future__ import annotations

import numpy as np
import pytest

from include.organism.analysis.report.groups import LEAST, histogram


@pytest.mark.parametrize("scale", [1e-6, 0.0731, 1.0, 40_000.0])
def test_every_bar_holds_enough_and_no_border_is_a_value(scale):
    values = np.random.default_rng(3).pareto(2, size=300) * scale
    found = histogram(values)
    assert sum(found.counts) == found.people == 300
    assert min(found.counts) >= LEAST
    assert found.edges[0] <= values.min()
    assert found.edges[-1] > values.max()
    assert all(float(f"{edge:.3g}") == edge for edge in found.edges)


def test_people_who_are_all_alike_are_one_bar():
    assert histogram(np.full(25, 0.25)).counts == (25,)
    assert histogram(np.zeros(25)).edges == (0.0, 1.0)


def test_too_few_people_are_no_bar():
    assert histogram(np.arange(19.0)).counts == ()

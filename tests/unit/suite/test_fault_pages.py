"""The pages that say which fault is shown by which test name tests that are there."""

import re
from pathlib import Path

import pytest

from tests.faults.analysis.points import POINTS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("page", "files", "tests"), [("vms-faults.md", 5, 40), ("analysis-faults.md", 5, 25)])
def test_every_test_that_the_page_names_exists(page, files, tests):
    text = (ROOT / "docs" / page).read_text()
    short = dict(re.findall(r"`(\w)::`\s+(?:is )?`([\w/]+\.py)`", text))
    assert len(short) == files
    named = re.findall(r"`([\w/.]+)::(test_\w+)`", text)
    assert len(named) > tests
    for place, test in named:
        source = ROOT / "tests" / short.get(place, place)
        assert f"def {test}(" in source.read_text(), f"{place}::{test}"
    for place in re.findall(r"`((?:e2e|integration)/[\w/]+\.py)`", text):
        assert (ROOT / "tests" / place).is_file(), place


def test_something_happens_at_every_point_of_the_6_hour_pipeline():
    folders = ("analysis", "graph_metrics", "metric_store")
    sources = [path for folder in folders for path in (ROOT / "include/organism" / folder).rglob("*.py")]
    sources.append(ROOT / "include/organism/interventions/proposals.py")
    there = {name for path in sources for name in re.findall(r'fault_point\("([^"]+)"\)', path.read_text())}
    tried = {point.partition(":")[0] for points in POINTS.values() for point in points}
    # Only a graph that is too large for one worker passes them: tests/faults/graph_metrics.
    spread = {name for name in there if name.startswith("shards.")}
    assert len(spread) == 4
    assert there - spread == tried

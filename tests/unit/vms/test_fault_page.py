"""docs/vms-faults.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_page_names_exists():
    text = (ROOT / "docs/vms-faults.md").read_text()
    short = dict(re.findall(r"`(\w)::`\s+(?:is )?`([\w/]+\.py)`", text))
    assert len(short) == 5
    named = re.findall(r"`([\w/.]+)::(test_\w+)`", text)
    assert len(named) > 40
    for place, test in named:
        source = ROOT / "tests" / short.get(place, place)
        assert f"def {test}(" in source.read_text(), f"{place}::{test}"
    for place in re.findall(r"`((?:e2e|integration)/[\w/]+\.py)`", text):
        assert (ROOT / "tests" / place).is_file(), place

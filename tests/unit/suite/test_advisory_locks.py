"""Whoever locks a number in the warehouse waits only for its own kind."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_advisory_lock_has_a_number_of_its_own():
    numbers = Counter(
        int(found.replace("_", ""))
        for path in (ROOT / "include").rglob("*.py")
        for found in set(re.findall(r"4_?017_?723_?\d{3}", path.read_text()))
    )
    assert len(numbers) > 8
    assert [number for number, files in numbers.items() if files > 1] == []

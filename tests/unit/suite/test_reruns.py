"""Tests with real servers get a second try that is told; unit tests get none. In a small suite of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[3]

# Fails at its first try, wherever it stands.
ONCE = """
from pathlib import Path

def fails_once(name):
    seen = Path(name)
    if not seen.exists():
        seen.touch()
        raise AssertionError("the first try's own words")
"""
SERVERS = """
import itertools, pytest, time
from tests.once import fails_once

starts = itertools.count(1)

@pytest.fixture(scope="session")
def server():
    return next(starts)

def test_before(server):
    assert server == 1

def test_mended(server):
    fails_once("mended")
    assert server == 1

@pytest.mark.timeout(2)
def test_hangs(server):
    time.sleep(60)

def test_after(server):
    assert server == 1
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A tree with the real conftest.py, and so with our distribution over processes."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for folder in ("unit", "integration"):
        (pytester.path / "tests" / folder).mkdir(parents=True)
    for name in ("conftest.py", "chain_fixtures.py", "reruns.py"):
        shutil.copy(ROOT / "tests" / name, pytester.path / "tests")
    (pytester.path / "tests" / "once.py").write_text(ONCE)
    (pytester.path / "tests" / "integration" / "test_servers.py").write_text(SERVERS)
    unit = "from tests.once import fails_once\n\ndef test_unit():\n    fails_once('unit')\n"
    (pytester.path / "tests" / "unit" / "test_unit.py").write_text(unit)
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")
    return pytester


def test_one_second_try_with_the_same_servers_is_told_and_unit_tests_get_none(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("tests", "-n2", "-p", "no:cacheprovider", timeout=120)
    done.assert_outcomes(passed=3, failed=2)
    done.stdout.fnmatch_lines(
        ["*NOT RELIABLE*", "passed only at the second try: *::test_mended", "*first try's own words"]
    )
    said = done.stdout.str()
    assert said.count("passed only at the second try") == 1
    assert "FAILED tests/unit/test_unit.py::test_unit" in said
    # Both tries are ended by the time limit.
    assert "FAILED tests/integration/test_servers.py::test_hangs - Failed: Timeout" in said
    assert said.splitlines()[-1].count("2 rerun") == 1

"""One second try for tests with real servers, told loudly: `docs/decisions/0016-one-rerun.md`.

The hooks are imported by `tests/conftest.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

# Where real processes, ports and clocks decide; a unit test has no such excuse.
RERUN = ("tests/integration/", "tests/faults/", "tests/e2e/")
_TIMEOUT = pytest.StashKey[Any]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of these folders one second try."""
    if config.getoption("usepdb"):  # the debugger wants to stop at the first failure
        return
    for item in items:
        if item.nodeid.startswith(RERUN):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Remember the limit: pytest-timeout arms it once and drops it at the first failure."""
    item.stash[_TIMEOUT] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give the second try the whole limit again; without one it could hang for ever."""
    if getattr(item, "execution_count", 1) > 1 and _TIMEOUT in item.stash:
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[_TIMEOUT])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each test that needed its second try, and what had gone wrong in the first."""
    bad = {each.nodeid for kind in ("failed", "error") for each in terminalreporter.stats.get(kind, [])}
    needed = [each for each in terminalreporter.stats.get("rerun", []) if each.nodeid not in bad]
    if not needed:
        return
    terminalreporter.write_sep("!", "NOT RELIABLE: mend these tests", red=True, bold=True)
    for report in needed:
        terminalreporter.write_line(f"passed only at the second try: {report.nodeid}", red=True)
        terminalreporter.write_line(report.longreprtext)

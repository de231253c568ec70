"""The table of limits, its variables and its runbooks."""

from pathlib import Path

import pytest

from include.operations.watchdog.thresholds import THRESHOLDS, load

ROOT = Path(__file__).resolve().parents[4]


def test_the_limits_that_were_promised():
    promised = {
        "retry_rate_1h": 20,
        "retry_rate_24h": 20,
        "run_duration": 2,
        "task_duration": 2,
        "task_queue": 50,
        "stream_backlog": 50_000,
        "stream_age": 10,
        "success_rate": 95,
        "disk": 80,
        "memory": 80,
    }
    assert {name: THRESHOLDS[name].limit for name in promised} == promised


@pytest.mark.parametrize("threshold", THRESHOLDS.values(), ids=THRESHOLDS)
def test_each_is_complete(threshold):
    assert threshold.severity in {"P1", "P2", "P3"}
    assert (threshold.least > 0) == bool(threshold.least_means)
    assert threshold.what_to_do.endswith(".")
    assert threshold.is_bad(threshold.limit - 1 if threshold.below else threshold.limit + 1)
    assert not threshold.is_bad(threshold.limit)
    assert threshold.is_good(100 if threshold.below else 0)
    assert (ROOT / "docs" / "runbooks" / f"{threshold.runbook}.md").is_file()


def test_a_variable_changes_a_limit_and_where_good_begins():
    found, faults = load({"WATCHDOG_TASK_QUEUE": "200", "WATCHDOG_SUCCESS_RATE": "99"})
    assert faults == []
    assert (found["task_queue"].limit, found["task_queue"].clear) == (200, 160)
    assert found["success_rate"].clear == pytest.approx(99.2)
    assert found["disk"] == THRESHOLDS["disk"]


def test_a_check_can_be_switched_off():
    found, _ = load({"WATCHDOG_DISK": "off", "WATCHDOG_SUCCESS_RATE": "Off"})
    assert not found["disk"].is_bad(100)
    assert not found["success_rate"].is_bad(0)
    assert found["disk"].is_good(100)
    assert found["success_rate"].is_good(0)


@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf"])
def test_a_variable_that_holds_no_limit_is_named_and_the_default_holds(text):
    found, (fault,) = load({"WATCHDOG_DISK": text})
    assert fault.variable == "WATCHDOG_DISK"
    assert found["disk"].limit == 80

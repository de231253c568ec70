"""The watchdog under Airflow's own scheduler, and the dead-man check beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.operations.airflow_api import AirflowApi
from local import launcher, process
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def round_made(airflow_system: AirflowSystem) -> dict[str, Any]:
    """The watchdog has made a round; its result."""
    api = AirflowApi.from_environment(airflow_system.env)
    run = api.wait(api.trigger("ops_watchdog"), timeout=240)
    assert run.state == "success", [(t.task_id, t.state, t.tries) for t in api.task_instances(run)]
    result: dict[str, Any] = api.xcom(run, "watch")
    return result


def test_a_round_reaches_everything_it_checks(round_made: dict[str, Any]) -> None:
    """With the connections and rights that a task has."""
    assert round_made["checks_failed"] == []
    assert [name for name in round_made["open"] if name.startswith(("dead_component", "check_failed"))] == []


def look(system: AirflowSystem, state: Path, allowed_s: int = 120) -> subprocess.CompletedProcess[str]:
    env = os.environ | system.env | {"WATCHDOG_DEAD_COMPONENT": str(allowed_s)}
    command = [sys.executable, "-m", "include.cli", "doctor", "--watch", "--state", str(state)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.usefixtures("round_made")
def test_a_scheduler_that_hangs_is_noticed_from_outside_and_replaced(
    airflow_system: AirflowSystem, tmp_path: Path
) -> None:
    state = tmp_path / "dead-man.json"
    done = look(airflow_system, state)
    assert (done.returncode, done.stdout) == (0, ""), done
    sink = AlertSink.attach(airflow_system.env)
    told = {message["ts"] for message in sink.slack_messages()}
    before = pids(airflow_system)
    scheduler = before["scheduler"]
    workers = psutil.Process(scheduler).children(recursive=True)
    os.kill(scheduler, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 120
        while (done := look(airflow_system, state, allowed_s=12)).returncode == 0 and time.monotonic() < deadline:
            time.sleep(1)
        replacement = airflow_system.wait_for("scheduler", scheduler, timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scheduler, signal.SIGCONT)
    assert done.returncode == 1, done
    assert done.stdout.startswith("scheduler: no sign of life for ")
    new = [message["text"] for message in sink.slack_messages() if message["ts"] not in told]
    assert len([text for text in new if "Airflow is not working" in text]) == 1
    # It alone, with its whole family, by the supervisor: `local/heartbeats.py`.
    assert pids(airflow_system) == before | {"scheduler": replacement}
    assert not [worker for worker in workers if process.is_alive(worker)]
    assert "scheduler hung: ended after " in airflow_system.supervisor_log.read_text()


def pids(system: AirflowSystem) -> dict[str, int]:
    return {name: part["pid"] for name, part in launcher.describe(system.state_dir)["parts"].items()}

"""The complete local system: Airflow over the embedded servers, and what happens when its processes are killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from local import declared, launcher, process
from local.layout import ROOT
from local.simulators.settings import SLACK
from local.testing import AirflowSystem

pytestmark = [pytest.mark.servers, pytest.mark.airflow]


def unhealthy(system: AirflowSystem) -> dict[str, str]:
    """Components that are not well; the next heartbeat of one that another test has held up is waited for."""
    deadline = time.monotonic() + 60
    while True:
        health = system.api.get("/api/v2/monitor/health").json()
        assert set(health) == {"metadatabase", "scheduler", "triggerer", "dag_processor"}
        found = {name: state["status"] for name, state in health.items() if state["status"] != "healthy"}
        if not found or not process.wait_until(deadline, 0.5):
            return found


def test_every_component_is_healthy(airflow_system: AirflowSystem) -> None:
    assert unhealthy(airflow_system) == {}


def test_nothing_listens_beyond_loopback(airflow_system: AirflowSystem) -> None:
    keeper = psutil.Process(launcher.describe(airflow_system.state_dir)["keeper"]["pid"])
    listening = set()
    for member in keeper.children(recursive=True):
        # Workers come and go.
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = member.net_connections("inet")
            listening |= {
                each.laddr.ip.removeprefix("::ffff:") for each in connections if each.status == psutil.CONN_LISTEN
            }
    assert listening == {"127.0.0.1"}


def test_anonymous_requests_are_refused(airflow_system: AirflowSystem) -> None:
    import httpx

    assert httpx.get(f"{airflow_system.url}/api/v2/dags", timeout=60).status_code == 401


def test_declared_pools_exist_and_can_be_applied_again(airflow_system: AirflowSystem) -> None:
    env = airflow_system.env
    login = env["AIRFLOW_API_URL"], env["AIRFLOW_API_USERNAME"], env["AIRFLOW_API_PASSWORD"]
    done = declared.apply(ROOT, *login)
    assert not done.startswith("0 ")
    pools = {pool["name"] for pool in airflow_system.api.get("/api/v2/pools").json()["pools"]}
    assert len(pools) > 1


def test_variables_are_kept_up_to_date(airflow_system: AirflowSystem, tmp_path: Path) -> None:
    env = airflow_system.env
    login = env["AIRFLOW_API_URL"], env["AIRFLOW_API_USERNAME"], env["AIRFLOW_API_PASSWORD"]
    for value in ("one", "two"):
        text = f"airflow:\n  variables:\n  - variable_name: a/b\n    variable_value: {value}\n"
        (tmp_path / declared.FILE).write_text(text)
        assert declared.apply(tmp_path, *login) == "0 pools, 1 variables"
        assert airflow_system.api.get("/api/v2/variables/a%2Fb").json()["value"] == value


def test_airflow_on_the_command_line_works_with_the_variables(airflow_system: AirflowSystem) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "list", "-o", "plain"],
        env={**os.environ, **airflow_system.env},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert "organism_incremental_update" in shown.stdout


def test_killed_scheduler_comes_back_without_its_old_workers(airflow_system: AirflowSystem) -> None:
    before = psutil.Process(airflow_system.pid_of("scheduler")).children(recursive=True)
    airflow_system.restart_scheduler()
    assert not [p for p in before if process.is_alive(p)]
    assert "scheduler" not in unhealthy(airflow_system)


def test_workers_of_a_killed_scheduler_can_be_kept(airflow_system: AirflowSystem) -> None:
    workers = {p.pid for p in psutil.Process(airflow_system.pid_of("scheduler")).children()}
    try:
        airflow_system.restart_scheduler(keep_orphans=True)
        # All of them; while orphans are kept, those of other parts are, too.
        assert workers
        assert workers <= {p.pid for p in airflow_system.orphans()}
    finally:
        airflow_system.end_orphans()


def test_alerts_have_somewhere_to_go(airflow_system: AirflowSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.slack.hooks.slack import SlackHook

    monkeypatch.setenv(SLACK, airflow_system.env[SLACK])
    slack = SlackHook(slack_conn_id="slack_alerts")
    said = [f"{when} the kill {uuid4()}" for when in ("before", "after")]
    slack.call("chat.postMessage", json={"channel": "#alerts", "text": said[0]})
    airflow_system.wait_for("alert-sink", airflow_system.kill("alert-sink"))
    slack.call("chat.postMessage", json={"channel": "#alerts", "text": said[1]})
    texts = [message["text"] for message in airflow_system.alerts.slack_messages()]
    assert [text for text in texts if text in said] == said
    assert airflow_system.env.items() >= airflow_system.alerts.connections.items()


def test_killed_postgres_does_not_take_airflow_down_for_long(airflow_system: AirflowSystem) -> None:
    airflow_system.wait_for("postgres", airflow_system.kill("postgres"))
    assert airflow_system.api.get("/api/v2/dags").status_code == 200

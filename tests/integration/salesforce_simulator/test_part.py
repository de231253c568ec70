"""The simulator as a part of the local system: filled at the first start, records kept, replaced by a real one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import launcher
from local.errors import PartError
from local.launcher import Launch
from local.salesforce.part import SalesforcePart
from local.salesforce.settings import ADMIN, CONNECTION
from local.salesforce.testing import SalesforceServer


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "it's a state"
    yield directory
    launcher.stop(directory)


def launch(state: Path, **environ: str) -> Launch:
    environ = {"SALESFORCE_DEMO_PERCENT": "0.1", **environ}
    started = Launch(state, parts=("salesforce",), usual_ports=False, environ={**os.environ, **environ})
    started.start()
    return started


def test_up_kill_down_up(state: Path) -> None:
    system = launch(state)
    assert {ADMIN, CONNECTION} <= set(system.env)
    server = SalesforceServer.attach(system.env)
    generated = server.state()["records"]
    assert generated["Contact"] > 100
    made = server.store.insert("Account", {"Name": "Kept"})
    pid = launcher.describe(state)["parts"]["salesforce"]["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (found := launcher.describe(state)["parts"]["salesforce"])["pid"] in (pid, None) or not found["ready"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    system.stop()
    assert not psutil.pid_exists(found["pid"])
    again = launch(state)
    try:
        # The same secrets and port, and no second organisation on top of the first.
        assert again.env[CONNECTION] == system.env[CONNECTION]
        server = SalesforceServer.attach(again.env)
        assert server.state()["records"] == {**generated, "Account": generated["Account"] + 1}
        assert any(row["Id"] == made for row in server.store.rows("Account"))
    finally:
        again.stop()


def test_an_own_organisation_wins(state: Path) -> None:
    started = launch(state, **{CONNECTION: "salesforce://me@example.my.salesforce.com/"})
    assert launcher.describe(state)["external"] == {"salesforce": CONNECTION}
    assert launcher.describe(state)["parts"] == {}
    assert ADMIN not in started.env
    started.stop()


def test_only_loopback_and_only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESFORCE_DEMO_PERCENT", "0")
    server = SalesforcePart(tmp_path, usual_port=False)
    try:
        server.start()
        process = psutil.Process(server.pid)
        listening = [c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert [tuple(address) for address in listening] == [("127.0.0.1", server.port)]
        assert not any(server.settings.consumer_secret in word for word in process.cmdline())
        for path in server.directory.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
    finally:
        server.stop()


def test_a_wrong_size_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESFORCE_DEMO_PERCENT", "many")
    with pytest.raises(PartError, match="SALESFORCE_DEMO_PERCENT=many: a number from 0 to 100"):
        SalesforcePart(tmp_path, usual_port=False).start()


@pytest.mark.parametrize(("text", "live"), [("", False), ("0", False), ("1", True), ("True", True)])
def test_live_mode_is_switched_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, live: bool
) -> None:
    monkeypatch.setenv("SALESFORCE_LIVE", text)
    assert SalesforcePart(tmp_path, usual_port=False).settings.live is live


def test_a_wrong_switch_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESFORCE_LIVE", "maybe")
    with pytest.raises(PartError, match="SALESFORCE_LIVE=maybe: 1 or 0 is expected"):
        SalesforcePart(tmp_path, usual_port=False).start()

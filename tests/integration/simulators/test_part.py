"""The simulators as a part of the local system: started, restarted after a kill, stopped; what arrived stays."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import envfile, launcher
from local.launcher import Launch
from local.simulators.part import AlertSinkServer
from local.simulators.settings import INBOX, SENTRY, SLACK, SMTP
from local.simulators.testing import AlertSink


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "it's a state"
    yield directory
    launcher.stop(directory)


def launch(state: Path, **environ: str) -> Launch:
    started = Launch(state, parts=("alert-sink",), usual_ports=False, environ={**os.environ, **environ})
    started.start()
    return started


def post(env: dict[str, str], text: str) -> None:
    """Post as the exported connection says."""
    from urllib.parse import parse_qs, urlsplit

    from slack_sdk import WebClient

    parts = urlsplit(env[SLACK])
    extra = {name: values[0] for name, values in parse_qs(parts.query).items()}
    WebClient(parts.password, base_url=extra["base_url"]).chat_postMessage(channel=extra["channel"], text=text)


def test_up_kill_down_up(state: Path) -> None:
    system = launch(state)
    env = system.env
    assert {INBOX, SLACK, SMTP, SENTRY} <= set(env)
    post(env, "before the kill")
    pid = launcher.describe(state)["parts"]["alert-sink"]["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (found := launcher.describe(state)["parts"]["alert-sink"])["pid"] in (pid, None) or not found["ready"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    post(env, "after the kill")
    system.stop()
    assert not psutil.pid_exists(found["pid"])

    again = launch(state)
    assert again.env == env, "addresses and secrets stay"
    assert envfile.read(state / "env")[SLACK] == env[SLACK]
    assert [m["text"] for m in AlertSink.attach(again.env).slack_messages()] == ["before the kill", "after the kill"]
    again.stop()


def test_it_starts_fast_stays_small_and_listens_on_loopback_only(tmp_path: Path) -> None:
    server = AlertSinkServer(tmp_path, usual_port=False)
    server.start()
    try:
        assert server.pid is not None
        process = psutil.Process(server.pid)
        # The processor's time, because the machine may be busy: 0.5 s.
        assert process.cpu_times().user < 10
        assert process.memory_info().rss < 80e6
        listening = {c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert {address.ip for address in listening} == {"127.0.0.1"}
        assert {address.port for address in listening} == {server.settings.http_port, server.settings.smtp_port}
        assert not any(server.settings.slack_token in word for word in process.cmdline())
        for path in server.directory.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
    finally:
        server.stop()
    assert not psutil.pid_exists(process.pid)


class Raced(AlertSinkServer):
    """Another program takes the SMTP port between our choice and the process's bind."""

    strangers: list[socket.socket]

    def _prepare(self) -> None:
        super()._prepare()
        if not self.strangers:
            self.strangers.append(socket.create_server((self.host, self.settings.smtp_port)))


def test_a_lost_smtp_port_is_replaced(tmp_path: Path) -> None:
    server = Raced(tmp_path, usual_port=False)
    server.strangers = []
    try:
        server.start()
        server.check()
        assert server.settings.smtp_port != server.strangers[0].getsockname()[1]
    finally:
        server.stop()
        for stranger in server.strangers:
            stranger.close()


def test_own_services_win(state: Path) -> None:
    mine = {SLACK: "slack://:xoxb-mine@", SMTP: "smtp://mail.example:587", SENTRY: "generic://:dsn@"}
    started = launch(state, **{SLACK: mine[SLACK]})
    assert started.env[SLACK] == mine[SLACK]
    assert "127.0.0.1" in started.env[SMTP]
    started.stop()
    started = launch(state, **mine)
    assert launcher.describe(state)["external"] == {"alert-sink": f"{SLACK} and {SMTP} and {SENTRY}"}
    assert launcher.describe(state)["parts"] == {}
    assert INBOX not in started.env
    started.stop()


def test_only_the_key_opens_the_inbox(alert_sink: AlertSink) -> None:
    settings = alert_sink.settings

    def ask(method: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", settings.http_port, timeout=60)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    assert ask("GET", "/inbox/slack.json") == 403
    assert ask("GET", "/inbox/slack.json?key=wrong") == 403
    assert ask("GET", f"/inbox/slack.json?key={settings.reader_key}") == 200
    # A page of another site could send this one, so the key in the address is not enough to change something.
    assert ask("DELETE", f"/inbox?key={settings.reader_key}") == 403

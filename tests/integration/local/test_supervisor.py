"""Nothing is left behind: whoever is killed, every process of the system ends, and the next start works."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from local import commands, envfile, launcher, process
from local.launcher import Launch, LaunchError
from local.ports import any_free
from local.presets import METADATA, REDIS, WAREHOUSE
from local.progress import Event

pytestmark = pytest.mark.servers
PARTS = ("postgres", "redis")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    # A space and quotes, as a home directory may have them.
    directory = tmp_path / "it's a state"
    yield directory
    launcher.stop(directory)


def launch(state: Path, **options: object) -> Launch:
    started = Launch(state, parts=PARTS, usual_ports=False, **options)  # type: ignore[arg-type]
    started.start()
    return started


def processes(state: Path) -> list[psutil.Process]:
    """Everything of one system: the session's processes and PostgreSQL's backends below them."""
    found = launcher.describe(state)
    keeper = psutil.Process(found["keeper"]["pid"])
    return [keeper, *keeper.children(recursive=True)]


def all_gone(members: list[psutil.Process], timeout: float = 60) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not any(process.is_alive(member) for member in members):
            return True
        time.sleep(0.1)
    return False


def pid_of(state: Path, name: str) -> int:
    found = launcher.describe(state)
    return int((found.get(name) or found["parts"][name])["pid"])


def eventually(condition: Callable[[], bool], timeout: float = 60) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_up_down_up_keeps_data_ports_and_passwords(state: Path) -> None:
    first = launch(state)
    env = first.env
    with redis.Redis.from_url(env["AIRFLOW_CONN_ORGANISM_REDIS"]) as client:
        client.set("kept", "1")
    first.detach()
    members = processes(state)
    assert launcher.stop(state)
    assert all_gone(members)
    assert not launcher.stop(state), "a second down finds nothing"

    second = launch(state)
    assert second.env == env
    with redis.Redis.from_url(second.env["AIRFLOW_CONN_ORGANISM_REDIS"], decode_responses=True) as client:
        assert client.get("kept") == "1"
    second.stop()


def test_no_other_user_can_read_passwords(state: Path) -> None:
    launch(state).detach()
    seen = 0
    for path in [state / "env", state / "secrets.json", state / "redis" / "redis.conf", state / "run" / "system.json"]:
        assert path.stat().st_mode & 0o077 == 0, path
    env = envfile.read(state / "env")
    secrets = [
        env[name].split(":")[2].split("@")[0] for name in ("AIRFLOW_CONN_ORGANISM_REDIS", "AIRFLOW_CONN_WAREHOUSE")
    ]
    for member in processes(state):
        # A worker process of PostgreSQL may end at any time.
        with contextlib.suppress(psutil.NoSuchProcess):
            words = member.cmdline()
            assert not any(secret in word for word in words for secret in secrets)
            seen += 1
    assert seen > 2


def test_killed_launcher_stops_everything(state: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from local.launcher import Launch\n"
        f"Launch(Path({str(state)!r}), parts={PARTS!r}, usual_ports=False).start(); print('up', flush=True)\n"
        "time.sleep(600)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    members = processes(state)
    started.kill()
    started.communicate()
    assert all_gone(members)
    assert not launcher.is_running(state)


@pytest.mark.parametrize("victims", [["keeper"], ["supervisor"], ["keeper", "supervisor"]])
def test_killed_supervisor_leaves_nothing(state: Path, victims: list[str]) -> None:
    launch(state).detach()
    members = processes(state)
    for pid in [pid_of(state, victim) for victim in victims]:
        os.kill(pid, signal.SIGKILL)
    assert all_gone(members)
    again = launch(state)
    again.stop()


def test_servers_of_a_killed_supervisor_shut_down_cleanly(state: Path) -> None:
    launch(state).detach()
    members = processes(state)
    os.kill(pid_of(state, "supervisor"), signal.SIGKILL)
    assert all_gone(members)
    assert "database system is shut down" in (state / "logs" / "postgres.log").read_text()


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_server_comes_back(state: Path, part: str) -> None:
    started = launch(state)
    old = pid_of(state, part)
    os.kill(old, signal.SIGKILL)
    assert eventually(lambda: launcher.describe(state)["parts"][part]["pid"] not in (old, None))
    assert eventually(lambda: launcher.describe(state)["parts"][part]["ready"])
    with psycopg.connect(started.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
        connection.execute("SELECT 1")
    started.stop()


def test_second_start_says_that_it_runs(state: Path) -> None:
    launch(state).detach()
    with pytest.raises(LaunchError, match="another process"):
        launch(state)


def test_stale_pid_file_of_postgres_is_repaired(state: Path) -> None:
    launch(state).stop()
    # A pid of a living stranger, as after a reboot: PostgreSQL alone would refuse to start.
    (state / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getppid()}\n/elsewhere\n0\n5432\n\n127.0.0.1\n")
    launch(state).stop()


def test_only_our_own_processes_are_signalled(state: Path) -> None:
    launch(state).stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        # A record whose pid belongs to somebody else by now.
        (state / "run" / "redis.json").write_text(f'{{"name": "redis", "pid": {stranger.pid}, "started": 1.0}}')
        launch(state).stop()
        assert stranger.poll() is None
        stranger.kill()


def test_taken_port_is_replaced(state: Path) -> None:
    launch(state).stop()
    env = envfile.read(state / "env")
    port = int(env["AIRFLOW_CONN_ORGANISM_REDIS"].rsplit(":", 1)[1].removesuffix("/0"))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        again = launch(state)
        assert f":{port}/" not in again.env["AIRFLOW_CONN_ORGANISM_REDIS"]
        with redis.Redis.from_url(again.env["AIRFLOW_CONN_ORGANISM_REDIS"]) as client:
            assert client.ping()
        again.stop()


def test_a_preset_connection_wins_also_in_a_shell_that_sourced_it(state: Path) -> None:
    # Nothing listens on this port: that is told, and is no failure.
    mine = f"redis://:own@127.0.0.1:{any_free()}/1"
    environ = {**os.environ, REDIS: mine}
    for _ in range(2):
        events: list[Event] = []
        started = launch(state, environ=environ, report=events.append)
        assert started.env[REDIS] == mine
        found = launcher.describe(state)
        assert found["external"] == {"redis": REDIS}
        assert "redis" not in found["parts"]
        (said,) = [event for event in events if event.part == "redis"]
        assert said.state == "warning"
        assert said.detail.startswith(f"yours: {REDIS} is set | 127.0.0.1:")
        assert "cannot be reached: Connection refused" in said.detail
        started.detach()
        assert launcher.stop(state)
        environ = {**os.environ, **started.env}
    again = launch(state, environ={**environ, REDIS: ""})
    assert launcher.describe(state)["external"] == {}
    again.stop()


def test_status_warns_of_a_server_that_cannot_be_reached_and_is_well(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {**os.environ, REDIS: "redis://127.0.0.1:1/0", WAREHOUSE: "postgres://me:x@127.0.0.1:1/w"}
    started = launch(state, environ=environ)
    assert {"postgres"} == set(launcher.describe(state)["parts"]), "it serves Airflow's metadata"
    assert started.env[WAREHOUSE] == environ[WAREHOUSE]
    assert commands.status(state) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert shown["postgres"].endswith("healthy")
    assert f"yours: {REDIS} is set" in shown["redis"]
    assert shown["redis"].endswith("warning: 127.0.0.1:1 cannot be reached: Connection refused")
    assert f"yours: {WAREHOUSE} is set" in shown["warehouse"]
    assert shown["warehouse"].endswith("warning: 127.0.0.1:1 cannot be reached: Connection refused")
    started.stop()


def test_airflow_is_not_started_without_its_metadata_database(state: Path) -> None:
    environ = {
        **os.environ,
        METADATA: "postgresql+psycopg2://me:x@127.0.0.1:1/a",
        WAREHOUSE: "postgres://127.0.0.1:1/w",
    }
    with pytest.raises(LaunchError, match=r"metadata: 127\.0\.0\.1:1 cannot be reached.*Airflow cannot start"):
        Launch(state, parts=("postgres", "airflow"), usual_ports=False, environ=environ).start()
    assert not launcher.is_running(state)


def test_no_postgres_is_started_when_both_databases_are_elsewhere(state: Path) -> None:
    own = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://there/a",
        "AIRFLOW_CONN_WAREHOUSE": "postgres://there/w",
    }
    started = launch(state, environ={**os.environ, **own})
    assert set(launcher.describe(state)["parts"]) == {"redis"}
    assert started.env.items() >= own.items()
    started.stop()


def test_a_damaged_secrets_file_is_one_clear_line(state: Path) -> None:
    launch(state).stop()
    (state / "secrets.json").write_text("{")
    with pytest.raises(LaunchError, match="damaged"):
        launch(state)
    assert not launcher.is_running(state)

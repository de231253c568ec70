"""Ports: the remembered one, else the usual one, else a free one."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.part import NotReadyError, PortTakenError
from local.ports import Ports, answers, any_free, is_free, must_be_ours


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_listener_takes_its_port(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not is_free(port)
    assert answers(port)
    listener.close()
    assert is_free(port)
    assert not answers(port)


def test_a_listener_on_all_interfaces_takes_the_loopback_port() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_usual_port_then_remembered(tmp_path: Path) -> None:
    usual = any_free()
    assert Ports(tmp_path).choose("redis", usual) == usual
    assert Ports(tmp_path).known("redis") == usual
    assert Ports(tmp_path).choose("redis", any_free()) == usual, "stays while it is free"


def test_whoever_asks_while_a_server_starts_gets_the_port_that_was_chosen(tmp_path: Path) -> None:
    """One that was chosen a second time would be written down in place of the one the server listens on."""
    usual = any_free()
    with ThreadPoolExecutor(16) as pool:
        ports = list(pool.map(lambda _: Ports(tmp_path).ensure("redis", usual), range(64)))
    assert set(ports) == {usual}
    with socket.create_server(("127.0.0.1", usual)):
        assert Ports(tmp_path).ensure("redis", usual) == usual


def test_taken_usual_port_gives_another_which_is_kept(tmp_path: Path, listener: socket.socket) -> None:
    usual = listener.getsockname()[1]
    ports = Ports(tmp_path)
    port = ports.choose("redis", usual)
    assert port != usual
    assert ports.moved("redis") == f"{usual} is taken, using {port}"
    ports.release("redis")
    again = Ports(tmp_path)
    assert again.choose("redis", usual) == port
    assert again.moved("redis") == f"{usual} is taken, using {port}", "said at every start while it is so"
    listener.close()
    assert again.choose("redis", usual) == port
    assert again.moved("redis") == ""


def test_tests_do_not_take_the_usual_port(tmp_path: Path) -> None:
    usual = any_free()
    assert Ports(tmp_path, usual=False).choose("redis", usual) != usual


def test_two_servers_never_get_one_port(tmp_path: Path) -> None:
    usual = any_free()
    first = Ports(tmp_path).choose("redis", usual)
    assert Ports(tmp_path).choose("postgres", usual) != first


def test_nonsense_in_the_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"redis": "x", "neo4j": 700000}')
    usual = any_free()
    assert Ports(tmp_path).choose("redis", usual) == usual
    assert Ports(tmp_path).choose("neo4j", any_free()) < 65536


def test_two_clones_that_start_at_once_get_different_ports(tmp_path: Path) -> None:
    usual = any_free()
    first, second = Ports(tmp_path / "one"), Ports(tmp_path / "two")
    assert first.choose("neo4j", usual) == usual
    assert second.choose("neo4j", usual) != usual, "not listening yet, but reserved"
    first.release("neo4j")
    assert Ports(tmp_path / "three").choose("neo4j", usual) == usual


def test_choosing_again_is_not_hindered_by_our_own_reservation(tmp_path: Path) -> None:
    usual = any_free()
    ports = Ports(tmp_path)
    assert ports.choose("redis", usual) == ports.choose("redis", usual) == usual


def test_a_stranger_on_our_port_is_noticed(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    must_be_ours(os.getpid(), port)
    with subprocess.Popen(["sleep", "30"]) as child:
        with pytest.raises(PortTakenError, match=str(port)):
            must_be_ours(child.pid, port)
        with pytest.raises(NotReadyError):
            must_be_ours(child.pid, any_free())
        child.kill()

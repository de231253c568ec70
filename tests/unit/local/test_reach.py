"""Servers of the user's own that cannot be reached are told, soon, whatever form their connection has."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from local import reach


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("redis://:p%40ss@there/0", ("there", 6379)),
        ("redis://there:6390/0?ssl=true", ("there", 6390)),
        ("postgresql+psycopg2://me:x@there:5433/a", ("there", 5433)),
        ('{"conn_type": "redis", "host": "there", "port": 6390, "extra": {"ssl": true}}', ("there", 6390)),
        ("redis://:x@there:6390/?__extra__=%7B%22ssl%22%3A+true%7D", ("there", 6390)),
        ('{"conn_type": "redis"}', None),
        ('{"host": ', None),
        ("sqlite:////tmp/a.db", None),
        ("redis://there:port", None),
    ],
)
def test_every_form_of_a_connection_names_its_server(connection: str, expected: tuple[str, int] | None) -> None:
    assert reach.address(connection, 6379) == expected


def test_a_server_that_listens_is_no_trouble(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert reach.trouble("127.0.0.1", port) == ""
    listener.close()
    assert reach.trouble("127.0.0.1", port) == f"127.0.0.1:{port} cannot be reached: Connection refused"


def test_silent_servers_and_name_servers_take_no_longer_than_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()

    def silent(*_: object) -> socket.socket:
        silence.wait(120)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    monkeypatch.setattr(reach.trouble, "__defaults__", (0.2,))
    variables = {"A": "redis://one", "B": "neo4j://two", "C": "postgres:///w"}
    begun = time.monotonic()
    found = reach.troubles(variables, {"redis": "A", "neo4j": "B", "warehouse": "C"})
    silence.set()
    assert time.monotonic() - begun < 60, "two minutes each, had they been waited for"
    assert found == {
        "redis": "one:6379 cannot be reached: no answer within 0.2 s",
        "neo4j": "two:7687 cannot be reached: no answer within 0.2 s",
        "warehouse": "C names no host",
    }

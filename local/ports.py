"""Choice of loopback ports: the remembered one, else the usual one, else any free one."""

from __future__ import annotations

import socket
from pathlib import Path

from local.files import locked, read_json, write_json

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: a port in TIME_WAIT is free, one with a listener (also on 0.0.0.0) is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def any_free() -> int:
    """Return a port the kernel considers free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int, timeout: float = 1.0) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((HOST, port), timeout):
            return True
    except OSError:
        return False


class Ports:
    """Ports of one state directory, remembered so that they stay the same over down and up while they are free."""

    def __init__(self, state_dir: Path, *, usual: bool = True) -> None:
        self._path = state_dir / "ports.json"
        self._lock = state_dir / "run" / "ports.lock"
        self._usual = usual

    def known(self, name: str) -> int | None:
        """Return the remembered port."""
        port = read_json(self._path).get(name)
        return port if isinstance(port, int) else None

    def choose(self, name: str, usual: int) -> int:
        """Pick a free port for a server and remember it."""
        with locked(self._lock):
            kept = read_json(self._path)
            taken = {port for other, port in kept.items() if other != name}
            candidates = [kept.get(name), usual if self._usual else None]
            port = next((p for p in candidates if isinstance(p, int) and p not in taken and is_free(p)), None)
            while port is None:
                candidate = any_free()
                port = None if candidate in taken else candidate
            kept[name] = port
            write_json(self._path, kept)
            return port

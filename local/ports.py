"""Choice of loopback ports: the remembered one, else the usual one, else any free one."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import psutil

from local.files import cache_dir, locked, read_json, write_json
from local.part import NotReadyError, PortTakenError

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


def must_be_ours(pid: int, port: int) -> None:
    """Raise unless a process or a child of it listens on the port: a stranger there would answer in its place."""
    if not answers(port):
        raise NotReadyError(f"does not listen on port {port} yet")
    try:
        head = psutil.Process(pid)
        members = [head, *head.children()]
        listening = {c.laddr.port for m in members for c in m.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    except psutil.Error:
        return  # it ended just now, or this system does not let us look
    if port not in listening:
        raise PortTakenError(f"port {port} was taken by another program")


class Ports:
    """Ports of one state directory, remembered so that they stay the same over down and up while they are free.

    A server listens seconds after its port was chosen. Until then the port is reserved by a lock in the user's cache,
    so that two clones that start at the same time choose different ones.
    """

    def __init__(self, state_dir: Path, *, usual: bool = True) -> None:
        self._path = state_dir / "ports.json"
        self._lock = state_dir / "run" / "ports.lock"
        self._usual = usual
        self._reserved: dict[str, int] = {}
        self._moved: dict[str, str] = {}

    def known(self, name: str) -> int | None:
        """Return the remembered port."""
        port = read_json(self._path).get(name)
        return port if isinstance(port, int) else None

    def choose(self, name: str, usual: int) -> int:
        """Pick a free port for a server, remember it, and reserve it until `release`."""
        with locked(self._lock):
            return self._choose(name, usual)

    def ensure(self, name: str, usual: int) -> int:
        """Return the remembered port; pick one when there is none.

        While one thread starts a server another may ask for its address. It must get the port that was chosen, and not
        choose a second one.
        """
        with locked(self._lock):
            port = self.known(name)
            return self._choose(name, usual) if port is None else port

    def _choose(self, name: str, usual: int) -> int:
        kept = read_json(self._path)
        taken = {port for other, port in kept.items() if other != name}
        self.release(name)
        candidates = [kept.get(name), usual if self._usual else None]
        port = next((p for p in candidates if isinstance(p, int) and p not in taken and self._take(name, p)), None)
        while port is None:
            candidate = any_free()
            port = candidate if candidate not in taken and self._take(name, candidate) else None
        kept[name] = port
        write_json(self._path, kept)
        # The usual one is named as long as it is taken, so that nobody has to guess why the port is another.
        busy = [p for p in dict.fromkeys(candidates[::-1]) if isinstance(p, int) and p != port and not is_free(p)]
        self._moved[name] = f"{busy[0]} is taken, using {port}" if busy else ""
        return port

    def moved(self, name: str) -> str:
        """Return which port was taken when the last one was chosen, and which is used instead; empty: none was."""
        return self._moved.get(name, "")

    def release(self, name: str) -> None:
        """Give up the reservation: the server listens, or will not."""
        descriptor = self._reserved.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        for name in list(self._reserved):
            self.release(name)

    def _take(self, name: str, port: int) -> bool:
        if not is_free(port):
            return False
        try:
            folder = cache_dir() / "ports"
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return True  # no cache, no reservation: the race is rare
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._reserved[name] = descriptor
        return True

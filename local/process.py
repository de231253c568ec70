"""Processes of the local system: started in groups of their own, recorded, and only ours are ever signalled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from local.files import read_json, write_json

LOG_LIMIT = 20_000_000

# The kernel ties "parent died" to the *thread* that forked. All children are therefore forked by one thread that lives
# as long as this process; otherwise a server restarted from a helper thread would be ended together with that thread.
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-forker")


@dataclass(frozen=True)
class Record:
    """What identifies a process for good: a pid alone can be taken over by a stranger."""

    name: str
    pid: int
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> Record:
        """Describe a living process."""
        return cls(name, pid, psutil.Process(pid).create_time())

    def save(self, path: Path) -> None:
        """Remember this process for a later `down`."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Read a remembered process; None when there is none."""
        kept = read_json(path)
        try:
            return cls(str(kept["name"]), int(kept["pid"]), float(kept["started"]))
        except (KeyError, TypeError, ValueError):
            return None

    def find(self) -> psutil.Process | None:
        """Return the process when it is still the same one and not a zombie."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None


@cache
def setpriv() -> str | None:
    """Return util-linux's setpriv when it can tie a child to its parent's life (Linux only)."""
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if path is None:
        return None
    shown = subprocess.run([path, "--help"], capture_output=True, text=True, check=False).stdout
    return path if "--pdeathsig" in shown else None


def tied_to_parent(argv: Sequence[str], stop_signal: signal.Signals, options: Sequence[str] = ()) -> list[str]:
    """Wrap a command so that it gets its stop signal when we die, however we die.

    `options` are further options of setpriv. They have to go through the same call, because a change of
    user clears the parent death signal.
    """
    wrapper = setpriv()
    if wrapper is None:
        return list(argv)
    return [wrapper, f"--pdeathsig={stop_signal.name}", *options, "--", *argv]


def open_log(path: Path) -> int:
    """Open a log for appending; a big one is moved aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def spawn(argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a long-running child in its own process group, its output appended to a log."""

    def fork() -> subprocess.Popen[bytes]:
        output = open_log(log)
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                process_group=0,
            )
        finally:
            os.close(output)

    return _FORKER.submit(fork).result()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Sequence[psutil.Process], sig: signal.Signals, grace: float) -> None:
    """Signal processes, wait, and SIGKILL those that remain. psutil checks pid reuse before each signal."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(sig)
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def stop_child(child: subprocess.Popen[bytes], sig: signal.Signals, grace: float) -> bool:
    """Stop a child cleanly, then end whatever remains of its family. True when it obeyed within the grace time."""
    members = family(child.pid)
    if child.poll() is None:
        child.send_signal(sig)
    try:
        child.wait(grace)
        obeyed = True
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(5)
        obeyed = False
    end([m for m in members if m.pid != child.pid and m.is_running()], signal.SIGTERM, 2.0)
    return obeyed


def kill_child(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child and its family at once, as a power cut would, and wait until they are gone."""
    members = family(child.pid)
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait(10)
    psutil.wait_procs([m for m in members if m.pid != child.pid], timeout=10)


def stop_recorded(record: Record, sig: signal.Signals, grace: float) -> bool:
    """Stop a process of an earlier run, and its family. False when it was gone already."""
    process = record.find()
    if process is None:
        return False
    rest = family(record.pid)[1:]
    end([process], sig, grace)
    end([p for p in rest if p.is_running()], signal.SIGTERM, 2.0)
    return True


def wait_until(deadline: float, pause: float = 0.1) -> bool:
    """Sleep a moment; False when the deadline has passed."""
    if time.monotonic() >= deadline:
        return False
    time.sleep(pause)
    return True

"""Processes of the local system: started in groups of their own, recorded, and only ours are ever signalled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from local.files import read_json, write_json

LOG_LIMIT = 20_000_000

# The kernel ties "parent died" to the *thread* that forked. All children are therefore forked by one thread that lives
# as long as this process; otherwise a server restarted from a helper thread would be ended together with that thread.
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-forker")

# Children we started on purpose. Every other child of this process is an orphan that a dead part left to us.
_known: set[int] = set()
_helpers: set[int] = set()
_registry = threading.Lock()


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
    return path if "--pdeathsig" in run([path, "--help"]).text else None


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


def trim_log(path: Path) -> None:
    """Move the content of a log that has grown too big aside; its writers append, so they go on at the new start."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_LIMIT:
            shutil.copyfile(path, path.with_suffix(path.suffix + ".1"))
            os.truncate(path, 0)


def _fork(argv: Sequence[str], *, helper: bool, **options: Any) -> subprocess.Popen[bytes]:
    def fork() -> subprocess.Popen[bytes]:
        with _registry:
            child = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, process_group=0, **options)
            _known.add(child.pid)
            if helper:
                _helpers.add(child.pid)
            return child

    return _FORKER.submit(fork).result()


def spawn(argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a long-running child in its own process group, its output appended to a log."""
    output = open_log(log)
    try:
        return _fork(argv, helper=False, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=dict(env))
    finally:
        os.close(output)


@dataclass(frozen=True)
class Finished:
    """A helper that has ended."""

    code: int
    text: str


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float = 60,
) -> Finished:
    """Run a helper to its end; its output is returned, and appended to a log when one is given."""
    options = {"cwd": cwd, "env": None if env is None else dict(env)}
    child = _fork(argv, helper=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    try:
        output, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_child(child)
        output = child.stdout.read() if child.stdout is not None else b""
        output += f"\nended: longer than {timeout:.0f} s\n".encode()
    finally:
        with _registry:
            _helpers.discard(child.pid)
            _known.discard(child.pid)
    if log is not None:
        descriptor = open_log(log)
        with os.fdopen(descriptor, "wb") as file:
            file.write(output)
    return Finished(child.returncode, output.decode(errors="replace"))


def end_helpers() -> None:
    """Kill the helpers that still run (the whole system is being stopped)."""
    with _registry:
        pids = list(_helpers)
    for pid in pids:
        end(family(pid), signal.SIGKILL, 1.0)


def end_orphans() -> int:
    """Kill what a dead part left behind: this process is a subreaper, so it arrives here as an unknown child."""
    with _registry:
        unknown = [child for child in psutil.Process().children() if child.pid not in _known]
    for orphan in unknown:
        for member in reversed(family(orphan.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(orphan.pid, 0)
    return len(unknown)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Sequence[psutil.Process], sig: signal.Signals, grace: float) -> None:
    """Signal processes, wait, and SIGKILL those that remain. psutil checks pid reuse before each signal."""
    for last_word, seconds in ((sig, grace), (signal.SIGKILL, 5.0)):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(last_word)
        processes = wait_gone(processes, seconds)


def wait_gone(processes: Sequence[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait for processes to end and return those that have not. A zombie has ended, whoever should reap it."""
    deadline = time.monotonic() + timeout
    while True:
        processes = [process for process in processes if is_alive(process)]
        if not processes or not wait_until(deadline, 0.02):
            return list(processes)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: neither gone, nor a zombie, nor another process with its number."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_child(child: subprocess.Popen[bytes], sig: signal.Signals, patience: float, grace: float) -> None:
    """Stop a child cleanly, then end whatever remains of its family.

    After `patience` seconds the whole family gets the signal, which for Airflow means "do not wait for tasks";
    after `grace` more seconds SIGKILL.
    """
    members = family(child.pid)[1:]
    child.send_signal(sig)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(patience)
    rest = {member.pid: member for member in [*members, *family(child.pid)[1:]] if member.is_running()}
    child.send_signal(sig)  # does nothing when it has ended
    # Not in the list: psutil would reap it, and its exit code would be lost.
    end(list(rest.values()), sig, grace)
    if child.poll() is None:
        child.kill()
        child.wait(30)


def kill_child(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child and its family at once, as a power cut would, and wait until they are gone."""
    members = family(child.pid)
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait(30)
    wait_gone([m for m in members if m.pid != child.pid], 10)


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

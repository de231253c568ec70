"""What runs in the foreground: starts or finds a supervisor, shows progress, stops it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import psutil

from local import envfile, process
from local.errors import last_lines
from local.files import read_json
from local.layout import PARTS, ROOT, STATE_DIR
from local.progress import Event, Report, Screen, quiet
from local.supervisor import ALREADY_RUNNING, DETACH, description_path, lock_path

STOP_TIMEOUT = 90.0


class LaunchError(Exception):
    """The system did not start; the text is the one line to show."""


def is_running(state_dir: Path = STATE_DIR) -> bool:
    """Tell whether a supervisor holds the lock. The kernel frees it when its holder dies."""
    try:
        descriptor = os.open(lock_path(state_dir), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def describe(state_dir: Path = STATE_DIR) -> dict[str, Any]:
    """Return what the supervisor says about itself; empty when none runs."""
    return read_json(description_path(state_dir)) if is_running(state_dir) else {}


class Launch:
    """A supervisor started by this process. It stops when we die, unless it was detached."""

    def __init__(
        self,
        state_dir: Path = STATE_DIR,
        *,
        parts: Collection[str] = PARTS,
        usual_ports: bool = True,
        environ: Mapping[str, str] | None = None,
        report: Report = quiet,
    ) -> None:
        self.state_dir = state_dir.resolve()
        self.log = self.state_dir / "logs" / "supervisor.log"
        self._parts = parts
        self._usual_ports = usual_ports
        self._environ = dict(os.environ if environ is None else environ)
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The keeper's process id."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def env(self) -> dict[str, str]:
        """The variables of the running system."""
        return envfile.read(self.state_dir / "env")

    def start(self) -> float:
        """Start the supervisor and wait until all is healthy. Returns its seconds."""
        self.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        clean_up(self.state_dir)
        options = ["--parts", ",".join(self._parts)] + ([] if self._usual_ports else ["--any-ports"])
        log = process.open_log(self.log)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "local", "--state-dir", str(self.state_dir), "supervise", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=self._environ | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        finally:
            os.close(log)
        return self._follow(self._child)

    def _follow(self, child: subprocess.Popen[bytes]) -> float:
        assert child.stdout is not None  # noqa: S101 - for the type checker
        for line in child.stdout:
            message = json.loads(line)
            if "event" in message:
                self._report(Event(**message["event"]))
            if "ready" in message:
                return float(message["ready"])
            if "failed" in message:
                for _ in child.stdout:
                    pass  # until everything is stopped again
                child.wait(STOP_TIMEOUT)
                raise LaunchError(message["failed"])
        code = child.wait(STOP_TIMEOUT)
        if code == ALREADY_RUNNING:
            raise LaunchError("the system is being started by another process")
        if code == 0:
            raise LaunchError("stopped by `down` or a signal while it was starting")
        raise LaunchError(f"supervisor: ended with code {code}: {last_lines(self.log)} | log: {self.log}")

    def detach(self) -> None:
        """Let the system go on without us."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.write(DETACH)
            self._child.stdin.close()
            # It answers nothing; its closing of the pipe says that it has let go.
            if self._child.stdout is not None:
                self._child.stdout.read()

    def stop(self) -> None:
        """Stop the system in order and wait."""
        child = self._child
        if child is None:
            return
        with contextlib.suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
        try:
            # communicate() would close; the rest of the events must be read or the supervisor blocks on a full pipe.
            if child.stdout is not None:
                for line in child.stdout:
                    message = json.loads(line)
                    if "event" in message:
                        self._report(Event(**message["event"]))
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            stop(self.state_dir)

    def kill(self) -> None:
        """SIGKILL the keeper (fault tests)."""
        if self._child is not None:
            self._child.kill()


def wait_until_ready(state_dir: Path, timeout: float = 300.0) -> bool:
    """Wait for a system another process is starting. False when it gave up."""
    deadline = time.monotonic() + timeout
    while is_running(state_dir):
        if read_json(description_path(state_dir)).get("status") == "ready":
            return True
        if not process.wait_until(deadline, 0.3):
            break
    return False


def stop(state_dir: Path = STATE_DIR) -> bool:
    """Stop a running system, also one whose launcher or supervisor is gone. False when nothing ran."""
    found = read_json(description_path(state_dir))
    ran = is_running(state_dir)
    if ran:
        deadline = time.monotonic() + STOP_TIMEOUT
        chiefs = [_record(found.get(name)) for name in ("keeper", "supervisor")]
        for chief in filter(None, chiefs):
            alive = chief.find()
            # It may end at this very moment; then the other one is asked.
            with contextlib.suppress(psutil.NoSuchProcess):
                if alive is not None:
                    alive.send_signal(signal.SIGTERM)
                    break
        while is_running(state_dir) and process.wait_until(deadline, 0.1):
            pass
        for chief in filter(None, chiefs):
            alive = chief.find()
            if alive is not None:
                process.end(process.family(alive.pid), signal.SIGKILL, 5)
    return clean_up(state_dir) > 0 or ran


def clean_up(state_dir: Path) -> int:
    """End what a killed run has left: recorded parts, then the rest of its session. Only our own processes."""
    if is_running(state_dir):
        return 0
    count = 0
    run = state_dir / "run"
    for path in run.glob("*.json"):
        record = process.Record.load(path)
        if record is not None:
            sig = signal.SIGINT if record.name == "postgres" else signal.SIGTERM
            count += process.stop_recorded(record, sig, 20.0)
            path.unlink(missing_ok=True)
    found = read_json(description_path(state_dir))
    keeper = _record(found.get("keeper"))
    session = found.get("session")
    if keeper is not None and isinstance(session, int):
        rest = [p for p in psutil.process_iter() if _belongs(p, session, keeper.started, state_dir)]
        process.end(rest, signal.SIGKILL, 5)
        count += len(rest)
    description_path(state_dir).unlink(missing_ok=True)
    return count


def _record(value: object) -> process.Record | None:
    if not isinstance(value, dict):
        return None
    with contextlib.suppress(TypeError):
        return process.Record(**value)
    return None


def _belongs(candidate: psutil.Process, session: int, since: float, state_dir: Path) -> bool:
    """A session id can be given out again, so the start time and the working directory have to fit as well."""
    try:
        if os.getsid(candidate.pid) != session or candidate.create_time() < since - 1:
            return False
        here = Path(candidate.cwd())
    except (psutil.Error, OSError):
        return False
    return any(here.is_relative_to(place) for place in (ROOT, state_dir))


class Ticker:
    """Keeps the seconds on a terminal moving while a block runs."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._done.wait(1.0):
            self._screen.tick()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._screen.close()

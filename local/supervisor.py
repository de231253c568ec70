"""The supervisor: starts the system, restarts what crashes, stops everything in order, leaves nothing behind.

Two processes watch each other, so that no single `kill -9` leaves anything running. The *keeper* (session leader)
only waits; when the *supervisor* below it ends in whatever way, the keeper ends all that is left. When the keeper
dies, the supervisor gets SIGTERM from the kernel and stops everything in order. Both are subreapers: processes
orphaned by a killed part come to them instead of to init.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from local import process
from local.errors import PartError
from local.files import write_json
from local.part import CancelledError, Part
from local.progress import Event

ALREADY_RUNNING = 3
FIRST_DELAY, LONGEST_DELAY, CALM = 0.5, 30.0, 60.0
GRACE_OF_THE_KEEPER = 25.0
DETACH = b"detach\n"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_log = logging.getLogger("local.supervisor")


def _prctl(option: int, value: int) -> None:
    """Call prctl(2); other systems do not have it and lose only the protection against kill -9."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def lock_path(state_dir: Path) -> Path:
    """Return the file whose lock says that a system runs."""
    return state_dir / "run" / "system.lock"


def description_path(state_dir: Path) -> Path:
    """Return the file that describes the running system."""
    return state_dir / "run" / "system.json"


def supervise(state_dir: Path, parts: Collection[str], *, usual_ports: bool) -> int:
    """Be the keeper: take the lock, fork the supervisor, and clean up after it."""
    os.umask(0o077)
    (state_dir / "run").mkdir(parents=True, exist_ok=True)
    # Others may pass through (PostgreSQL's account has to), but list nothing; every file in it is private.
    state_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    lock = os.open(lock_path(state_dir), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ALREADY_RUNNING
    if os.getsid(0) != os.getpid():
        os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = Supervisor(state_dir, parts, usual_ports=usual_ports, keeper=keeper).run()
        except Exception:  # noqa: BLE001 - the keeper learns it from the code, a person from the log
            _log.exception("the supervisor failed")
        finally:
            # Threads that still wait for a download or a socket must not delay the end.
            sys.stdout.flush()
            os._exit(code)
    return _keep(child)


def _keep(supervisor: int) -> int:
    def forward(sig: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, sig)

    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, forward)
    # The pipes belong to the supervisor and the launcher: each must see when the other one is gone.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == supervisor:
            break
    code = os.waitstatus_to_exitcode(status)
    rest = process.family(os.getpid())[1:]
    if rest:
        # A killed supervisor: its servers have just got their stop signals from the kernel.
        alive = process.wait_gone(rest, GRACE_OF_THE_KEEPER if code < 0 else 0)
        process.end([p for p in [*alive, *process.family(os.getpid())[1:]] if p.is_running()], signal.SIGKILL, 5)
    return code if code >= 0 else 1


class Supervisor:
    """Runs in the forked child: owns all parts."""

    def __init__(self, state_dir: Path, parts: Collection[str], *, usual_ports: bool, keeper: int) -> None:
        self._state_dir = state_dir
        self._keeper = keeper
        self._stopping = threading.Event()
        self._wake, self._waker = os.pipe()
        self._output = threading.Lock()
        self._attached = True
        self._began = time.time()
        self._begun = time.monotonic()
        # Imported here, so that the keeper stays small.
        from local.system import LocalSystem

        self._system = LocalSystem(state_dir, parts=parts, usual_ports=usual_ports, report=self._report)

    def run(self) -> int:
        """Start, watch, stop. Returns the exit code."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self._keeper:
            return 1
        # The Neo4j driver would import these three if it could: 120 MB and two seconds for nothing.
        sys.modules.update({"numpy": None, "pandas": None, "pyarrow": None})  # type: ignore[dict-item]
        logging.getLogger("httpx").setLevel(logging.WARNING)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
        self._describe("starting")
        starter = threading.Thread(target=self._start, name="starter", daemon=True)
        starter.start()
        self._wait_for_the_end()
        self._stopping.set()
        self._system.cancel()
        _log.info("stopping")
        starter.join(15)
        self._system.stop()
        process.end_orphans()
        description_path(self._state_dir).unlink(missing_ok=True)
        self._send({"end": "stopped"})
        return 0 if self._failure is None else 1

    _failure: str | None = None

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        os.write(self._waker, b"x")

    def _wait_for_the_end(self) -> None:
        """Return on a signal, a failed start, or when the launcher dies before it has let go of us."""
        inputs = [self._wake, 0]
        while True:
            ready, _, _ = select.select(inputs, [], [])
            if self._wake in ready:
                return
            word = os.read(0, 64)
            inputs = [self._wake]
            if not word.startswith(DETACH.strip()):
                _log.info("the launcher is gone")
                return
            self._detach()

    def _detach(self) -> None:
        with self._output:
            self._attached = False
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)

    # --- starting --------------------------------------------------------------------------------
    def _start(self) -> None:
        try:
            self._system.start()
        except CancelledError:
            return
        except PartError as error:
            self._fail(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the launcher must hear of it
            _log.exception("start failed")
            self._fail(f"{type(error).__name__}: {error}")
            return
        if self._stopping.is_set():
            return
        self._describe("ready")
        self._send({"ready": round(time.monotonic() - self._begun, 1)})
        _log.info("ready after %.1f s", time.monotonic() - self._begun)
        for part in self._system.parts:
            threading.Thread(target=self._guard, args=(part,), name=f"guard-{part.name}", daemon=True).start()
        threading.Thread(target=self._end_orphans, name="orphans", daemon=True).start()
        if self._system.components:
            threading.Thread(target=self._end_hung, name="heartbeats", daemon=True).start()

    def _fail(self, reason: str) -> None:
        _log.error("%s", reason)
        self._failure = reason
        self._send({"failed": reason})
        os.write(self._waker, b"x")

    # --- watching --------------------------------------------------------------------------------
    def _guard(self, part: Part) -> None:
        """Restart a part whenever it ends, at growing intervals while it keeps crashing."""
        delay = FIRST_DELAY
        since = time.monotonic()
        while not self._stopping.is_set():
            code = part.wait_for_exit(1.0)
            if code is None or self._stopping.is_set():
                continue
            if time.monotonic() - since > CALM:
                delay = FIRST_DELAY
            _log.warning("%s ended with code %s; restart in %.1f s (log: %s)", part.name, code, delay, part.log)
            if self._stopping.wait(delay):
                return
            delay = min(delay * 2, LONGEST_DELAY)
            self._sweep_orphans()
            since = time.monotonic()
            try:
                part.start()
                _log.info("%s is back after %.1f s", part.name, time.monotonic() - since)
                self._describe("ready")
            except CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - it is tried again
                _log.error("%s", error)

    def _end_hung(self) -> None:
        """End what lives without a heartbeat; its guard starts it again."""
        # Imported here, so that the keeper stays small.
        from local.heartbeats import INTERVAL, Heartbeats

        heartbeats = Heartbeats(self._system.components, self._system.home.health)
        while not self._stopping.wait(INTERVAL):
            try:
                heartbeats.look()
            except Exception:  # noqa: BLE001 - the next look may go better
                _log.exception("the heartbeats could not be judged")

    def _end_orphans(self) -> None:
        rounds = 0
        while not self._stopping.wait(1.0):
            self._sweep_orphans()
            rounds += 1
            if rounds % 60 == 0:
                for part in self._system.parts:
                    process.trim_log(part.log)

    def _sweep_orphans(self) -> None:
        # Fault tests keep a killed scheduler's workers alive on purpose: in production nobody would end them.
        if not (self._state_dir / "run" / "keep-orphans").exists():
            count = process.end_orphans()
            if count:
                _log.info("ended %d orphaned processes", count)

    # --- telling ---------------------------------------------------------------------------------
    def _report(self, event: Event) -> None:
        _log.info("%s: %s %s", event.part, event.state, event.detail)
        self._send({"event": asdict(event)})

    def _send(self, message: dict[str, object]) -> None:
        with self._output:
            if self._attached:
                with contextlib.suppress(OSError):
                    os.write(1, json.dumps(message).encode() + b"\n")

    def _describe(self, status: str) -> None:
        system = self._system
        with self._output:
            write_json(
                description_path(self._state_dir),
                {
                    "status": status,
                    "since": self._began,
                    "session": os.getsid(0),
                    "keeper": asdict(process.Record.of("keeper", self._keeper)),
                    "supervisor": asdict(process.Record.of("supervisor", os.getpid())),
                    "parts": {
                        part.name: {
                            "pid": part.pid,
                            "ready": part.is_ready,
                            "where": part.where,
                            "log": str(part.log),
                        }
                        for part in system.parts
                    },
                    "external": system.external,
                    "yours": system.yours,
                },
            )

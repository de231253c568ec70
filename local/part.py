"""A part of the local system: one process that is started, watched, stopped, killed and restarted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from local import process
from local.errors import PartError, last_lines
from local.progress import Event, Report, quiet


class NotReadyError(Exception):
    """The part does not answer yet."""


class NoAnswerError(NotReadyError):
    """The part let the time-out of a question pass: it is broken, or the machine is busy."""


class PortTakenError(Exception):
    """Another program answers on the port that was free when we chose it."""


class CancelledError(Exception):
    """The whole system is being stopped while this part was still starting."""


class Part(ABC):
    """One process below a state directory. Safe to use from several threads."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    patience: ClassVar[float] = 15.0  # until its whole family gets the stop signal
    grace: ClassVar[float] = 5.0  # after that, until SIGKILL
    start_timeout: ClassVar[float] = 90.0

    def __init__(self, state_dir: Path, *, report: Report = quiet) -> None:
        self.state_dir = state_dir
        self.log = state_dir / "logs" / f"{self.name}.log"
        self.cancelled = threading.Event()
        self._record_path = state_dir / "run" / f"{self.name}.json"
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._launched = 0.0
        self._ready_pid: int | None = None

    # --- what a user of a part sees --------------------------------------------------------------
    @property
    def where(self) -> str:
        """Address to show, if any."""
        return ""

    @property
    def is_running(self) -> bool:
        """Tell whether the process we started is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def is_ready(self) -> bool:
        """Tell whether the running process has answered in its own protocol."""
        return self.is_running and self._ready_pid == self.pid

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self.is_running else None

    @property
    def exit_code(self) -> int | None:
        """How the last process ended; None while it runs."""
        return self._child.poll() if self._child is not None else None

    def start(self) -> None:
        """Start and wait until it answers in its own protocol; harmless when it runs."""
        with self._lock:
            if self.is_running:
                return
            begun = time.monotonic()
            self._report(Event(self.name, "start"))
            try:
                self._end_leftover()
                self._start()
                self._after_start()
                self._ready_pid = self.pid
            except PortTakenError as error:
                self.kill()
                raise PartError(
                    self.name, str(error), log=self.log, hint="start again: another port is chosen"
                ) from error
            except OSError as error:
                raise PartError(self.name, str(error), log=self.log) from error
            detail = " | ".join(filter(None, [self.where, self._remark()]))
            self._report(Event(self.name, "ready", detail, time.monotonic() - begun))

    def stop(self) -> None:
        """Shut down cleanly; SIGKILL after the grace time."""
        with self._lock:
            if self._child is not None:
                process.stop_child(self._child, self.stop_signal, self.patience, self.grace)
            self._record_path.unlink(missing_ok=True)

    def stop_if(self, pid: int) -> bool:
        """Stop when the process is still this one; False when it has been replaced or has ended meanwhile."""
        with self._lock:
            if self.pid != pid:
                return False
            self.stop()
            return True

    def kill(self) -> None:
        """SIGKILL the process and its children, as a power cut would."""
        with self._lock:
            if self._child is not None:
                process.kill_child(self._child)

    def restart(self) -> None:
        """Stop and start."""
        with self._lock:
            self.stop()
            self.start()

    def wait_for_exit(self, timeout: float | None = None) -> int | None:
        """Wait until the process ends and return its exit code; None after the time-out."""
        child = self._child
        if child is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout)
        return None

    @abstractmethod
    def check(self) -> None:
        """Ask the part itself whether it is well; raise NotReadyError when it is not, or not yet."""

    # --- what each part defines ------------------------------------------------------------------
    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the command line."""

    def _directory(self) -> Path:
        return self.state_dir

    def _prepare(self) -> None:  # noqa: B027 - some parts need nothing here
        """Make data directory and configuration."""

    def _setpriv_options(self) -> Sequence[str]:
        return ()

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _before_check(self) -> None:  # noqa: B027 - most parts need nothing here
        """Make sure that it is our own process that will answer; raise PortTakenError when it is not."""

    def _after_start(self) -> None:  # noqa: B027 - most parts need nothing here
        """Finish once it answers: accounts, databases."""

    def _remark(self) -> str:
        """Return what a person should know besides the address."""
        return ""

    def _hint(self) -> str:
        return "read the log"

    # --- starting --------------------------------------------------------------------------------
    def _end_leftover(self) -> None:
        """End the process of a killed run: it holds our data or our port."""
        record = process.Record.load(self._record_path)
        if record is not None and process.stop_recorded(record, self.stop_signal, self.patience):
            self._report(Event(self.name, "note", "ended the process of a killed run"))
        self._record_path.unlink(missing_ok=True)

    def _start(self) -> None:
        self._prepare()
        self._launch()
        self._wait_ready()

    def _launch(self) -> None:
        argv = process.tied_to_parent(self._command(), self.stop_signal, self._setpriv_options())
        self._launched = time.time()
        self._child = process.spawn(argv, log=self.log, cwd=self._directory(), env=self._environment())
        process.Record.of(self.name, self._child.pid).save(self._record_path)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        while True:
            if self.cancelled.is_set():
                raise CancelledError
            if not self.is_running:
                raise PartError(
                    self.name,
                    f"ended at start with code {self.exit_code}: {last_lines(self.log)}",
                    log=self.log,
                    hint=self._hint(),
                )
            try:
                self._before_check()
                self.check()
            except NotReadyError as error:
                reason = str(error)
            else:
                return
            if not process.wait_until(deadline, 0.1):
                self.kill()
                reason = f"not healthy after {self.start_timeout:.0f} s: {reason}"
                raise PartError(self.name, reason, log=self.log, hint=self._hint())

"""What all embedded servers share: start, wait for health, stop, kill, restart."""

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
from local.files import Secrets
from local.ports import HOST, Ports, is_free
from local.progress import Event, Report, quiet


class NotReadyError(Exception):
    """The server does not answer yet."""


class Server(ABC):
    """One server process below a state directory. Safe to use from several threads."""

    name: ClassVar[str]
    usual_port: ClassVar[int]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    grace: ClassVar[float] = 15.0
    start_timeout: ClassVar[float] = 90.0

    def __init__(self, state_dir: Path, *, usual_port: bool = True, report: Report = quiet) -> None:
        self.state_dir = state_dir
        self.directory = state_dir / self.name
        self.log = state_dir / "logs" / f"{self.name}.log"
        self._record_path = state_dir / "run" / f"{self.name}.json"
        self._secrets = Secrets(state_dir)
        self._ports = Ports(state_dir, usual=usual_port)
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    # --- what a user of a server sees ------------------------------------------------------------
    @property
    def host(self) -> str:
        """Loopback, always."""
        return HOST

    @property
    def port(self) -> int:
        """The port it listens on (chosen at the first start)."""
        port = self._ports.known(self.name)
        return port if port is not None else self._ports.choose(self.name, self.usual_port)

    @property
    def password(self) -> str:
        """The generated password of the account in `url`."""
        return self._secrets.get(self.name)

    @property
    @abstractmethod
    def url(self) -> str:
        """Address with account and password."""

    @property
    def is_running(self) -> bool:
        """Tell whether the process we started is alive."""
        return self._child is not None and self._child.poll() is None

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
            self._end_leftover()
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._start_on_a_free_port()
                self._after_start()
            except OSError as error:
                raise PartError(self.name, str(error), log=self.log) from error
            self._report(Event(self.name, "ready", f"{self.host}:{self.port}", time.monotonic() - begun))

    def stop(self) -> None:
        """Shut down cleanly; SIGKILL after the grace time."""
        with self._lock:
            if self._child is not None:
                process.stop_child(self._child, self.stop_signal, self.grace)
            self._record_path.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL the server and its children, as a power cut would."""
        with self._lock:
            if self._child is not None:
                process.kill_child(self._child)

    def restart(self) -> None:
        """Stop and start on the same port with the same data."""
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
        """Speak the server's own protocol once; raise NotReadyError when it does not answer yet."""

    # --- what each server defines ----------------------------------------------------------------
    @abstractmethod
    def _prepare(self) -> None:
        """Make data directory and configuration for the chosen port."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the command line."""

    def _setpriv_options(self) -> Sequence[str]:
        return ()

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _after_start(self) -> None:  # noqa: B027 - most servers need nothing here
        """Finish once it answers: accounts, databases."""

    def _hint(self) -> str:
        return "read the log"

    # --- starting --------------------------------------------------------------------------------
    def _end_leftover(self) -> None:
        """End the server of a killed run: it holds our data directory."""
        record = process.Record.load(self._record_path)
        if record is not None and process.stop_recorded(record, self.stop_signal, self.grace):
            self._report(Event(self.name, "note", "ended the process of a killed run"))
        self._record_path.unlink(missing_ok=True)

    def _start_on_a_free_port(self) -> None:
        # Another program can take the port between our choice and the server's bind: choose again then.
        for attempt in range(3):
            port = self._ports.choose(self.name, self.usual_port)
            self._prepare()
            self._launch()
            if self._wait_ready(last_attempt=attempt == 2, port=port):
                return

    def _launch(self) -> None:
        argv = process.tied_to_parent(self._command(), self.stop_signal, self._setpriv_options())
        self._child = process.spawn(argv, log=self.log, cwd=self.directory, env=self._environment())
        with contextlib.suppress(Exception):  # ended already: _wait_ready says why
            process.Record.of(self.name, self._child.pid).save(self._record_path)

    def _wait_ready(self, *, last_attempt: bool, port: int) -> bool:
        deadline = time.monotonic() + self.start_timeout
        reason = "does not answer"
        while True:
            if not self.is_running:
                tail = last_lines(self.log)
                if not last_attempt and ("in use" in tail or not is_free(port)):
                    return False
                raise PartError(self.name, f"ended at start: {tail}", log=self.log, hint=self._hint())
            try:
                self.check()
            except NotReadyError as error:
                reason = str(error) or reason
            else:
                return True
            if not process.wait_until(deadline, 0.05):
                self.kill()
                raise PartError(
                    self.name,
                    f"not healthy after {self.start_timeout:.0f} s: {reason}",
                    log=self.log,
                    hint=self._hint(),
                )

"""Progress of starting parts: events, and how a person sees them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TextIO

State = Literal["start", "note", "ready", "warning", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """One step of one part."""

    part: str
    state: State
    detail: str = ""
    seconds: float = 0.0


Report = Callable[[Event], None]


def quiet(_event: Event) -> None:
    """Report nothing (tests)."""


class Screen:
    """Shows events: one line per finished part; on a terminal also a line of what is still being waited for."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._tty = self._stream.isatty()
        self._busy: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._status_shown = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if event.state == "start":
                self._busy[event.part] = (time.monotonic(), event.detail)
            elif event.state == "note":
                since = self._busy.get(event.part, (time.monotonic(), ""))[0]
                self._busy[event.part] = (since, event.detail)
                if not self._tty:
                    self._line(f"  {event.part:<16} ...     {event.detail}")
            else:
                self._busy.pop(event.part, None)
                self._line(f"  {event.part:<16} {event.state:<7} {event.seconds:5.1f} s  {event.detail}".rstrip())
            self._status()

    def tick(self) -> None:
        """Refresh the seconds of the status line."""
        with self._lock:
            self._status()

    def close(self) -> None:
        """Remove the status line."""
        with self._lock:
            self._busy.clear()
            self._status()

    def _line(self, text: str) -> None:
        self._erase()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _erase(self) -> None:
        if self._status_shown:
            self._stream.write("\r\x1b[K")
            self._status_shown = False

    def _status(self) -> None:
        if not self._tty:
            return
        self._erase()
        if self._busy:
            now = time.monotonic()
            waiting = ", ".join(
                f"{part} {now - since:.0f} s{f' ({detail})' if detail else ''}"
                for part, (since, detail) in self._busy.items()
            )
            self._stream.write(f"  waiting for {waiting}"[:118])
            self._status_shown = True
        self._stream.flush()

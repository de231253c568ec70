"""The organisation's clock: real time until someone moves or stops it. All stamps and the Date header come from it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """Return a moment as the store keeps it (and as Bulk CSV shows it): `2013-05-20T20:49:32.000Z`.

    Salesforce keeps whole seconds; the milliseconds it shows are always zero.
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + ".000Z"


def parse(text: str) -> datetime:
    """Read a stamp, or any ISO 8601 time with a zone (`Z`, `+0000`, `+00:00`). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: no time zone")
    return moment.astimezone(UTC)


class Clock:
    """Thread-safe. Starts with real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0
        self._stopped: float | None = None

    def now(self) -> datetime:
        """The organisation's time, UTC, whole milliseconds."""
        with self._lock:
            seconds = self._stopped if self._stopped is not None else time.time() + self._ahead
        return _EPOCH + timedelta(milliseconds=int(seconds * 1000))

    def stamp(self) -> str:
        """The organisation's time as records are stamped with it."""
        return stamp(self.now())

    def move(self, seconds: float) -> None:
        """Go forward (or back) by that many seconds, whether it runs or is stopped."""
        with self._lock:
            self._ahead += seconds
            if self._stopped is not None:
                self._stopped += seconds

    def set(self, moment: datetime) -> None:
        """Show this time now; go on from there, or stay there when stopped."""
        target = moment.timestamp()
        with self._lock:
            self._ahead = target - time.time()
            if self._stopped is not None:
                self._stopped = target

    def stop(self) -> None:
        """Stand still until `run`, `move` or `set`."""
        with self._lock:
            if self._stopped is None:
                self._stopped = time.time() + self._ahead

    def run(self) -> None:
        """Run again, from where it stands."""
        with self._lock:
            if self._stopped is not None:
                self._ahead, self._stopped = self._stopped - time.time(), None

    def reset(self) -> None:
        """Show real time."""
        with self._lock:
            self._ahead, self._stopped = 0.0, None

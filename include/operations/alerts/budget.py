"""Doing something within a time, whatever hangs: a server, a name look-up, a lock.

The work runs in a daemon thread. One that does not come back in time is left alone: it holds up neither the caller
nor the end of the process.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Late(Exception):  # noqa: N818 - named for what happened
    """The work did not end in time."""


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds that are left, not more than `at_most`, never negative."""
        return max(min(self._at - time.monotonic(), at_most), 0.0)


class _Job(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="alert", daemon=True)
        self._run = contextvars.copy_context().run
        self._work = work
        self._result: T | None = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._run(self._work)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self.error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # set when there was no error


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do the work; return its result or raise its error.

    Raises:
        Late: it did not end in time. It may still end later.
    """
    job = _Job(work)
    job.start()
    if not job.ended.wait(seconds):
        raise Late(f"no end within {seconds:.1f} s")
    return job.result()


def all_within(seconds: float, works: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """Do several things side by side; of each its result or its error, `Late` when it has not ended in time."""
    deadline = Deadline(seconds)
    jobs = [_Job(work) for work in works]
    for job in jobs:
        job.start()
    found: list[T | BaseException] = []
    for job in jobs:
        ended = job.ended.wait(deadline.left())
        found.append((job.error or job.result()) if ended else Late(f"no end within {seconds:.1f} s"))
    return found

"""Named points where tests make a process die or hang. Inert unless `FAULT_AT` is set.

`FAULT_AT=graph.in_transaction:kill` ends the process with SIGKILL at that point; `:hang` stops it
with SIGSTOP (a zombie writer that wakes up on SIGCONT); `graph.in_transaction:kill:3` does so the
third time. With `FAULT_ONCE=<file>` it happens only while that file exists; the file is removed first.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

_SIGNALS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}
_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Die or stop here if the environment says so."""
    wanted = os.environ.get("FAULT_AT")
    if not wanted:
        return
    point, action, nth, *_ = [*wanted.split(":"), "", ""]
    if point != name:
        return
    _passed[name] += 1
    if nth and _passed[name] != int(nth):
        return
    once = os.environ.get("FAULT_ONCE")
    if once:
        try:
            Path(once).unlink()
        except FileNotFoundError:
            return
    os.kill(os.getpid(), _SIGNALS[action or "kill"])

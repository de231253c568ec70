"""What a try of a task uses: wall time, processor time and the highest memory, read from the operating system."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_STATUS: Final = Path("/proc/self/status")

_COLUMNS: Final = (
    "dag_id", "run_id", "task_id", "map_index", "try_number",
    "started_at", "seconds", "cpu_s", "peak_rss_mb", "outcome",
)  # fmt: skip
_KEY: Final = _COLUMNS[:5]
_WRITE: Final = f"""
insert into ops.task_usage ({", ".join(_COLUMNS)}) values ({", ".join(f"%({name})s" for name in _COLUMNS)})
on conflict ({", ".join(_KEY)}) do update
set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[5:])}
"""  # noqa: S608 - the column names are the constants above


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used between the start and the end of the task's own code."""

    started_at: datetime
    seconds: float
    """Wall time."""
    cpu_s: float
    """User and system time of the process and of its ended children."""
    peak_rss_mb: float
    """Highest resident memory of the process so far, in 1e6 bytes. What it was forked with counts."""


class Meter:
    """Runs from its making on."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._cpu_s = _cpu_seconds()

    def read(self) -> Usage:
        """What has been used until now."""
        seconds = time.monotonic() - self._started
        return Usage(self.started_at, seconds, _cpu_seconds() - self._cpu_s, peak_rss_mb())


def peak_rss_mb() -> float:
    """Highest resident memory of this process, in 1e6 bytes."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        # No Linux. There ru_maxrss counts bytes; Linux's own also counts what the process was before exec.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def _cpu_seconds() -> float:
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in each)


def row(place: Mapping[str, Any], used: Usage, outcome: str) -> dict[str, Any]:
    """The row of a try (dag_id, run_id, task_id, map_index, try_number), with values that JSON can carry.

    `outcome` is success, skipped or failed.
    """
    return {
        **place,
        "started_at": used.started_at.isoformat(),
        "seconds": round(used.seconds, 3),
        "cpu_s": round(used.cpu_s, 3),
        "peak_rss_mb": round(used.peak_rss_mb, 1),
        "outcome": outcome,
    }


def write(connection: psycopg.Connection, values: Mapping[str, Any]) -> None:
    """Insert the row into `ops.task_usage`, or replace the one of the same try."""
    connection.execute(_WRITE, values)

"""Every limit the watchdog holds: one table, from which docs/thresholds.md is made too."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

ENV_PREFIX: Final = "WATCHDOG_"
OFF: Final = "off"
# Seconds of a unit of time; a check that counts from when it first saw something needs them.
SECONDS: Final = MappingProxyType({"s": 1.0, "min": 60.0, "h": 3600.0})


@dataclass(frozen=True, slots=True)
class Threshold:
    """One limit.

    A value is *bad* beyond `limit`, and *good* again only beyond `clear`, so that one that wavers around the limit is
    one episode. In between it leaves everything as it is.
    """

    check: str
    """Name; `WATCHDOG_<NAME>` overrides the limit."""
    title: str
    unit: str
    limit: float
    severity: str
    """P1 to P4."""
    normal: str
    """What is usual, in words; a check may know it better."""
    source: str
    """Where the limit comes from."""
    what_to_do: str
    below: bool = False
    """Whether small values are the bad ones; then in per cent."""
    slack: float = 0.2
    """How far beyond the limit good begins, as a part of the limit (of what is left to 100 % with `below`)."""
    opens_after: int = 1
    """Bad checks in a row that make a warning."""
    closes_after: int = 2
    """Good checks in a row that make a recovery."""
    least: float = 0
    """Fewest cases a rate is made of, or shortest time in seconds that counts as slow; see `least_means`."""
    least_means: str = ""
    page: str = ""
    """The runbook, when it is not one of its own."""

    @property
    def clear(self) -> float:
        """Where good begins."""
        if math.isinf(self.limit):
            return self.limit
        return self.limit + (100 - self.limit) * self.slack if self.below else self.limit * (1 - self.slack)

    def is_bad(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        return value < self.limit if self.below else value > self.limit

    def is_good(self, value: float) -> bool:
        """Whether a value ends an episode."""
        return value >= self.clear if self.below else value <= self.clear

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"{ENV_PREFIX}{self.check.upper()}"

    @property
    def runbook(self) -> str:
        """Page below docs/runbooks/, without its ending."""
        return self.page or f"watchdog-{self.check.replace('_', '-')}"


_ORIGINAL: Final = "organism.md 1"
_OPERATIONS: Final = "operations.md 3"
_OURS: Final = "chosen here"
_TRIES: Final = "tries in the window"
_RUN_LOG: Final = "Compare the log of the running task with that of an earlier run; look for a slow server or a lock."
_DISK: Final = "Delete old logs and backups (`ops_housekeeping` does), or make the disk larger."

THRESHOLDS: Final[Mapping[str, Threshold]] = MappingProxyType(
    {
        each.check: each
        for each in (
            Threshold(
                *("retry_rate_1h", "Tasks are repeated often (1 h)", "%", 20, "P3", "below 10 %", _ORIGINAL),
                "Look at the errors by class of the DAGs named: a server is slow, restarting or refusing.",
                least=20,
                least_means=_TRIES,
            ),
            Threshold(
                *("retry_rate_24h", "Tasks are repeated often (24 h)", "%", 20, "P3", "below 10 %", _ORIGINAL),
                "Look at the errors by class of the DAGs named: this has been going on for a day.",
                least=50,
                least_means=_TRIES,
            ),
            Threshold(
                *("run_duration", "A run takes much longer than usual", "x", 2, "P3", "1 x", _ORIGINAL),
                _RUN_LOG,
                least=60,
                least_means="seconds",
            ),
            Threshold(
                *("task_duration", "A task takes much longer than usual", "x", 2, "P3", "1 x", _ORIGINAL),
                _RUN_LOG,
                least=60,
                least_means="seconds",
            ),
            Threshold(
                *("task_queue", "Tasks wait for a worker", "tasks", 50, "P3", "below 10", _ORIGINAL),
                "See which pool or DAG they wait for; look for runs that block it, or give the executor more slots.",
                opens_after=2,
            ),
            Threshold(
                *("stream_backlog", "Interactions pile up", "entries", 50_000, "P2", "below 1,000", _OURS),
                "See whether organism_incremental_update runs and ends; `interactions lag` shows the backlog.",
                opens_after=2,
            ),
            Threshold(
                *("stream_age", "Interactions wait too long", "min", 10, "P2", "below 5 min", _OURS),
                "See whether organism_incremental_update runs and ends; `interactions lag` shows the backlog.",
            ),
            Threshold(
                *("freshness", "Data are stale", "min", 15, "P1", "see the table of objects", _OPERATIONS),
                "See why the last runs of the DAG named did not succeed, or whether it is paused.",
                slack=0,
            ),
            Threshold(
                *("orphans", "References have no parent", "references a day", 20, "P3", "below 5", _OURS),
                "`vms.pending_link` has their ids: see whether the parents' sync, or its filter, leaves them out.",
                page="vms-sync",
            ),
            Threshold(
                *("late_run", "A run is due and has not started", "min", 10, "P2", "below 1 min", _OPERATIONS),
                "See whether the run before is still active, the pool is full, or the scheduler is stuck.",
                slack=0.5,
                opens_after=2,
            ),
            Threshold(
                *("success_rate", "Too many runs fail (24 h)", "%", 95, "P3", "above 95 %", _ORIGINAL),
                "Look at the failed runs of the DAG named, by error class.",
                below=True,
                least=20,
                least_means="runs in the window",
            ),
            Threshold(
                *("disk", "A disk fills up", "%", 80, "P3", "below 80 %", _OURS),
                _DISK,
                slack=0.05,
            ),
            Threshold(
                *("disk_full", "A disk is nearly full", "%", 95, "P1", "below 80 %", _OURS),
                _DISK,
                slack=0.02,
            ),
            Threshold(
                *("memory", "Memory runs out", "%", 80, "P3", "below 80 %", _OURS),
                "See what holds it (`ops.task_usage` has each task's peak); lower the parallelism or add memory.",
                slack=0.05,
                opens_after=3,
            ),
            Threshold(
                *("metadata_size", "Airflow's database grows", "GB", 10, "P3", "below 10 GB", _OURS),
                "See whether `ops_housekeeping` succeeds (it runs `airflow db clean`), and its retention.",
                slack=0.1,
            ),
            Threshold(
                *("paused_dag", "A DAG that should run is paused", "min", 30, "P3", "not paused", _OURS),
                "Unpause it, or name it in WATCHDOG_MAY_BE_PAUSED.",
                closes_after=1,
            ),
            Threshold(
                *("import_error", "A DAG file cannot be imported", "files", 0, "P2", "0", _OURS),
                "`doctor` shows the error; mend the file or take the deployment back. Its DAGs run on as they were.",
                closes_after=1,
                # The alerts tell of it at once; the watchdog makes sure that they did.
                opens_after=2,
                page="import-error",
            ),
            Threshold(
                *("dead_component", "A part of Airflow is dead", "s", 120, "P1", "below 30 s", _OURS),
                "Look at that process's log and restart it.",
                slack=0.5,
                closes_after=1,
            ),
            Threshold(
                *("outbox", "Alerts cannot be delivered", "min", 30, "P2", "0 min", _OURS),
                "`alerts outbox list` names channel and reason; `alerts test` tries each channel.",
            ),
            Threshold(
                *("backup_age", "The last good backup is old", "h", 36, "P2", "below 25 h", _OURS),
                "See why `ops_housekeeping` did not end well; `backup list` shows what there is.",
                closes_after=1,
            ),
            Threshold(
                *("check_failed", "The watchdog cannot check something", "checks", 0, "P2", "0", _OURS),
                "The error's class and code say which server or setting; `doctor` examines all of them.",
                closes_after=1,
            ),
            Threshold(
                *("silent", "The watchdog has not run", "min", 20, "P1", "below 6 min", _OURS),
                "See whether ops_watchdog is paused or fails, and whether scheduler and api-server run.",
                page="dead-man",
            ),
            Threshold(
                *("dead_man", "Airflow is not working", "faults", 0, "P1", "0", _OURS),
                "Bring back what is named first; `doctor` on that machine examines everything.",
                page="dead-man",
            ),
        )
    }
)
# Held by `doctor --watch`, outside Airflow, which holds dead_component too.
OUTSIDE: Final = ("silent", "dead_man")


class Fault(NamedTuple):
    """A variable that holds no limit."""

    variable: str
    text: str


def limit_from(variable: str, default: float, environ: Mapping[str, str]) -> float | Fault:
    """The limit a variable sets: a number from 0 up, or `off`, which nothing reaches."""
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if text.lower() == OFF:
        return float("inf")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    return value if 0 <= value < float("inf") else Fault(variable, f"{variable} is no number from 0 up, nor `off`")


def load(environ: Mapping[str, str] | None = None) -> tuple[dict[str, Threshold], list[Fault]]:
    """Thresholds as this deployment has set them, and the variables that could not be read (their default holds)."""
    given = os.environ if environ is None else environ
    found: dict[str, Threshold] = {}
    faults: list[Fault] = []
    for each in THRESHOLDS.values():
        limit = limit_from(each.variable, each.limit, given)
        if isinstance(limit, Fault):
            faults.append(limit)
            limit = each.limit
        # Nothing is below minus infinity.
        found[each.check] = replace(each, limit=-limit if each.below and limit == float("inf") else limit)
    return found, faults

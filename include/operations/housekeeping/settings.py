"""How long what is kept: one environment variable `UPKEEP_<NAME>` each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from include.operations.errors import InputRejected

NIGHTLY: Final = "30 2 * * *"


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages and sizes; units are in the names.

    Attributes:
        metadata_days: runs, task instances, XCom, audit log and more in Airflow's metadata database.
        log_days: log files below Airflow's log folder.
        log_max_gb: all of them together, in units of 1e9 bytes; the oldest go first.
        stream_hours: entries of the interaction stream behind the graph's watermark. A graph that is restored from a
            backup younger than this can be brought up to date from the stream.
        state_days: files of old demos and simulators.
    """

    metadata_days: float = 60.0
    log_days: float = 30.0
    log_max_gb: float = 5.0
    stream_hours: float = 30.0
    state_days: float = 7.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Defaults, then the environment.

        Raises:
            InputRejected: a value is not a number above 0; the message names the variable.
        """
        given = os.environ if environ is None else environ
        names = {field.name: f"UPKEEP_{field.name.upper()}" for field in fields(cls)}
        return cls(**{name: positive(given, variable) for name, variable in names.items() if given.get(variable)})


def positive(given: Mapping[str, str], variable: str) -> float:
    """The variable's number, above 0.

    Raises:
        InputRejected: it is none.
    """
    try:
        number = float(given[variable])
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise InputRejected(f"{variable} is not a number above 0", what_to_do=f"correct {variable}, or leave it out")
    return number


def folders(variable: str, environ: Mapping[str, str] | None = None) -> list[Path]:
    """The folders that a variable names, separated like PATH."""
    text = (os.environ if environ is None else environ).get(variable, "")
    return [Path(part).expanduser() for part in text.split(os.pathsep) if part]


def schedule(environ: Mapping[str, str] | None = None) -> str | None:
    """When the housekeeping runs: cron in UTC, from `UPKEEP_SCHEDULE`; None, written `none`: on demand only."""
    text = (os.environ if environ is None else environ).get("UPKEEP_SCHEDULE") or NIGHTLY
    return None if text == "none" else text

"""What can be configured about backups: one environment variable `BACKUP_<NAME>` each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from include.operations.errors import InputRejected
from include.operations.secret_key import read_key

_KEEP_DAYS = 30.0
_MIN_FREE_MB = 1_000.0


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where backups are kept and how.

    Attributes:
        folder: the folder of all backups; private to its owner.
        keep_days: older ones are removed, but never the newest good one of a source.
        min_free_mb: free space that a backup must leave, in units of 1e6 bytes.
        pg_bin: folder of pg_dump and pg_restore; None: they are on PATH.
        key: 32 bytes that backups are encrypted with; None: they are not. Never shown.
    """

    folder: Path
    keep_days: float = _KEEP_DAYS
    min_free_mb: float = _MIN_FREE_MB
    pg_bin: Path | None = None
    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `BACKUP_DIR`, `_KEEP_DAYS`, `_MIN_FREE_MB`, `_PG_BIN`, and `_KEY` or `_KEY_FILE`.

        Raises:
            InputRejected: a value cannot be used; the message names the variable, never the key.
        """
        given = os.environ if environ is None else environ
        home = given.get("AIRFLOW_HOME") or "~/airflow"
        tools = given.get("BACKUP_PG_BIN")
        return cls(
            folder=Path(given.get("BACKUP_DIR") or Path(home) / "backups").expanduser(),
            keep_days=_number(given, "BACKUP_KEEP_DAYS", _KEEP_DAYS),
            min_free_mb=_number(given, "BACKUP_MIN_FREE_MB", _MIN_FREE_MB),
            pg_bin=Path(tools).expanduser() if tools else None,
            key=read_key(given, "BACKUP_KEY"),
        )


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InputRejected(f"{name} is not a number of 0 or more", what_to_do=f"correct {name}, or leave it out")
    return number

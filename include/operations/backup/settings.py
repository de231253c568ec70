"""What can be configured about backups: one environment variable `BACKUP_<NAME>` each."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from include.operations.errors import InputRejected

KEY_BYTES = 32
_KEEP_DAYS = 30.0
_MIN_FREE_MB = 1_000.0
_OPENSSL = "openssl rand -base64 32"


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
            key=_key(given),
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


def _key(given: Mapping[str, str]) -> bytes | None:
    """Return the key's bytes; base64 of 32 bytes, from the variable or from the file it names."""
    name = "BACKUP_KEY_FILE" if given.get("BACKUP_KEY_FILE") else "BACKUP_KEY"
    text = given.get(name)
    if not text:
        return None
    if name == "BACKUP_KEY_FILE":
        try:
            text = Path(text).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            # Without its key a backup would silently become a readable one.
            raise InputRejected(
                "the file that BACKUP_KEY_FILE names cannot be read", what_to_do="mend it, or leave the variable out"
            ) from error
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InputRejected(
            f"{name} is not base64 of {KEY_BYTES} bytes", what_to_do=f"make a key with `{_OPENSSL}` and keep it safe"
        )
    return key

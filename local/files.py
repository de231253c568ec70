"""Small files of the state directory: written whole or not at all, private to the user."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cache_dir() -> Path:
    """Return the cache shared by all clones of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "organism-local"


def write_private(path: Path, text: str) -> None:
    """Replace a file by new content in one step; only the owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or damaged file is an empty one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object privately and atomically."""
    write_private(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel frees it when its holder dies, so it can never be stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Secrets:
    """Generated passwords and keys, made once and kept in one file of the state directory (mode 0600)."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "secrets.json"
        self._lock = state_dir / "run" / "secrets.lock"

    def get(self, name: str, size: int = 24) -> str:
        """Return the secret of this name: hexadecimal, safe in a URL, a shell and every configuration file."""
        return self.get_or_make(name, secrets.token_hex(size))

    def get_or_make(self, name: str, candidate: str) -> str:
        """Return the kept secret, or keep the candidate."""
        with locked(self._lock):
            kept = read_json(self._path)
            if name not in kept:
                if self._path.exists() and not kept and self._path.stat().st_size > 0:
                    # The servers already know the lost passwords: silently making new ones would hide why they refuse.
                    raise ValueError(f"{self._path} is damaged: restore it, or remove the whole state directory")
                kept[name] = candidate
                write_json(self._path, kept)
            return str(kept[name])

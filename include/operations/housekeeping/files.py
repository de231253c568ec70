"""Removes old files, and the oldest of too many; used for logs and for what demos and simulators have left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DAY_S: Final = 86_400
# Somebody may still write to a file this young, whatever the limits say.
FRESH_S: Final = 6 * 3600


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was done: files and bytes removed, bytes that are still there."""

    files: int = 0
    bytes: int = 0
    left_bytes: int = 0


def prune(
    folder: Path,
    *,
    keep_days: float,
    max_bytes: float = float("inf"),
    in_use: Callable[[Path], bool] = lambda _: False,
    now: float | None = None,
) -> Pruned:
    """Remove files older than `keep_days`, then the oldest ones while all together are larger than `max_bytes`.

    A file that `in_use` claims stays, and so does one that was changed in the last six hours. Symbolic links are not
    followed. Folders that became empty are removed too.
    """
    moment = time.time() if now is None else now
    oldest_first = sorted(_files(folder))
    total = sum(size for _, size, _ in oldest_first)
    files = freed = 0
    for changed, size, path in oldest_first:
        if moment - changed < FRESH_S:
            break
        expired = moment - changed > keep_days * _DAY_S
        if not expired and total - freed <= max_bytes:
            break
        if in_use(path):
            continue
        path.unlink(missing_ok=True)
        files, freed = files + 1, freed + size
        _remove_empty(path.parent, folder)
    return Pruned(files, freed, total - freed)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of change, size and path of every file; one that vanishes meanwhile is left out."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if path.is_file() and not path.is_symlink():
                yield found.st_mtime, found.st_size, path


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent

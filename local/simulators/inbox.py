"""What arrived, newest last: kept in memory, and in a journal on disk so that it survives a restart."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

# The newest ones of each kind are kept: so many, and at most so many bytes (a file or a mail can hold pictures).
LIMITS = {"slack": 500, "email": 200, "sentry": 200, "file": 20, "action": 20_000}
MOST_BYTES = 20_000_000
# The journal is rewritten when it is twice as long as what it holds, and by this much.
REWRITE_BYTES = 1_000_000


class Inbox:
    """Entries by kind and key. Every change is one line of the journal; the line is written before it is answered."""

    def __init__(self, journal: Path | None = None) -> None:
        self._boxes: dict[str, OrderedDict[str, dict[str, Any]]] = {kind: OrderedDict() for kind in LIMITS}
        self._sizes: dict[str, dict[str, int]] = {kind: {} for kind in LIMITS}
        self._path = journal
        self._file: IO[str] | None = None
        self._written = 0
        # Changes with every change; an open page asks for it.
        self.version = 0
        if journal is not None:
            self._replay(journal)
            self._compact()

    def put(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        """Add an entry, or replace the one of this key; the oldest of its kind may go."""
        line = _line(kind, key, entry)
        self._apply(kind, key, entry, len(line))
        self.version += 1
        self._write(line)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return one entry."""
        return self._boxes[kind].get(key)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all entries of a kind, oldest first."""
        return list(self._boxes[kind].values())

    def clear(self) -> None:
        """Forget everything."""
        for kind in LIMITS:
            self._boxes[kind].clear()
            self._sizes[kind].clear()
        self.version += 1
        self._compact()

    def close(self) -> None:
        """Close the journal."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- journal ---------------------------------------------------------------------------------
    def _apply(self, kind: str, key: str, entry: dict[str, Any], size: int) -> None:
        box, sizes = self._boxes[kind], self._sizes[kind]
        box[key], sizes[key] = entry, size
        while len(box) > LIMITS[kind] or (sum(sizes.values()) > MOST_BYTES and len(box) > 1):
            oldest, _ = box.popitem(last=False)
            del sizes[oldest]

    def _replay(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                kind, key, entry = json.loads(line)
                self._apply(kind, key, entry, len(line))
            except (ValueError, TypeError, KeyError):
                continue  # the line a kill has cut off

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        self._file.write(line)
        self._file.flush()
        self._written += len(line)
        if self._written > 2 * sum(sum(sizes.values()) for sizes in self._sizes.values()) + REWRITE_BYTES:
            self._compact()

    def _compact(self) -> None:
        """Rewrite the journal so that it holds each entry once."""
        if self._path is None:
            return
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        self._written = 0
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for kind, box in self._boxes.items():
                for key, entry in box.items():
                    self._written += file.write(_line(kind, key, entry))
        temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")


def _line(kind: str, key: str, entry: dict[str, Any]) -> str:
    return json.dumps([kind, key, entry]) + "\n"

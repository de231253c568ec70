"""What arrived, newest last: kept in memory, and in a journal on disk so that it survives a restart."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

# The newest ones of each kind are kept; a file can be a picture.
LIMITS = {"slack": 500, "email": 200, "sentry": 200, "file": 20}


class Inbox:
    """Entries by kind and key. Every change is one line of the journal; the line is written before it is answered."""

    def __init__(self, journal: Path | None = None) -> None:
        self._boxes: dict[str, OrderedDict[str, dict[str, Any]]] = {kind: OrderedDict() for kind in LIMITS}
        self._path = journal
        self._file: IO[str] | None = None
        self._lines = 0
        # Changes with every change; an open page asks for it.
        self.version = 0
        if journal is not None:
            self._replay(journal)
            self._compact()

    def put(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        """Add an entry, or replace the one of this key; the oldest of its kind may go."""
        self._apply(kind, key, entry)
        self.version += 1
        self._write(kind, key, entry)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return one entry."""
        return self._boxes[kind].get(key)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all entries of a kind, oldest first."""
        return list(self._boxes[kind].values())

    def clear(self) -> None:
        """Forget everything."""
        for box in self._boxes.values():
            box.clear()
        self.version += 1
        self._compact()

    def close(self) -> None:
        """Close the journal."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- journal ---------------------------------------------------------------------------------
    def _apply(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        box = self._boxes[kind]
        box[key] = entry
        while len(box) > LIMITS[kind]:
            box.popitem(last=False)

    def _replay(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                kind, key, entry = json.loads(line)
                self._apply(kind, key, entry)
            except (ValueError, TypeError, KeyError):
                continue  # the line a kill has cut off

    def _write(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        if self._file is None:
            return
        if self._lines > 4 * sum(LIMITS.values()):
            self._compact()
            return
        self._file.write(json.dumps([kind, key, entry]) + "\n")
        self._file.flush()
        self._lines += 1

    def _compact(self) -> None:
        """Rewrite the journal so that it holds each entry once."""
        if self._path is None:
            return
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        self._lines = 0
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for kind, box in self._boxes.items():
                for key, entry in box.items():
                    file.write(json.dumps([kind, key, entry]) + "\n")
                    self._lines += 1
        temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")

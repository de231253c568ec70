"""The one error of this package: a part of the local system failed, told in one line."""

from __future__ import annotations

from pathlib import Path


class PartError(Exception):
    """A part failed: which one, why, where its log is and what to do about it."""

    def __init__(self, part: str, reason: str, *, log: Path | None = None, hint: str = "") -> None:
        super().__init__(part, reason)
        self.part = part
        self.reason = " ".join(reason.split())
        self.log = log
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.part}: {self.reason}"
        if self.log is not None:
            line += f" | log: {self.log}"
        if self.hint:
            line += f" | to do: {self.hint}"
        return line


def last_lines(log: Path, count: int = 3, width: int = 400) -> str:
    """Return the end of a log file as one line, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:])[-width:] or "(empty log)"

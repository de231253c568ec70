"""De-duplication by files, for when the warehouse cannot be asked: it may be the very thing that is broken.

Each event is written to a spool. Once the warehouse is back, `flush_outbox` takes the spool in, so that counts and
recoveries are right and what could not be sent is sent. Files are seen by one machine only; a message that was
decided here says so.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from include.operations.alerts.problem import OF_A_RUN, Problem, digest_of
from include.operations.alerts.schedule import next_reminder

_KEPT: Final = timedelta(days=7)


class LocalMemory:
    """A private folder of small files; `ALERT_STATE_DIR` names it."""

    def __init__(self, folder: Path | None = None) -> None:
        given = os.environ.get("ALERT_STATE_DIR", "")
        default = Path(given) if given else Path(tempfile.gettempdir()) / f"pipeline-alerts-{os.getuid()}"
        self._folder = folder or default

    def is_due(self, problem: Problem, environment: str, burst: timedelta, now: datetime) -> bool:
        """Whether to send a message of this event: the first of its run, due by the schedule, outside of a burst."""
        self._open()
        self._prune(now)
        event = ("run", problem.dag_id, problem.run_id) if problem.kind in OF_A_RUN else problem.event_key
        if not self._create(f"event-{digest_of(event)}"):
            return False
        incident = self._folder / f"incident-{digest_of(problem.incident_key(environment))}.json"
        opened, following = now, now
        with suppress(OSError, ValueError, KeyError):
            known = json.loads(incident.read_text(encoding="utf-8"))
            opened, following = (datetime.fromisoformat(known[name]) for name in ("opened", "next"))
        if following > now or (burst and not self._create(self._window(now, burst))):
            return False
        self._write(incident, {"opened": opened.isoformat(), "next": next_reminder(opened, now).isoformat()})
        return True

    def spool(self, problem: Problem) -> Path:
        """Keep an event for the warehouse; returns its file."""
        self._open()
        path = self._folder / f"spool-{time.time_ns()}-{digest_of(problem.event_key)}.json"
        self._write(path, {"problem": problem.to_dict(), "told": False})
        return path

    def mark_told(self, path: Path, problem: Problem) -> None:
        """Note that a message of a kept event was sent."""
        self._write(path, {"problem": problem.to_dict(), "told": True})

    def spooled(self) -> Iterator[tuple[Path, Problem, bool]]:
        """The events kept, oldest first: file, event, whether a message of it was sent. Unreadable ones are removed."""
        for path in sorted(self._folder.glob("spool-*.json")) if self._folder.is_dir() else []:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                problem, told = Problem.from_dict(found["problem"]), bool(found["told"])
            except (OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)
                continue
            yield path, problem, told

    def forget(self) -> None:
        """Remove what was remembered in place of the warehouse."""
        for path in self._folder.glob("[ei]*-*") if self._folder.is_dir() else []:
            path.unlink(missing_ok=True)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._folder} belongs to somebody else: set ALERT_STATE_DIR")

    def _create(self, name: str) -> bool:
        """Make a file; False when it is there. The operating system lets one process win."""
        try:
            os.close(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def _write(self, path: Path, content: object) -> None:
        temporary = path.with_suffix(f".{os.getpid()}.new")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(path)

    def _window(self, now: datetime, burst: timedelta) -> str:
        return f"event-window-{int(now.timestamp() // max(burst.total_seconds(), 1))}"

    def _prune(self, now: datetime) -> None:
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _KEPT:
                    path.unlink()

"""`doctor --watch`: the dead-man check for cron."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from include.cli.output import print_json, printable


def default_state() -> Path:
    """Where the check remembers what it has told: `$XDG_STATE_HOME`, or the usual place instead of it."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "pipelines" / "dead-man.json"


def watch(state: Path | None, heartbeat_url: str | None, *, as_json: bool) -> int:
    """Look from outside whether Airflow works; silent when it does, as cron likes it. Returns the exit code."""
    from include.operations.watchdog import outside

    found = outside.look(state or default_state(), heartbeat_url=heartbeat_url or "")
    if as_json:
        print_json({"ok": found.code == outside.WELL, "faults": found.faults, "notes": found.notes})
    else:
        for line in found.faults:
            print(printable(line))
        for line in found.notes:
            print(printable(line), file=sys.stderr)
    return found.code

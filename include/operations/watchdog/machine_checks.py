"""What this machine or container says: disks and memory. Seen from wherever the watchdog's task runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from include.operations.watchdog.episodes import Reading

_GB: Final = 1e9
_CGROUP: Final = Path("/sys/fs/cgroup")


def disks() -> Iterator[Reading]:
    """How full each disk is that Airflow writes to, as `df` counts."""
    import shutil

    seen: set[int] = set()
    for name, wanted in _places().items():
        path = next(each for each in (wanted, *wanted.parents) if each.exists())
        device = path.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(path)
        percent = 100 * usage.used / max(usage.used + usage.free, 1)
        detail = (f"{usage.free / _GB:.1f} GB are free",)
        yield Reading("disk", name, percent, detail=detail)
        yield Reading("disk_full", name, percent, detail=detail)


def _places() -> dict[str, Path]:
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    logs = os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER")
    backups = os.environ.get("BACKUP_DIR")
    return {
        "AIRFLOW_HOME": home,
        "logs": Path(logs).expanduser() if logs else home / "logs",
        "backups": Path(backups).expanduser() if backups else home / "backups",
        "temporary files": Path(os.environ.get("TMPDIR", "/tmp")),  # noqa: S108 - only looked at
    }


def memory(cgroup: Path = _CGROUP) -> Iterator[Reading]:
    """How much of the memory is in use: of the container's limit when there is one, else of the machine."""
    limited = _container(cgroup)
    if limited is not None:
        used, total = limited
    else:
        import psutil

        found = psutil.virtual_memory()
        used, total = found.total - found.available, found.total
    detail = (f"{used / _GB:.1f} of {total / _GB:.1f} GB are in use",)
    yield Reading("memory", "container" if limited else "machine", 100 * used / total, detail=detail)


def _container(cgroup: Path) -> tuple[int, int] | None:
    """Bytes in use and the limit of this container (cgroup v2); None without a limit."""
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        current = int((cgroup / "memory.current").read_text(encoding="ascii"))
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        # No such file, or the word `max`.
        return None
    # Pages of files that nobody has touched lately are given back at once.
    given_back = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(current - given_back, 0), limit

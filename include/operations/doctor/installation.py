"""What is installed here: Python, packages, DAG files, disk space."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from include.operations.doctor.finding import Finding, fail, ok, some, warn

ROOT = Path(__file__).resolve().parents[3]
_OLDEST_PYTHON = (3, 11)
_GB = 1_000_000_000
_LITTLE_GB, _TOO_LITTLE_GB = 5, 1


def python() -> Iterator[Finding]:
    """Python's version."""
    found = f"{platform.python_version()} at {sys.prefix}"
    if sys.version_info >= _OLDEST_PYTHON:
        yield ok("python", found)
    else:
        yield fail("python", found, "use Python 3.11 or newer")


def packages(pins: Path = ROOT / "requirements.txt") -> Iterator[Finding]:
    """Installed packages against the pinned ones."""
    from packaging.requirements import Requirement

    missing, other, right = [], [], 0
    for line in pins.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith((" ", "#")):
            continue
        pin = Requirement(line.rstrip(" \\"))
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            missing.append(pin.name)
            continue
        if pin.specifier.contains(installed, prereleases=True):
            right += 1
        else:
            other.append(f"{pin.name} {installed} instead of {str(pin.specifier).removeprefix('==')}")
    fix = f"install {pins.name} as it is pinned (here: remove .venv and run `make up`)"
    if missing:
        yield fail("packages", f"missing: {some(missing)}", fix)
    if other:
        yield warn("packages", f"not as pinned: {some(other)}", fix)
    if not missing and not other:
        yield ok("packages", f"{right} as pinned in {pins.name}")


def dags(folder: Path = ROOT / "dags") -> Iterator[Finding]:
    """Whether every DAG file can be imported."""
    from airflow.dag_processing.dagbag import DagBag

    with warnings.catch_warnings():
        # Of Airflow's own code, about which nobody here can do anything.
        warnings.simplefilter("ignore", DeprecationWarning)
        bag = DagBag(dag_folder=str(folder))
    for name, trace in sorted(bag.import_errors.items()):
        lines = trace.strip().splitlines()
        path = Path(name)
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        yield fail("dags", f"{shown} cannot be imported: {lines[-1] if lines else 'no reason given'}", f"mend {shown}")
    if not bag.import_errors:
        yield ok("dags", f"{len(bag.dags)} DAGs, no import errors")


def disk() -> Iterator[Finding]:
    """Free space where Airflow writes its logs and where the embedded servers keep their data."""
    places = {"repository": ROOT, "AIRFLOW_HOME": Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()}
    seen: set[int] = set()
    for name, wanted in places.items():
        path = next(each for each in (wanted, *wanted.parents) if each.exists())
        device = path.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(path).free / _GB
        found, fix = f"{free:.1f} GB free at the {name}", "free disk space: logs, backups, old images"
        if free < _TOO_LITTLE_GB:
            yield fail("disk", found, fix)
        elif free < _LITTLE_GB:
            yield warn("disk", found, fix)
        else:
            yield ok("disk", found)

"""`.local/env`: the variables by which any program attaches to the running system; a shell can source it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from local.files import write_private

HEADER = "# Written by `make up`. Contains passwords: keep it private. Use: . .local/env\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def quoted(value: str) -> str:
    """Quote a value for a POSIX shell; only a single quote needs care inside single quotes."""
    return "'" + value.replace("'", "'\\''") + "'"


def render(variables: Mapping[str, str]) -> str:
    """Return the file's text."""
    for name, value in variables.items():
        if not _NAME.match(name) or "\0" in value:
            raise ValueError(f"{name!r} cannot be an environment variable")
    return HEADER + "".join(f"export {name}={quoted(value)}\n" for name, value in sorted(variables.items()))


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Replace the file, readable by its owner only."""
    write_private(path, render(variables))


def read(path: Path) -> dict[str, str]:
    """Return the variables; a missing file has none."""
    try:
        words = shlex.split(path.read_bytes().decode(), comments=True)
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)

"""The file by which a simulator learns its ports and secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class SettingsFile:
    """Settings that a simulator is started with."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file written by `text`."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    def text(self) -> str:
        """Return the content of a settings file. It holds secrets: write it privately."""
        return json.dumps(asdict(self), indent=1) + "\n"

"""Settings of the alerts, from the environment: `ALERT_<NAME>`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from include.operations.errors import InputRejected


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment may set."""

    environment: str = "local"
    """Shown in every message, and part of the incident key."""
    cap_per_hour: int = 20
    """Messages a channel gets within an hour; everything beyond is one roll-up."""
    burst: timedelta = timedelta(seconds=60)
    """New incidents that follow a message within this time share one roll-up. Zero: each is told by itself."""
    group_p3: timedelta = timedelta(hours=1)
    """P3 warnings that follow one another within this time share one message. Zero: each is told by itself."""
    good_runs: int = 2
    """So many good runs in a row end an incident."""
    docs_url: str = ""
    """Where `docs/` can be read in a browser; without it a message names the runbook's file."""
    email_to: str = ""
    """Recipients when the connection `smtp_alerts` names none."""
    release: str = ""
    """Version of the deployed code, for Sentry."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings.

        Raises:
            InputRejected: one of them is no number, or out of range.
        """
        given = os.environ if environ is None else environ

        def text(name: str, default: str = "") -> str:
            return given.get(f"ALERT_{name}", "").strip() or default

        def number(name: str, default: float, least: float = 0) -> float:
            try:
                value = float(text(name, str(default)))
            except ValueError:
                value = -1.0
            if not least <= value < 1e9:
                raise InputRejected(
                    f"ALERT_{name} is no number from {least:g} up", what_to_do=f"correct the variable ALERT_{name}"
                )
            return value

        return cls(
            environment=text("ENVIRONMENT", "local"),
            cap_per_hour=int(number("CAP_PER_HOUR", 20, least=1)),
            burst=timedelta(seconds=number("BURST_S", 60)),
            group_p3=timedelta(seconds=number("GROUP_P3_S", 3600)),
            good_runs=int(number("GOOD_RUNS", 2, least=1)),
            docs_url=text("DOCS_URL").rstrip("/"),
            email_to=text("EMAIL_TO"),
            release=text("RELEASE"),
        )

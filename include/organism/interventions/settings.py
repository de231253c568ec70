"""What can be configured about interventions: one environment variable `INTERVENTION_<FIELD>` per field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Self

from include.operations.errors import InputRejected
from include.organism.settings import number


class Mode(StrEnum):
    """How far the system may go."""

    SHADOW = "shadow"
    """Records what it would have done."""
    REVIEW = "review"
    """Executes what a named person has approved."""
    LIVE = "live"
    """The same, and LOW actions by itself, within the budgets."""


# No setting goes below: fewer people can be told apart.
FLOOR: Final = 5
# Whole numbers have whole bounds.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "min_group": (FLOOR, 1_000),
    "min_group_burnout": (FLOOR, 1_000),
    "metrics_max_age_h": (0.1, 168.0),
    "min_coverage": (0.5, 1.0),
    "min_clusters": (10, 100_000),
    "max_q": (0.001, 0.2),
    "min_placebo_p": (0.01, 1.0),
    "cooldown_days": (1.0, 365.0),
    "weekly_share": (0.001, 1.0),
    "daily_actions": (0, 1_000),
    "max_proposals": (0, 100),
    "holdout_share": (0.10, 0.20),
    "expiry_h": (0.01, 168.0),
    "lease_s": (5.0, 3_600.0),
    "outcome_days": (1.0, 90.0),
    "outcome_before_days": (1.0, 90.0),
    "outcome_give_up_days": (1.0, 365.0),
    "disable_after": (1, 100),
    "disable_within_days": (1.0, 730.0),
}
_WORDS: Final = frozenset({"approvers", "excluded_teams", "excluded_roles"})
_LONGEST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the interventions. Units are in the names; `docs/interventions.md` explains each one."""

    mode: Mode = Mode.SHADOW
    # Accounts that may approve; nobody is named until somebody names them.
    approvers: tuple[str, ...] = ()
    min_group: int = 5
    # Where the outcome is burnout.
    min_group_burnout: int = 10
    metrics_max_age_h: float = 12.0
    min_coverage: float = 0.95
    min_clusters: int = 50
    max_q: float = 0.05
    min_placebo_p: float = 0.05
    cooldown_days: float = 14.0
    weekly_share: float = 0.05
    daily_actions: int = 3
    # As many as a run proposes.
    max_proposals: int = 3
    holdout_share: float = 0.15
    # Not a secret, but whoever knows it can tell who is held out. Changing it draws a new holdout.
    holdout_salt: str = "causal-organism"
    expiry_h: float = 24.0
    excluded_teams: tuple[str, ...] = ()
    excluded_roles: tuple[str, ...] = ("works council",)
    lease_s: float = 300.0
    outcome_days: float = 7.0
    outcome_before_days: float = 14.0
    # Later than that nothing can be told any more.
    outcome_give_up_days: float = 21.0
    disable_after: int = 2
    disable_within_days: float = 180.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Defaults, then the environment.

        Raises:
            InputRejected: a value makes no sense; the message names the variable.
        """
        given = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for field in fields(cls):
            variable = f"INTERVENTION_{field.name.upper()}"
            raw = given.get(variable, "").strip()
            # Set to nothing: no approver, no team; a number without digits is its default.
            if raw or (field.name in _WORDS and variable in given):
                values[field.name] = _read(field.name, variable, raw, whole=field.type == "int")
        return cls(**values)  # type: ignore[arg-type]

    def group_floor(self, outcome: str) -> int:
        """Least number of people of a group that this outcome may be told of."""
        return max(self.min_group_burnout if "burnout" in outcome else self.min_group, FLOOR)


def _read(name: str, variable: str, raw: str, *, whole: bool) -> object:
    if name in RANGES:
        least, most = RANGES[name]
        return number(variable, raw, least, most, whole=whole)
    if len(raw) > _LONGEST or not raw.isprintable():
        raise _wrong(variable, f"printable and at most {_LONGEST} characters")
    if name in _WORDS:
        return tuple(word.strip() for word in raw.split(",") if word.strip())
    if name == "mode":
        if raw not in set(Mode):
            raise _wrong(variable, f"one of {', '.join(Mode)}")
        return Mode(raw)
    return raw


def _wrong(variable: str, what: str) -> InputRejected:
    return InputRejected(f"{variable} is not {what}.", what_to_do=f"correct {variable}, or leave it out")

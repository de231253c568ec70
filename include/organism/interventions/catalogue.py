"""Which actions there are, how much each can do, and how it is undone. What is not here is refused.

`fire_employee` is here only to be refused by name: no approval can allow it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from include.operations.errors import InputRejected

# A working week, in minutes.
_WEEK_MIN: Final = 40 * 60.0


class Impact(StrEnum):
    """How much an action can do to people; everything but LOW always needs a named person's approval."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class System(StrEnum):
    """What carries an action out."""

    GRAPH = "graph"
    CALENDAR = "calendar"
    TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an action: a number between two bounds, or a text (bounds None)."""

    least: float | None = None
    most: float | None = None
    default: float | str | None = None

    def read(self, name: str, value: object) -> float | str:
        """Return the value, checked.

        Raises:
            InputRejected: it does not fit.
        """
        if self.least is None or self.most is None:
            if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST or not value.isprintable():
                raise _wrong(name, f"a text of 1 to {_LONGEST} printable characters")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise _wrong(name, f"a number from {self.least:g} to {self.most:g}")
        return value


_LONGEST: Final = 200
Values = Mapping[str, Any]
# From an action's parameters to the factor by which it changes the group's mean of the treatment (0.5: halves it).
Factor = Callable[[Values], float]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an outcome counts as harm (include/organism/interventions/outcomes.py).

    Attributes:
        metric: what the action is meant to change.
        better: -1 when less of it is better, +1 when more is.
        worst_change: share of the mean before by which it may get worse; more is harm even when it is not certain.
        least_contact: share of the degree before that must be left, else people were cut off; None: not watched,
            because lowering it is what the action is for.
    """

    metric: str = "burnout_score"
    better: int = -1
    worst_change: float = 0.2
    least_contact: float | None = 0.7


@dataclass(frozen=True, slots=True)
class ActionType:
    """One type of action.

    Attributes:
        name: as in proposals.
        impact: how much it can do.
        system: what carries it out.
        reversible_by: how it is undone, in words; empty: it cannot be, so it is refused.
        parameters: by name.
        lever: treatment whose group mean it changes; empty: a person has to say what it changes.
        factor: by how much.
        automatic: whether the pipeline may propose it by itself.
        rule: what counts as harm.
    """

    name: str
    impact: Impact
    system: System
    reversible_by: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    lever: str = ""
    factor: Factor | None = None
    automatic: bool = False
    rule: Rule = Rule()

    def read(self, given: Values) -> dict[str, Any]:
        """Return all parameters, defaults filled in.

        Raises:
            InputRejected: one is unknown, missing, or does not fit.
        """
        if unknown := sorted(set(given) - set(self.parameters)):
            raise _wrong(", ".join(unknown), f"known to {self.name}: it has {sorted(self.parameters) or 'none'}")
        found = {}
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            found[name] = parameter.read(name, value)
        return found

    def change(self, mean: float, values: Values) -> float | None:
        """By how much the group's mean of the lever changes; None without a lever.

        Args:
            mean: the group's mean now, in the treatment's unit.
            values: what `read` gave.
        """
        if self.factor is None or not math.isfinite(mean):
            return None
        return mean * (self.factor(values) - 1.0)


_PERCENT: Final = Parameter(1, 100, 50)
# Both lower the degree on purpose.
_LESS_CONTACT: Final = Rule(least_contact=None)


def _less(values: Values) -> float:
    """What is left when a percentage of it goes."""
    return 1.0 - float(values["percent"]) / 100.0


def _focus(values: Values) -> float:
    """Share of a 40-hour week in which people can still be reached."""
    return 1.0 - min(float(values["minutes"]) * float(values["per_week"]) / _WEEK_MIN, 1.0)


def _uptake(values: Values) -> float:
    """The same when only some of those who are asked do it."""
    return 1.0 - float(values["uptake"]) * (1.0 - _focus(values))


_RESTORED: Final = "the manager, team, role and is_manager each person had are written back"
_CANCELLED: Final = "the system is told to cancel it, which gives back what was there before"
_FOCUS_PARAMETERS: Final = {"minutes": Parameter(15, 480, 120), "per_week": Parameter(1, 5, 1)}

CATALOGUE: Final[Mapping[str, ActionType]] = {
    action.name: action
    for action in (
        ActionType(
            "suggest_focus_time",
            Impact.LOW,
            System.TASKS,
            _CANCELLED,
            {**_FOCUS_PARAMETERS, "uptake": Parameter(0.01, 1, 0.3)},
            lever="degree_centrality",
            factor=_uptake,
            automatic=True,
            rule=_LESS_CONTACT,
        ),
        ActionType(
            "schedule_focus_time",
            Impact.MEDIUM,
            System.CALENDAR,
            _CANCELLED,
            _FOCUS_PARAMETERS,
            lever="degree_centrality",
            factor=_focus,
            automatic=True,
            rule=_LESS_CONTACT,
        ),
        ActionType(
            "reduce_meetings",
            Impact.MEDIUM,
            System.CALENDAR,
            _CANCELLED,
            {"percent": _PERCENT},
            lever="degree_centrality",
            factor=_less,
            automatic=True,
            rule=_LESS_CONTACT,
        ),
        ActionType(
            "redistribute_tasks",
            Impact.MEDIUM,
            System.TASKS,
            _CANCELLED,
            {"percent": Parameter(1, 50, 25)},
            lever="betweenness_centrality",
            factor=_less,
            automatic=True,
        ),
        ActionType(
            "promote_role", Impact.MEDIUM, System.GRAPH, _RESTORED, {"role": Parameter()}, rule=Rule(least_contact=0.5)
        ),
        ActionType("reassign_manager", Impact.HIGH, System.GRAPH, _RESTORED, {"manager_of_team": Parameter()}),
        ActionType("team_restructure", Impact.HIGH, System.GRAPH, _RESTORED, {"team": Parameter()}),
        ActionType("role_change", Impact.HIGH, System.GRAPH, _RESTORED, {"role": Parameter()}),
        ActionType("major_schedule_change", Impact.HIGH, System.CALENDAR, _CANCELLED, {"schedule": Parameter()}),
    )
}
FORBIDDEN: Final[Mapping[str, str]] = {"fire_employee": "nobody loses a job by this system, whoever approves"}


def _wrong(name: str, what: str) -> InputRejected:
    return InputRejected(f"the parameter {name} is not {what}", what_to_do="correct the proposal's parameters")

"""What is asked: the parameters of a run as a checked, hashed value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, Self

from include.operations.errors import InputRejected

VERSION: Final = 1
BURNOUT: Final = "burnout_score"
METRICS: Final = (
    "degree_centrality",
    "strength",
    "betweenness_centrality",
    "clustering_coefficient",
    "pagerank",
    "burt_constraint",
    "reciprocity",
    "out_of_team_share",
)
MANAGER: Final = "is_manager"
OUTCOMES: Final = (BURNOUT, *METRICS)
CONFOUNDERS: Final = (*METRICS, MANAGER)
Engine = Literal["auto", "local", "spark"]
_SCENARIO: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "column", "how", "amount"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,49}$"},
        "column": {"type": "string", "enum": list(CONFOUNDERS)},
        "how": {"type": "string", "enum": ["multiply", "add", "set", "cap"]},
        # As far as any number of a person goes; Airflow cannot keep the ones beyond 64 bits.
        "amount": {"type": "number", "minimum": -1e9, "maximum": 1e9},
        "top": {"type": "integer", "minimum": 1},
        "by": {"type": "string", "enum": list(CONFOUNDERS)},
        "unless": {"type": "string", "enum": list(CONFOUNDERS)},
    },
}
_LONGEST_HISTORY: Final = timedelta(days=730)


class Period(StrEnum):
    """Length of a period, as PostgreSQL's date_trunc names it; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Managers(StrEnum):
    """Whom the analysis is about."""

    ALL = "all"
    ONLY = "only"
    WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Question:
    """Which treatments change the outcome, holding the confounders fixed, for whom and when.

    Attributes:
        outcome: one of `OUTCOMES`.
        treatments: some of `METRICS`; each gets an estimate of its own.
        confounders: some of `CONFOUNDERS`; one that is the treatment itself is left out of its estimate.
        instrument: questionnaire whose scores are the burnout; None: the one that most people answered in the span.
        period: length of a period.
        start: first day (UTC); None: two years before the end.
        end: last day (UTC); None: the run's.
        teams: only these; none: all.
        managers: only managers, only others, or all.
        engine: local, spark or auto.
        scenarios: changes to work out besides the built-in ones: `name`, and the fields of `counterfactual.Change`.
    """

    outcome: str = BURNOUT
    treatments: tuple[str, ...] = ("degree_centrality",)
    confounders: tuple[str, ...] = (MANAGER,)
    instrument: str | None = None
    period: Period = Period.WEEK
    start: date | None = None
    end: date | None = None
    teams: tuple[str, ...] = ()
    managers: Managers = Managers.ALL
    engine: Engine = "auto"
    scenarios: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """The question of a run's parameters, whose types Airflow has checked by `schema()`.

        Raises:
            InputRejected: the parameters contradict each other; the message names them.
        """
        question = cls(
            outcome=params["outcome"],
            treatments=_once("treatments", params["treatments"]),
            confounders=_once("confounders", params["confounders"]),
            instrument=params["instrument"],
            period=Period(params["period"]),
            start=_day("start", params["start"]),
            end=_day("end", params["end"]),
            teams=tuple(sorted(_once("teams", params["teams"]))),
            managers=Managers(params["managers"]),
            engine=params["engine"],
            scenarios=tuple(params["scenarios"]),
        )
        if question.outcome in (*question.treatments, *question.confounders):
            raise InputRejected(
                f"the outcome {question.outcome} is a treatment or confounder, too",
                what_to_do="take it out of `treatments` and `confounders`",
            )
        if question.start and question.end and question.start >= question.end:
            raise InputRejected("`start` is not before `end`", what_to_do="correct one of them")
        return question

    def confounders_of(self, treatment: str) -> tuple[str, ...]:
        """What is held fixed while a treatment varies."""
        return tuple(name for name in self.confounders if name != treatment)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every number the panel needs, the outcome first, each once."""
        return tuple(dict.fromkeys((self.outcome, *self.treatments, *self.confounders)))

    def span(self, measured_at: datetime) -> tuple[datetime, datetime]:
        """First moment, and the one after the last; nothing after the run's own time."""
        end = measured_at + timedelta(microseconds=1)
        if self.end is not None:
            end = min(end, _midnight(self.end + timedelta(days=1)))
        start = end - _LONGEST_HISTORY if self.start is None else _midnight(self.start)
        return start, end

    def as_json(self) -> dict[str, Any]:
        """The whole question, as it is stored."""
        values = asdict(self) | {"version": VERSION, "scenarios": [dict(given) for given in self.scenarios]}
        return {key: value.isoformat() if isinstance(value, date) else value for key, value in values.items()}

    @property
    def hash(self) -> str:
        """SHA-256 of `as_json` without the engine, which does not change an answer."""
        said = {key: value for key, value in self.as_json().items() if key != "engine"}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def schema() -> dict[str, dict[str, Any]]:
    """JSON schema of each parameter, with its default and description: what the trigger form shows and checks."""
    default = Question()
    some = {"type": "array", "uniqueItems": True}
    day = {"type": ["null", "string"], "format": "date", "default": None}
    return {
        "outcome": {
            "default": default.outcome,
            "type": "string",
            "enum": list(OUTCOMES),
            "description": "What is explained",
        },
        "treatments": some
        | {
            "default": list(default.treatments),
            "minItems": 1,
            "items": {"type": "string", "enum": list(METRICS)},
            "examples": list(METRICS),
            "description": "What may drive it; each gets an estimate of its own",
        },
        "confounders": some
        | {
            "default": list(default.confounders),
            "items": {"type": "string", "enum": list(CONFOUNDERS)},
            "examples": list(CONFOUNDERS),
            "description": "What is held fixed, besides everything about a person that does not change",
        },
        "instrument": {
            "default": None,
            "type": ["null", "string"],
            "minLength": 1,
            "maxLength": 50,
            "description": "Questionnaire; empty: the one that most people answered",
        },
        "period": {
            "default": str(default.period),
            "type": "string",
            "enum": [str(period) for period in Period],
            "description": "Length of a period",
        },
        "start": day | {"description": "First day, UTC; empty: two years before the end"},
        "end": day | {"description": "Last day, UTC; empty: the run's own"},
        "teams": some
        | {
            "default": [],
            "items": {"type": "string", "minLength": 1, "maxLength": 100},
            "description": "Only these teams; empty: all",
        },
        "managers": {
            "default": str(default.managers),
            "type": "string",
            "enum": [str(choice) for choice in Managers],
            "description": "All people, only managers, or all without managers",
        },
        "engine": {
            "default": default.engine,
            "type": "string",
            "enum": ["auto", "local", "spark"],
            "description": "Where it is computed; auto: by rows and memory",
        },
        "scenarios": {
            "default": [],
            "type": "array",
            "items": _SCENARIO,
            "description": "Changes to work out: name, column, how (multiply, add, set, cap), amount, top, by, unless",
        },
    }


def _once(name: str, values: list[str]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise InputRejected(f"`{name}` names something twice", what_to_do="name each once")
    return tuple(values)


def _day(name: str, value: str | None) -> date | None:
    if value is None or not value:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InputRejected(f"`{name}` is no day like 2026-01-31", what_to_do=f"correct `{name}`") from None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

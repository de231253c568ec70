"""A file of assessments, CSV or JSON, becomes scores and withdrawals, or refusals that say why a row cannot be used.

| field | aliases | meaning |
|---|---|---|
| `id` | employee_id, emp_id, person_id | the person, as in the roster and the interactions; required |
| `date` | assessed_at, assessed_on, day | day of the answer, ISO-8601; required |
| `score` | burnout, burnout_score, value | 0 (none) to 100; required with consent, dropped without |
| `instrument` | questionnaire, scale | which questionnaire; required, because scores of different ones do not compare |
| `consent` | consented | whether the person agreed to this use; required, there is no default |

A row without consent is a withdrawal: the person's scores of that instrument up to that day are deleted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any, Final

from include.organism.people_file import (
    Cells,
    FieldError,
    Format,
    Layout,
    Refusal,
    collect,
    flag,
    identifier,
    is_empty,
    text,
    unless_empty,
)

ALIASES: Final = {
    "id": ("employee_id", "emp_id", "person_id"),
    "date": ("assessed_at", "assessed_on", "day"),
    "score": ("burnout", "burnout_score", "value"),
    "instrument": ("questionnaire", "scale"),
    "consent": ("consented",),
}
LAYOUT: Final = Layout(
    what="file of assessments",
    aliases=ALIASES,
    list_name="assessments",
    hint=f"use the fields {', '.join(ALIASES)}; the DAG's page in docs/DAGs.md lists other names that are understood",
    required=("id", "date", "instrument", "consent"),
)
LEAST, MOST = 0.0, 100.0
# An earlier day is a mistake of typing, or the zero of some other calendar.
_FIRST_DAY: Final = date(1970, 1, 1)
_LONGEST_INSTRUMENT = 50


@dataclass(frozen=True, slots=True)
class Assessment:
    """One usable row.

    Attributes:
        row: see `Refusal`.
        person: the person's id.
        day: day of the answer.
        instrument: name of the questionnaire.
        score: 0 to 100; None: the consent is withdrawn.
    """

    row: int
    person: str
    day: date
    instrument: str
    score: float | None


@dataclass(slots=True)
class Assessments:
    """What a file holds.

    Attributes:
        usable: one a person, day and instrument, in the order of the file.
        refusals: why the other rows are not used; a row may have several.
        rows: rows of the file.
    """

    usable: list[Assessment] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    rows: int = 0


def parse(given: str | list[Any], written: Format, *, today: date) -> Assessments:
    """Read and check a file.

    Args:
        given: the file's text, or the items of a JSON list.
        written: its format.
        today: an answer of a later day is refused.

    Raises:
        InputRejected: it is no such file as a whole, or its header names a column that is not understood.
    """
    found = Assessments()
    taken: dict[tuple[str, date, str], int] = {}
    for number, cells in LAYOUT.rows(given, written):
        found.rows += 1
        if isinstance(cells, Refusal):
            found.refusals.append(cells)
            continue
        assessment, refusals = _check(number, cells, today)
        if assessment is not None:
            key = (assessment.person, assessment.day, assessment.instrument)
            if key in taken:
                why = f"row {taken[key]} has the same person, day and instrument"
                refusals = [Refusal(number, "id", "duplicate_assessment", why)]
            else:
                taken[key] = number
                found.usable.append(assessment)
        found.refusals += refusals
    return found


def _check(row: int, cells: Cells, today: date) -> tuple[Assessment | None, list[Refusal]]:
    readers: dict[str, Callable[[Any], Any]] = {
        "id": identifier,
        "date": partial(_day, today=today),
        "score": unless_empty(_score),
        "instrument": _instrument,
        "consent": flag,
    }
    values, refusals = collect(row, readers, cells)
    refusals += [
        Refusal(row, name, f"missing_{name}", f"the field {name} is missing")
        for name in LAYOUT.required
        if name not in cells
    ]
    score = values.get("score")
    if values.get("consent") and score is None and not any(each.field == "score" for each in refusals):
        refusals.append(Refusal(row, "score", "missing_score", "there is consent, but no score"))
    if refusals:
        return None, refusals
    kept = score if values["consent"] else None
    return Assessment(row, values["id"], values["date"], values["instrument"], kept), []


def _day(value: Any, *, today: date) -> date:
    given = value.strip() if isinstance(value, str) else ""
    try:
        day = datetime.fromisoformat(given).date()
    except ValueError:
        raise FieldError("bad_date", "the value is no day like 2026-01-31") from None
    if day > today:
        raise FieldError("future_date", "the day is in the future")
    if day < _FIRST_DAY:
        raise FieldError("bad_date", f"the day is before {_FIRST_DAY}")
    return day


def _score(value: Any) -> float:
    try:
        # Python reads 1_0 as ten.
        score = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError):
        score = math.nan
    # A NaN is in no range.
    if not LEAST <= score <= MOST:
        raise FieldError("bad_score", f"the value is no number from {LEAST:g} to {MOST:g}")
    return score


def _instrument(value: Any) -> str:
    if is_empty(value):
        raise FieldError("missing_instrument", "the questionnaire is not named")
    found = text(value, _LONGEST_INSTRUMENT)
    assert found is not None  # noqa: S101 - it is not empty
    return found

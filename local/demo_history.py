"""A past for demo people: a year of weekly measurements and answers to a questionnaire, whose true effect is known.

    score(i,w) = 30 + EFFECT x degree(i,w) + 6 trait(i) + season(w) + noise

People with many contacts have a trait that exhausts them, too: a plain regression finds far more than the effect, one
that compares people with themselves finds it. Nothing else that is measured has an effect. What a week brings depends
on its place in the year only, so that a later demo adds weeks to those that are there and changes none.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.demo_data import Person

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

# Points of the score, for 1.0 more of degree centrality.
EFFECT: Final = 60.0
WEEKS: Final = 52
INSTRUMENT: Final = "demo questionnaire"
SEED: Final = 12
# How far a person's degree moves from week to week.
_DEGREE_SPREAD: Final = 0.02
_LEAST_DEGREE: Final = 0.005
_ANSWERS: Final = 0.85
# Where the other metrics usually are, and how far from it.
_OTHERS: Final[Mapping[str, tuple[float, float]]] = {
    "strength": (40.0, 6.0),
    "betweenness_centrality": (0.01, 0.002),
    "clustering_coefficient": (0.3, 0.04),
    "pagerank": (0.005, 0.0008),
    "burt_constraint": (0.2, 0.03),
    "reciprocity": (0.65, 0.05),
    "out_of_team_share": (0.3, 0.05),
}
# A day's mean of four runs.
_SAMPLES: Final = 4
# The panel reads days of this age from what is kept of each day, newer ones from the runs themselves.
_SETTLED: Final = timedelta(days=8)
_COLUMNS: Final = ("bucket", "employee_id", "team", "is_manager", "samples", "degree_centrality", *_OTHERS)
_STAGE: Final = "create temporary table past (like organism.employee_metrics_daily) on commit drop"
_KEEP: Final = "insert into organism.employee_metrics_daily select * from past on conflict do nothing"


@dataclass(frozen=True, slots=True)
class Week:
    """One week of everybody.

    Attributes:
        monday: its first day.
        degree: degree centrality of each person.
        others: the other metrics.
        score: each person's answer; NaN: none this week.
    """

    monday: date
    degree: NDArray[np.float64]
    others: dict[str, NDArray[np.float64]]
    score: NDArray[np.float64]


class History:
    """The weeks before a day.

    Args:
        people: who is in it.
        levels: each person's usual degree centrality, by id.
        today: nothing is as new as the week before.
        weeks: how many.
    """

    def __init__(self, people: Sequence[Person], levels: Mapping[str, float], today: date, weeks: int = WEEKS) -> None:
        import numpy as np

        self._people = people
        self._level = np.array([levels[person.id] for person in people])
        rng = np.random.default_rng(SEED)
        spread = float(self._level.std()) or 1.0
        usual = (self._level - self._level.mean()) / spread
        self._trait = 0.7 * usual + math.sqrt(1 - 0.7**2) * rng.standard_normal(len(people))
        last = today - _SETTLED
        last -= timedelta(days=last.weekday())
        self.mondays = [last - timedelta(weeks=weeks - 1 - number) for number in range(weeks)]

    def weeks(self) -> Iterator[Week]:
        """Yield the weeks, the oldest first."""
        import numpy as np

        count = len(self._people)
        for monday in self.mondays:
            place = monday.toordinal() // 7 % WEEKS
            rng = np.random.default_rng([SEED, place])
            degree = np.maximum(self._level + _DEGREE_SPREAD * rng.standard_normal(count), _LEAST_DEGREE)
            season = 3 * math.sin(2 * math.pi * place / WEEKS)
            score = 30 + EFFECT * degree + 6 * self._trait + season + 3 * rng.standard_normal(count)
            score = np.where(rng.random(count) < _ANSWERS, np.clip(score, 0, 100), np.nan)
            others = {
                name: np.abs(usual + spread * rng.standard_normal(count)) for name, (usual, spread) in _OTHERS.items()
            }
            yield Week(monday, degree, others, score)

    def write_measurements(self, connection: psycopg.Connection) -> int:
        """Put them into `organism.employee_metrics_daily`; what is there stays. Commits; returns the rows added.

        Raises:
            psycopg.Error: the warehouse refuses.
        """
        from psycopg import sql

        from include.organism.metric_store import layout
        from include.organism.privacy.pseudonym import Pseudonyms

        names = Pseudonyms.from_env()
        known = [names.of(person.id) for person in self._people]
        layout.make_room(connection, layout.DAILY, _midnight(self.mondays[0]), _midnight(self.mondays[-1]))
        connection.execute(_STAGE)
        columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
        with connection.cursor().copy(sql.SQL("copy past ({}) from stdin").format(columns)) as copy:
            for week in self.weeks():
                bucket = _midnight(week.monday)
                figures = zip(week.degree, *week.others.values(), strict=True)
                for name, person, row in zip(known, self._people, figures, strict=True):
                    copy.write_row((bucket, name, person.team, person.is_manager, _SAMPLES, *map(float, row)))
        added = connection.execute(_KEEP).rowcount
        connection.commit()
        return added

    def write_assessments(self, path: Path) -> int:
        """Write the answers as a file that `organism_load_assessments` reads; returns its rows."""
        rows = list(self._answers())
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("id", "date", "score", "instrument", "consent"))
            table.writerows(rows)
        return len(rows)

    def _answers(self) -> Iterator[tuple[Any, ...]]:
        """One row an answer, on the Wednesday of its week; ids as the producers give them."""
        for week in self.weeks():
            day = (week.monday + timedelta(days=2)).isoformat()
            for person, score in zip(self._people, week.score, strict=True):
                if not math.isnan(score):
                    yield person.id, day, f"{score:.2f}", INSTRUMENT, "yes"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

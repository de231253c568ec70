"""A warehouse with a history of measurements and scores whose effect is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from include.organism.metric_store import layout
from tests.interventions import database

# A Tuesday.
NOW = datetime(2026, 3, 31, 6, tzinfo=UTC)


__all__ = ["database"]


@pytest.fixture
def warehouse(database):
    with psycopg.connect(database) as connection:
        yield connection


class History:
    """Writes measurements and scores as pipelines would have."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def make_room(self, first: datetime, last: datetime) -> None:
        """Partitions for all days of the history."""
        moment = first
        while moment < last + timedelta(days=7):
            for series in (layout.RAW, layout.DAILY):
                layout.make_room(self.connection, series, moment)
            moment += timedelta(days=7)

    def daily(
        self, person: str, day: datetime, *, samples: int = 4, team: str = "A", manager: bool = False, **metrics: float
    ) -> None:
        self._insert(
            "employee_metrics_daily",
            bucket=day,
            employee_id=person,
            samples=samples,
            team=team,
            is_manager=manager,
            **metrics,
        )

    def raw(self, person: str, moment: datetime, *, team: str = "A", manager: bool = False, **metrics: float) -> None:
        self._insert(
            "employee_metrics", measured_at=moment, employee_id=person, team=team, is_manager=manager, **metrics
        )

    def score(self, person: str, day: datetime, score: float | None, instrument: str = "CBI") -> None:
        self._insert(
            "burnout_assessment",
            employee_id=person,
            instrument=instrument,
            assessed_on=day.date(),
            score=score,
            consent=score is not None,
            run_id="test",
        )

    def _insert(self, table: str, **values: object) -> None:
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
        marks = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(values))
        statement = psycopg.sql.SQL("insert into {} ({}) values ({})").format(
            psycopg.sql.Identifier("organism", table), names, marks
        )
        self.connection.execute(statement, list(values.values()))


@pytest.fixture
def history(warehouse):
    found = History(warehouse)
    found.make_room(NOW - timedelta(weeks=8), NOW)
    return found


class Organisation:
    """People whose burnout follows their contacts, as organism.md 10 has it, and a trait that drives both."""

    def __init__(self, history: History, people: int, weeks: int, *, effect: float = 60.0, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.people = [f"person-{number:03d}" for number in range(people)]
        trait = rng.normal(size=people)
        # Nobody is clipped at 0 or 100, so that the effect is the same for all.
        degree = 0.35 + 0.05 * trait[:, None] + rng.normal(scale=0.04, size=(people, weeks))
        season = 3 * np.sin(np.arange(weeks) / 3)
        burnout = 20 + effect * degree + 8 * trait[:, None] + season + rng.normal(scale=3, size=(people, weeks))
        self.degree, self.burnout = degree, np.clip(burnout, 0, 100)
        first = (NOW - timedelta(days=1)).replace(hour=0) - timedelta(weeks=weeks + 1)
        history.make_room(first, NOW)
        days = [first + timedelta(weeks=week) for week in range(weeks)]
        with history.connection.cursor() as cursor:
            with cursor.copy(
                "copy organism.employee_metrics_daily (bucket, employee_id, samples, team, is_manager,"
                " degree_centrality, strength) from stdin"
            ) as copy:
                for i, person in enumerate(self.people):
                    for week, day in enumerate(days):
                        row = (day, person, 4, "AB"[i % 2], i % 5 == 0, degree[i, week], 100 * degree[i, week] ** 2)
                        copy.write_row(row)
            with cursor.copy(
                "copy organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
                " from stdin"
            ) as copy:
                for i, person in enumerate(self.people):
                    for week, day in enumerate(days):
                        copy.write_row((person, "CBI", day.date(), self.burnout[i, week], True, "test"))


def measured(connection: psycopg.Connection, moment: datetime = NOW) -> None:
    """A complete measurement, as the step before leaves it."""
    connection.execute(
        "insert into organism.metric_run (measured_at, run_id, epoch, completed_at) values (%s, 'test', 1, now())"
        " on conflict (measured_at) do update set epoch = metric_run.epoch + 1",
        [moment],
    )
    connection.commit()

"""A warehouse with a history of measurements and scores whose effect is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.organism.metric_store import layout
from include.warehouse import schema

# A Tuesday.
NOW = datetime(2026, 3, 31, 6, tzinfo=UTC)


@pytest.fixture
def warehouse(postgres_server):
    url = postgres_server.create_database("analysis_test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    with psycopg.connect(url) as connection:
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

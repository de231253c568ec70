"""Alerts on a real PostgreSQL, with the real SDKs, against the simulators; the clock is the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from include.operations import alerts
from include.operations.alerts import Problem
from local.simulators.testing import AlertSink
from tests.integration.operations.patience import patient_alerts

TABLES = "ops.alert_event, ops.alert_outbox, ops.incident, ops.silence, ops.last_success"


@pytest.fixture(scope="module")
def sink():
    with AlertSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def warehouse_url(postgres_server, warehouse_template):
    url = postgres_server.create_database("alerts_test", template=warehouse_template)
    return url.replace("postgresql://", "postgres://")


class World:
    """A warehouse without incidents, channels that work, and a clock."""

    def __init__(self, url: str, sink: AlertSink, patch: pytest.MonkeyPatch) -> None:
        self.url = url
        self.sink = sink
        self.patch = patch
        self.now = datetime(2026, 1, 10, 8, 55, tzinfo=UTC)

    def later(self, **length: float) -> None:
        self.now += timedelta(**length)

    def problem(self, number: int = 1, **changes) -> Problem:
        """A failed task of the 5-minute DAG in its run of this number."""
        given = {
            "kind": "task_failed",
            "title": "organism_incremental_update.update_graph failed: database error",
            "dag_id": "organism_incremental_update",
            "run_id": f"scheduled__{number}",
            "task_id": "update_graph",
            "try_number": 4,
            "error_class": "DATABASE",
            "code": "40P01",
            "fingerprint": "0123456789ab",
            "what_to_do": "Look the code up.",
            "runbook": "task-failed",
        }
        return Problem(**{**given, **changes})

    def fail(self, number: int = 1, **changes) -> None:
        alerts.raise_problem(self.problem(number, **changes), now=self.now)

    def succeed(self, number: int, dag_id: str = "organism_incremental_update") -> None:
        alerts.note_success(dag_id, f"scheduled__{number}", now=self.now)

    def flush(self):
        return alerts.flush_outbox(now=self.now)

    def rows(self, query: str, *values):
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(query, values or None).fetchall()

    def run(self, statement: str, *values) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement, values or None)

    def slack(self):
        return self.sink.slack_messages()

    def titles(self):
        return [message["blocks"][0]["text"]["text"] for message in self.slack()]


@pytest.fixture
def world(warehouse_url, sink, monkeypatch, tmp_path):
    sink.clear()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", warehouse_url)
    monkeypatch.setenv("ALERT_STATE_DIR", str(tmp_path / "alerts"))
    for name, value in sink.connections.items():
        monkeypatch.setenv(name, value)
    patient_alerts(monkeypatch)
    made = World(warehouse_url, sink, monkeypatch)
    made.run(f"truncate {TABLES}")
    return made

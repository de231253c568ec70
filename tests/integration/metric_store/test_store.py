"""All that follows from a run's measurements, under kills and repeats."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from include.operations.errors import InputRejected, LeaseLost
from include.organism.metric_store import store as steps
from include.organism.metric_store import writer
from tests.integration.metric_store.measured import NOON, people, run

pytestmark = pytest.mark.servers

_PROGRAM = """
import sys, psycopg
from datetime import datetime
from include.organism.metric_store.store import store
with psycopg.connect(sys.argv[1]) as connection:
    store(connection, datetime.fromisoformat(sys.argv[2]))
"""


def rows(connection, query, *values):
    found = connection.execute(query, values or None).fetchall()
    connection.commit()
    return found


def answer(connection, person, days_ago, score, instrument="CBI"):
    connection.execute(
        "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
        " values (%s, %s, %s, %s, %s, 'r')",
        [person, instrument, NOON.date() - timedelta(days=days_ago), score, score is not None],
    )
    connection.commit()


def test_a_person_has_the_newest_consented_score(store):
    run(store, people(6))
    answer(store, "p0", 9, 30.0)
    answer(store, "p0", 2, 40.0)
    answer(store, "p0", -1, 99.0)
    answer(store, "p1", 99, 50.0)
    answer(store, "p2", 100, 60.0)
    answer(store, "p3", 5, 70.0)
    answer(store, "p3", 1, None)
    answer(store, "p4", 1, 80.0, "another")
    answer(store, "stranger", 1, 80.0)
    assert steps.store(store, NOON)["scores"] == 2
    query = (
        "select employee_id, burnout_score from organism.employee_metrics where burnout_score is not null order by 1"
    )
    assert rows(store, query) == [("p0", 40.0), ("p1", 50.0)]
    assert steps.store(store, NOON)["scores"] == 0
    store.execute("delete from organism.burnout_assessment where employee_id = 'p1'")
    assert steps.store(store, NOON)["scores"] == 1
    assert rows(store, query) == [("p0", 40.0)]


def test_without_measurements_there_is_nothing_to_store(store):
    with pytest.raises(InputRejected, match="no measurements"):
        steps.store(store, NOON)
    store.rollback()
    writer.begin(store, NOON, "run")
    with pytest.raises(InputRejected, match="no measurements"):
        steps.store(store, NOON)


def test_a_later_try_of_the_measurement_stops_an_older_one(store, monkeypatch):
    run(store, people(20))
    monkeypatch.setattr(steps, "fault_point", lambda _: writer.begin(store, NOON, "later"))
    with pytest.raises(LeaseLost):
        steps.store(store, NOON)
    assert rows(store, "select count(*) from organism.team_metrics") == [(0,)]


def _picture(connection):
    return [
        rows(connection, f"select * from organism.{table} order by 1, 2, 3")
        for table in ("employee_metrics", "employee_metrics_hourly", "employee_metrics_daily", "team_metrics")
    ] + rows(connection, "select family, members from organism.team_cohort order by 1, 2")


@pytest.mark.parametrize(
    "point",
    ["store.scores_filled", "rollup.in_transaction:kill:2", "rollup.after_commit", "teams.before_read",
     "teams.in_transaction", "teams.after_commit"],
)  # fmt: skip
def test_a_killed_try_is_finished_by_the_next_one(store, store_url, point):
    for number in range(12):
        answer(store, f"p{number}", 1, 10.0 + number)
    run(store, people(30, teams=2))
    environment = {**os.environ, "FAULT_AT": point if ":" in point else f"{point}:kill"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", _PROGRAM, store_url, NOON.isoformat()]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    if point != "teams.after_commit":
        assert rows(store, "select count(*) from organism.team_metrics") == [(0,)]
    steps.store(store, NOON)
    done = _picture(store)
    assert [len(part) for part in done[:3]] == [30, 30, 30]
    assert rows(store, "select count(*) from organism.team_metrics where n is not null")[0][0] > 20
    steps.store(store, NOON)
    assert _picture(store) == done

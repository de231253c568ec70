"""One row a person and period: of the right days, weighed rightly, without those who want to be left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from include.organism.analysis.panel import opened
from include.organism.analysis.question import Managers, Period, Question
from tests.integration.analysis.conftest import NOW

pytestmark = pytest.mark.servers

DEGREE = Question(treatments=("degree_centrality",), confounders=())
TODAY = NOW.replace(hour=0)
MONDAY = TODAY - timedelta(days=1)


def weeks(back: float) -> datetime:
    return MONDAY - timedelta(weeks=back)


def read(warehouse, question=DEGREE):
    with opened(warehouse, question, NOW) as panel:
        return panel, pl.read_parquet(panel.path)


def values(frame: pl.DataFrame, name: str = "degree_centrality") -> list[float]:
    return frame[name].to_list()


def test_a_period_is_the_mean_of_its_measurements_and_of_its_scores(warehouse, history):
    history.daily("ann", weeks(2), samples=1, degree_centrality=0.1)
    history.daily("ann", weeks(2) + timedelta(days=1), samples=3, degree_centrality=0.5)
    history.score("ann", weeks(2), 40)
    history.score("ann", weeks(2) + timedelta(days=6), 60)
    panel, frame = read(warehouse)
    assert frame.columns == ["person", "period", "burnout_score", "degree_centrality"]
    assert frame.height == panel.rows == panel.people == 1
    assert frame.row(0)[2:] == (50.0, pytest.approx(0.4))
    assert panel.instrument == "CBI"


def test_the_newest_days_come_from_the_measurements_themselves(warehouse, history):
    """Their roll-up is made after the analysis."""
    history.daily("ann", TODAY, samples=1, degree_centrality=0.9)
    history.raw("ann", NOW - timedelta(hours=6), degree_centrality=0.2)
    history.raw("ann", NOW, degree_centrality=0.4)
    history.raw("ann", NOW + timedelta(minutes=1), degree_centrality=0.7)
    history.score("ann", TODAY, 40)
    _, frame = read(warehouse)
    assert values(frame) == [pytest.approx(0.3)]


def test_weeks_begin_on_monday_and_differ_by_one(warehouse, history):
    for back in (5, 3, 2):
        history.daily("ann", weeks(back) + timedelta(days=6), degree_centrality=0.1)
        history.score("ann", weeks(back), 40)
    _, frame = read(warehouse)
    periods = frame["period"].to_list()
    assert [period - periods[0] for period in periods] == [0, 2, 3]


@pytest.mark.parametrize(("period", "rows"), [(Period.DAY, 2), (Period.WEEK, 1), (Period.MONTH, 1)])
def test_length_of_a_period(warehouse, history, period, rows):
    for day in range(2):
        history.daily("ann", weeks(2) + timedelta(days=day), degree_centrality=0.1)
        history.score("ann", weeks(2) + timedelta(days=day), 40)
    assert read(warehouse, replace(DEGREE, period=period))[0].rows == rows


def test_people_who_want_to_be_left_out_are_in_no_row(warehouse, history):
    for person in ("ann", "bob", "cem"):
        history.daily(person, weeks(2), degree_centrality=0.1)
        history.score(person, weeks(2), 40)
    history.score("bob", weeks(1), None)
    warehouse.execute(
        "insert into organism.privacy_choice (employee_id, opted_out_at, source) values ('cem', now(), 'command')"
    )
    warehouse.execute("delete from organism.burnout_assessment where employee_id = 'bob' and score is not null")
    assert read(warehouse)[0].people == 1


def test_people_whose_scores_are_left_out_are_counted(warehouse, history):
    for person in ("ann", "bob", "cem"):
        history.daily(person, weeks(2), degree_centrality=0.1, team="A" if person == "ann" else "B")
    for person in ("ann", "bob", "stranger"):
        history.score(person, weeks(2), 40)
    # Measured, but not when answering.
    history.score("cem", weeks(4), 40)
    panel, frame = read(warehouse)
    assert (frame.height, panel.left_out) == (2, 2)
    assert read(warehouse, replace(DEGREE, teams=("A",)))[0].left_out == 3


def test_filters(warehouse, history):
    for person, team, manager in (("ann", "A", True), ("bob", "A", False), ("cem", "B", False)):
        for back in (3, 2):
            history.daily(person, weeks(back), team=team, manager=manager, degree_centrality=0.1)
            history.score(person, weeks(back), 40)

    def people(**change):
        return read(warehouse, replace(DEGREE, **change))[0].people

    assert people() == 3
    assert people(teams=("A",)) == 2
    assert people(teams=("A'); drop table organism.burnout_assessment --",)) == 0
    assert people(managers=Managers.ONLY) == 1
    assert people(managers=Managers.WITHOUT) == 2
    assert read(warehouse, replace(DEGREE, start=weeks(2).date()))[0].rows == 3
    assert read(warehouse, replace(DEGREE, end=(weeks(2) - timedelta(days=1)).date()))[0].rows == 3
    assert read(warehouse, replace(DEGREE, end=date(2020, 1, 1)))[0].rows == 0


@pytest.mark.parametrize("outcome", ["burnout_score", "strength"])
@pytest.mark.parametrize("measured", [TODAY - timedelta(days=20), NOW - timedelta(days=2)])
def test_nothing_measured_after_the_last_day_is_looked_at(warehouse, history, outcome, measured):
    """In days rolled up and in the newest ones; the last day itself counts, also in the middle of its period."""
    last = measured.replace(hour=0)
    after = measured + timedelta(days=1)
    write = history.daily if measured < weeks(2) else history.raw
    write("ann", measured, degree_centrality=0.1, strength=7)
    write("ann", after, degree_centrality=0.9, strength=9)
    for day in (last, last + timedelta(days=1)):
        history.score("ann", day, 40)
    question = replace(DEGREE, outcome=outcome, period=Period.MONTH)
    assert values(read(warehouse, replace(question, end=last.date()))[1]) == [0.1]
    assert values(read(warehouse, replace(question, end=after.date()))[1]) == [0.5]
    assert read(warehouse, replace(question, end=last.date() - timedelta(days=1)))[0].rows == 0


def test_questionnaires_are_never_mixed_and_the_usual_one_counts(warehouse, history):
    """One misspelt name must not stop every run for as long as its row is there."""
    for person in ("ann", "bob"):
        history.daily(person, weeks(2), degree_centrality=0.1)
    # First by name, and with the most answers, but of one person only.
    for back in (2, 3, 4):
        history.score("ann", weeks(back), 90, instrument="BMI")
    for person in ("ann", "bob"):
        history.score(person, weeks(2), 40)
    panel, frame = read(warehouse)
    assert (panel.instrument, values(frame, "burnout_score")) == ("CBI", [40.0, 40.0])
    assert values(read(warehouse, replace(DEGREE, instrument="BMI"))[1], "burnout_score") == [90.0]


def test_a_metric_as_outcome_needs_no_scores(warehouse, history):
    history.daily("ann", weeks(2), degree_centrality=0.1, strength=7)
    panel, frame = read(warehouse, replace(DEGREE, outcome="strength"))
    assert (values(frame, "strength"), panel.instrument) == ([7.0], None)


def test_an_undefined_metric_is_missing_not_zero(warehouse, history):
    history.daily("ann", weeks(2), degree_centrality=0.1)
    history.score("ann", weeks(2), 40)
    assert values(read(warehouse, replace(DEGREE, treatments=("reciprocity",)))[1], "reciprocity") == [None]


def test_the_hash_is_of_the_rows_and_columns(warehouse, history):
    def written(order):
        for person in order:
            history.daily(person, weeks(2), degree_centrality=0.1, strength=0.1)
            history.score(person, weeks(2), 40)
        return read(warehouse)[0].hash

    first = written(["ann", "bob"])
    assert read(warehouse, replace(DEGREE, treatments=("strength",)))[0].hash != first
    warehouse.execute("truncate organism.employee_metrics_daily, organism.burnout_assessment")
    assert written(["bob", "ann"]) == first
    history.daily("cem", weeks(2), degree_centrality=0.1)
    assert read(warehouse)[0].hash == first
    history.score("cem", weeks(2), 40)
    assert read(warehouse)[0].hash != first


def test_nothing_at_all(warehouse, history):
    panel, frame = read(warehouse)
    assert (panel.rows, panel.people, panel.instrument, frame.height) == (0, 0, None, 0)

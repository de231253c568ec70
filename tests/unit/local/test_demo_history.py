"""The demo's past says what it was made to say, and a later demo adds to it without changing it."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from include.organism.analysis.answers import Answer, answer
from include.organism.analysis.panel import PanelFile
from include.organism.analysis.question import Question
from include.organism.analysis.verdict import Verdict
from include.organism.assessments import rows
from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.spec import Fit
from include.organism.people_file import Format
from local import demo_analysis, demo_data
from local.demo_analysis import usual_degrees
from local.demo_history import EFFECT, INSTRUMENT, WEEKS, History

PEOPLE = demo_data.organisation()
LEVELS = usual_degrees(PEOPLE)
TODAY = date(2026, 3, 31)


def past(today: date = TODAY) -> History:
    return History(PEOPLE, LEVELS, today)


def panel(history: History, folder: Path) -> PanelFile:
    """As the product reads it: without people who are left out, and without weeks of no answer."""
    kept = [n for n, person in enumerate(PEOPLE) if not (person.on_leave or person.opted_out)]
    manager = np.array([PEOPLE[n].is_manager for n in kept], dtype=float)
    frames = [
        pl.DataFrame(
            {
                "person": kept,
                "period": number,
                "burnout_score": week.score[kept],
                "degree_centrality": week.degree[kept],
                "is_manager": manager,
            }
        ).filter(pl.col("burnout_score").is_not_nan())
        for number, week in enumerate(history.weeks())
    ]
    whole = pl.concat(frames).sort("person", "period")
    path = folder / "panel.parquet"
    whole.write_parquet(path)
    return PanelFile(path, len(whole), len(kept), "", INSTRUMENT, 0)


def asked(history: History, folder: Path) -> Answer:
    (found,) = answer(LocalEngine(), panel(history, folder), Question())
    return found


@pytest.mark.parametrize("weeks_later", [0, 17])
def test_the_known_effect_is_supported_and_the_naive_one_is_biased(tmp_path: Path, weeks_later: int) -> None:
    found = asked(past(TODAY + timedelta(weeks=weeks_later)), tmp_path)
    assert (found.verdict, found.reasons) == (Verdict.SUPPORTED, ())
    assert found.trial is not None
    assert found.effect is not None
    assert found.effect.low < EFFECT < found.effect.high
    assert found.effect.high - found.effect.low < 0.2 * EFFECT
    assert isinstance(found.trial.naive, Fit)
    assert found.trial.naive.effect.estimate > 1.5 * EFFECT


@pytest.mark.parametrize("days_later", range(7))
def test_every_week_is_a_whole_one_and_settled(days_later: int) -> None:
    today = TODAY + timedelta(days=days_later)
    mondays = past(today).mondays
    assert len(mondays) == WEEKS
    assert {monday.weekday() for monday in mondays} == {0}
    assert {later - earlier for earlier, later in pairwise(mondays)} == {timedelta(weeks=1)}
    assert timedelta(days=8) <= today - mondays[-1] < timedelta(days=15)


def test_a_later_past_adds_weeks_and_changes_none() -> None:
    before = {week.monday: week for week in past().weeks()}
    after = {week.monday: week for week in past(TODAY + timedelta(weeks=3)).weeks()}
    assert len(before.keys() & after.keys()) == WEEKS - 3
    for monday in before.keys() & after.keys():
        assert np.array_equal(before[monday].degree, after[monday].degree)
        assert np.array_equal(before[monday].score, after[monday].score, equal_nan=True)


def test_the_file_of_answers_is_what_the_pipeline_reads(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    count = past().write_assessments(path)
    read = rows.parse(path.read_text(), Format("auto"), today=TODAY)
    assert (len(read.usable), read.refusals) == (count, [])
    assert count == pytest.approx(0.85 * WEEKS * len(PEOPLE), rel=0.05)
    days = Counter(each.day.weekday() for each in read.usable)
    assert days.keys() == {2}


def test_what_was_found_is_told_beside_the_truth() -> None:
    row = ("manual__a+b", "supported", [], 59.2, 57.9, 60.5, 150.4)
    found = demo_analysis._said(row, [("reduce_meetings", "team", "sales", -4.0, -4.2, -3.8)], "http://there")
    page = "http://there/organism/analysis/runs/manual__a%2Bb/index.html"
    assert found.short == "+59.2 (95 %: +57.9 to +60.5), true +60.0; more below"
    assert f"the page     {page}" in found.text
    assert "true effect  +60.0" in found.text
    assert "naive        +150.4" in found.text
    assert found.waiting == "http://there/required_actions"
    assert (
        "reduce_meetings for team sales, expected -4.00 (-4.20 to -3.80): http://there/required_actions" in found.text
    )


def test_a_refusal_is_told_with_its_reason() -> None:
    found = demo_analysis._said(("run", "refused", ["Too few.", "Really."], None, None, None, None), [], "http://there")
    assert "http://there/organism/analysis/runs/run/index.html" in found.text
    assert found.waiting == ""
    assert "refused. Too few. Really." in found.text

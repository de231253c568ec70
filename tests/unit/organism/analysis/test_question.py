"""What may be asked, and that everything asked is part of the question's hash."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from include.operations.errors import InputRejected
from include.organism.analysis.question import Question, schema

NOW = datetime(2026, 3, 31, 6, tzinfo=UTC)


def params(**given):
    declared = ParamsDict({name: Param(**fields) for name, fields in schema().items()})
    declared.update(given)
    return declared.validate()


def test_the_defaults_are_a_question():
    assert Question.from_params(params()) == Question()


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "strength"},
        {"treatments": ["strength", "pagerank"]},
        {"confounders": []},
        {"instrument": "CBI"},
        {"period": "month"},
        {"start": "2026-01-01"},
        {"end": "2026-02-01"},
        {"teams": ["Sales"]},
        {"managers": "without"},
        {"scenarios": [{"name": "cap", "column": "strength", "how": "cap", "amount": 10}]},
    ],
)
def test_everything_that_changes_the_answer_changes_the_hash(change):
    assert Question.from_params(params(**change)).hash != Question().hash


def test_what_does_not_change_the_answer_does_not_change_the_hash():
    assert Question.from_params(params(engine="spark")).hash == Question().hash
    one, other = params(teams=["a", "b"]), params(teams=["b", "a"])
    assert Question.from_params(one).hash == Question.from_params(other).hash


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "name"},
        {"treatments": []},
        {"treatments": ["burnout_score"]},
        {"treatments": ["strength; drop table"]},
        {"confounders": ["strength", "strength"]},
        {"period": "year"},
        {"start": "yesterday"},
        {"teams": [""]},
        {"engine": "ray"},
        {"scenarios": [{"name": "cap"}]},
        {"scenarios": [{"name": "cap", "column": "strength", "how": "cap", "amount": 1e308}]},
        {"scenarios": [{"name": "<b>", "column": "strength", "how": "cap", "amount": 10}]},
    ],
)
def test_what_the_form_refuses(change):
    with pytest.raises(Exception, match=r"Invalid input|is not|too short|non-unique|should be|greater than"):
        params(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": "strength", "treatments": ["strength"]}, "treatment or confounder"),
        ({"start": "2026-02-01", "end": "2026-02-01"}, "not before"),
    ],
)
def test_contradictions(change, words):
    with pytest.raises(InputRejected, match=words):
        Question.from_params(params(**change))


def test_a_confounder_is_left_out_where_it_is_the_treatment():
    question = Question(treatments=("strength", "pagerank"), confounders=("strength", "is_manager"))
    assert question.confounders_of("strength") == ("is_manager",)
    assert question.columns == ("burnout_score", "strength", "pagerank", "is_manager")


def test_the_span_ends_with_the_run():
    assert Question().span(NOW)[1].replace(microsecond=0) == NOW
    start, end = Question(start=date(2026, 1, 1), end=date(2026, 2, 1)).span(NOW)
    assert (start.isoformat(), end.isoformat()) == ("2026-01-01T00:00:00+00:00", "2026-02-02T00:00:00+00:00")
    assert Question(end=date(2027, 1, 1)).span(NOW)[1].replace(microsecond=0) == NOW

"""Which rows of a file of assessments are used, and what is said of the others."""

from __future__ import annotations

import json
from datetime import date

import pytest

from include.operations.errors import InputRejected
from include.organism.assessments.rows import Assessment, parse
from include.organism.people_file import Format

TODAY = date(2026, 3, 31)
GOOD = {"id": "ann", "date": "2026-03-02", "score": 41.5, "instrument": "CBI", "consent": True}


def read(given, written=Format.AUTO):
    return parse(given, written, today=TODAY)


def refused(**change):
    return [(each.field, each.code) for each in read([GOOD | change]).refusals]


def test_a_csv_with_other_names_and_semicolons():
    found = read("Employee ID;assessed on;burnout;questionnaire;consented\nann;2026-03-02;41.5;CBI;yes\n")
    assert found.usable == [Assessment(2, "ann", date(2026, 3, 2), "CBI", 41.5)]
    assert (found.rows, found.refusals) == (1, [])


def test_json_in_an_object():
    assert read(json.dumps({"assessments": [GOOD]})).usable == [Assessment(1, "ann", date(2026, 3, 2), "CBI", 41.5)]


def test_a_row_without_consent_keeps_no_score():
    assert read([GOOD | {"consent": "no"}]).usable[0].score is None
    assert read([GOOD | {"consent": "no", "score": None}]).usable[0].score is None


@pytest.mark.parametrize("score", [-0.1, 100.1, "NaN", "inf", "high", "1_0", True, [1]])
def test_a_score_out_of_range(score):
    assert refused(score=score) == [("score", "bad_score")]


@pytest.mark.parametrize("day", ["2026-02-30", "yesterday", "0001-01-01", "", 20260302, None])
def test_no_day(day):
    assert refused(date=day) == [("date", "bad_date")]


def test_a_day_in_the_future():
    assert refused(date="2026-04-01") == [("date", "future_date")]
    assert refused(date="2026-03-31") == []


def test_everything_that_is_wrong_is_said_at_once():
    assert refused(id=" ", score=None, instrument="", consent="perhaps") == [
        ("id", "missing_id"),
        ("instrument", "missing_instrument"),
        ("consent", "bad_flag"),
    ]
    assert refused(score="") == [("score", "missing_score")]


@pytest.mark.parametrize("name", ["id", "date", "instrument", "consent"])
def test_fields_without_which_nothing_is_used(name):
    rest = {key: value for key, value in GOOD.items() if key != name}
    assert [(each.field, each.code) for each in read([rest]).refusals] == [(name, f"missing_{name}")]
    with pytest.raises(InputRejected, match=f"lacks the column {name}"):
        read(",".join(rest) + "\n" + ",".join(str(value) for value in rest.values()))


def test_the_same_person_day_and_instrument_twice():
    found = read([GOOD, GOOD | {"instrument": "MBI"}, GOOD | {"score": 3}])
    assert [each.row for each in found.usable] == [1, 2]
    assert [(each.row, each.code) for each in found.refusals] == [(3, "duplicate_assessment")]


def test_no_value_is_in_a_reason():
    found = read([GOOD | {"id": "", "score": 777, "date": "0031-99"}, GOOD | {"jane.doe": 1}])
    said = " ".join(each.reason for each in found.refusals)
    assert len(found.refusals) == 4
    assert not any(word in said for word in ("777", "0031", "jane"))

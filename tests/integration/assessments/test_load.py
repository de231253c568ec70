"""Scores and withdrawals reach the warehouse once, whatever is loaded again, and in whatever order."""

import json

import psycopg
import pytest

from include.operations.errors import InputRejected
from include.organism.tasks_assessments import load_assessments

pytestmark = pytest.mark.servers

GOOD = {"id": "ann", "date": "2026-03-02", "score": 41.5, "instrument": "CBI", "consent": True}
LATER = GOOD | {"date": "2026-03-09", "score": 60}
NO = GOOD | {"date": "2026-03-09", "score": None, "consent": False}


def load(*rows, run="run", **given):
    params = {"path": None, "inline": list(rows) or None, "format": "auto", **given}
    return load_assessments(run, params)


def rows(url, table="burnout_assessment", columns="employee_id, instrument, assessed_on::text, score, consent"):
    with psycopg.connect(url) as connection:
        return connection.execute(f"select {columns} from organism.{table} order by 1, 2, 3").fetchall()


def test_again_changes_nothing_and_another_score_replaces(warehouse_url):
    assert load(GOOD, LATER)["written"] == 2
    assert load(GOOD, LATER, run="again")["written"] == 0
    assert load(GOOD | {"score": 50}, run="mended")["written"] == 1
    assert rows(warehouse_url, columns="employee_id, assessed_on::text, score, run_id") == [
        ("ann", "2026-03-02", 50.0, "mended"),
        ("ann", "2026-03-09", 60.0, "run"),
    ]


def test_a_withdrawal_deletes_what_was_and_keeps_out_what_comes_late(warehouse_url):
    load(GOOD, GOOD | {"instrument": "MBI"}, GOOD | {"id": "bob"})
    result = load(NO, run="withdrawn")
    assert (result["written"], result["scores_deleted"]) == (1, 1)
    # The older file again, and one with a later answer.
    assert load(GOOD, run="late")["after_withdrawal"] == 1
    assert load(GOOD | {"date": "2026-03-16"}, run="later")["written"] == 1
    assert rows(warehouse_url) == [
        ("ann", "CBI", "2026-03-09", None, False),
        ("ann", "CBI", "2026-03-16", 41.5, True),
        ("ann", "MBI", "2026-03-02", 41.5, True),
        ("bob", "CBI", "2026-03-02", 41.5, True),
    ]


def test_a_withdrawal_wins_within_its_file(warehouse_url):
    load(GOOD, NO)
    assert rows(warehouse_url) == [("ann", "CBI", "2026-03-09", None, False)]


def test_refused_rows_do_not_keep_good_ones_back(warehouse_url, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps([GOOD, GOOD | {"id": "bob", "score": 777}]))
    result = load(path=str(path))
    assert (result["rows"], result["usable"], result["refused_by_code"]) == (2, 1, {"bad_score": 1})
    kept = rows(warehouse_url, "assessment_rejection", "run_id, row_number, field, code, reason")
    assert kept == [("run", 2, "score", "bad_score", "the value is no number from 0 to 100")]
    assert "bob" not in json.dumps([result, kept])


def test_a_file_of_nothing_but_refusals_is_an_error(warehouse_url):
    with pytest.raises(InputRejected, match="not one of the 1 rows"):
        load(GOOD | {"consent": "perhaps"})
    assert rows(warehouse_url) == []
    assert len(rows(warehouse_url, "assessment_rejection", "run_id, row_number, code")) == 1


def test_a_killed_load_leaves_nothing(warehouse_url):
    """The rows and the refusals are one transaction."""
    from datetime import date

    from include.organism.assessments import load as loader
    from include.organism.assessments.rows import parse
    from include.organism.people_file import Format

    given = parse([GOOD, GOOD | {"score": -1}], Format.AUTO, today=date(2026, 4, 1))
    connection = psycopg.connect(warehouse_url)
    loader.load(connection, given, "run")
    connection.close()
    assert rows(warehouse_url) == []
    assert rows(warehouse_url, "assessment_rejection", "run_id, row_number, code") == []


def test_a_year_of_many_people_is_loaded_without_comparing_every_row_with_every_other(warehouse_url, tmp_path):
    """A quadratic plan takes far longer than the limit of a test."""
    path, weeks = (
        tmp_path / "year.csv",
        [f"2025-{month:02}-{day:02}" for month in range(1, 8) for day in (5, 12, 19, 26)],
    )
    with path.open("w") as file:
        file.write("id,date,score,instrument,consent\n")
        for person in range(3_000):
            # Every hundredth withdraws in the end, so that nothing of theirs is kept.
            for number, day in enumerate(weeks):
                leaves = person % 100 == 0 and number == len(weeks) - 1
                file.write(f"p{person},{day},{'' if leaves else 40},CBI,{'no' if leaves else 'yes'}\n")
    first = load(path=str(path))
    assert (first["written"], first["after_withdrawal"]) == (2_970 * len(weeks) + 30, 30 * (len(weeks) - 1))
    assert load(path=str(path), run="again")["written"] == 0

"""What Airflow has accepted as an answer is written down, whatever came with it."""

from types import SimpleNamespace

import pytest

from include.organism.interventions.review_operator import ReviewOperator
from tests.interventions import NOW

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"why": "n" * 501}, "n" * 500),
        ({"nope": 1}, ""),
        ({"why": "agreed", "nope": 1}, "agreed"),
        ({"why": ["a", 1]}, "['a', 1]"),
        ({"why": None}, ""),
        ({}, ""),
        (None, ""),
    ],
    ids=["too long", "unknown", "unknown besides", "no text", "null", "empty", "nothing"],
)
def test_an_answer_is_written_down_whatever_came_with_it(world, monkeypatch, given, note):
    monkeypatch.setenv("INTERVENTION_APPROVERS", "ann,bo")
    which = world.propose("reduce_meetings").id
    event = {
        "chosen_options": ["Approve"],
        "params_input": given,
        "responded_at": NOW,
        "responded_by_user": {"id": "ann", "name": "ann"},
        "timedout": False,
    }
    answered = ReviewOperator.made().execute_complete(_context(which), event)
    assert answered == {"intervention": str(which), "status": "approved"}
    query = "select status, decided_by, decision_note from organism.intervention where id = %s"
    assert world.rows(query, which) == [("approved", "ann", note)]


def _context(intervention):
    return {
        "params": {"intervention": str(intervention)},
        "dag": SimpleNamespace(dag_id="organism_intervention_review"),
        "run_id": "review__1",
        "ti": None,
    }

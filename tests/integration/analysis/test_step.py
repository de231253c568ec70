"""The step as a whole: a known effect is found, a rerun doubles nothing, and what cannot be said is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from include.operations.errors import LeaseLost
from include.organism.analysis.question import BURNOUT, Managers, Question
from include.organism.analysis.step import analyse
from tests.integration.analysis.conftest import NOW, Organisation, measured

pytestmark = pytest.mark.servers

QUESTION = Question(confounders=())


def estimates(warehouse, columns="treatment, verdict, estimate, ci_low, ci_high, naive_estimate, runs_of_this_sign"):
    return warehouse.execute(
        f"select {columns} from organism.causal_estimate order by measured_at, treatment"
    ).fetchall()


def reasons(warehouse, question=QUESTION):
    analyse(warehouse, question, NOW, "run")
    return [row[0] for row in estimates(warehouse, "reasons")]


@pytest.fixture
def organisation(history, warehouse):
    found = Organisation(history, people=80, weeks=20)
    measured(warehouse)
    return found


def test_a_known_effect_is_found_and_the_naive_one_is_biased(warehouse, organisation):
    figures = analyse(warehouse, QUESTION, NOW, "run")
    assert (figures["rows"], figures["people"], figures["verdicts"]) == (1600, 80, {"supported": 1})
    ((treatment, verdict, estimate, low, high, naive, runs),) = estimates(warehouse)
    assert (treatment, verdict, runs) == ("degree_centrality", "supported", 1)
    assert low < 60 < high
    assert abs(estimate - 60) < 10
    assert naive > 100, "the trait that drives both is in the naive estimate"
    rows = warehouse.execute(
        "select scenario, people, delta, ci_low, ci_high from organism.causal_counterfactual"
    ).fetchall()
    ((scenario, people, delta, low, high),) = rows
    newest = organisation.degree[:, -1]
    assert (scenario, people) == ("meeting_cap_50", 80)
    assert delta == pytest.approx(-estimate * newest.mean() / 2)
    assert low < delta < high < 0


def test_the_parameters_are_used(warehouse, organisation):
    question = Question(
        outcome="strength",
        treatments=("degree_centrality",),
        confounders=(),
        teams=("A",),
        managers=Managers.WITHOUT,
        start=(NOW - timedelta(weeks=12)).date(),
        scenarios=({"name": "ten_less", "column": "degree_centrality", "how": "add", "amount": -0.1},),
    )
    figures = analyse(warehouse, question, NOW, "run")
    assert figures["people"] == 32
    assert 0 < figures["rows"] < 32 * 13
    ((outcome, specification),) = estimates(warehouse, "outcome, specification")
    assert (outcome, specification["teams"], specification["managers"]) == ("strength", ["A"], "without")
    names = warehouse.execute("select scenario from organism.causal_counterfactual order by 1").fetchall()
    assert names == [("meeting_cap_50",), ("ten_less",)]


def test_several_treatments_are_corrected_together(warehouse, organisation):
    analyse(warehouse, replace(QUESTION, treatments=("degree_centrality", "strength")), NOW, "run")
    rows = estimates(warehouse, "p_value, q_value")
    assert len(rows) == 2
    assert all(q >= p for p, q in rows)


def scenarios(warehouse):
    return dict(warehouse.execute("select scenario, delta from organism.causal_counterfactual").fetchall())


def page(warehouse):
    ((content,),) = warehouse.execute("select content from organism.causal_report where name = 'index.html'")
    return content.decode()


@pytest.mark.parametrize("answers", [2, 9, 10])
def test_a_scenario_is_of_the_newest_week_with_enough_people(warehouse, organisation, history, answers):
    newest = NOW.replace(hour=0) - timedelta(days=1)
    for person in organisation.people[:answers]:
        history.raw(person, newest, degree_centrality=0.9, strength=1)
        history.score(person, newest, 93)
    analyse(warehouse, QUESTION, NOW, "run")
    ((estimate,),) = estimates(warehouse, "estimate")
    degree = 0.9 if answers == 10 else organisation.degree[:, -1].mean()
    assert scenarios(warehouse) == {"meeting_cap_50": pytest.approx(-estimate * degree / 2)}


def test_no_scenario_is_of_a_few_people(warehouse, organisation, monkeypatch):
    fields = {"column": "degree_centrality", "by": "degree_centrality"}
    of_one = {**fields, "name": "of_one", "how": "multiply", "amount": 0.5, "top": 1}
    alike = {**fields, "name": "alike", "how": "add", "amount": -0.1, "top": 1}
    of_ten = {**of_one, "name": "of_ten", "top": 10}
    question = replace(QUESTION, scenarios=(of_one, alike, of_ten))
    analyse(warehouse, question, NOW, "run")
    # That a tenth is taken off says nothing about the person.
    assert set(scenarios(warehouse)) == {"meeting_cap_50", "alike", "of_ten"}
    assert "It would change the metrics of fewer than 10" in page(warehouse)
    monkeypatch.setenv("ORGANISM_MIN_GROUP_BURNOUT", "81")
    analyse(warehouse, question, NOW, "run")
    assert scenarios(warehouse) == {}
    assert "Fewer than 81 in every period" in page(warehouse)


def test_no_mean_of_scores_is_published(warehouse, organisation):
    """Those of two runs, of all and of all but one team, or before and after one more answer, could be subtracted."""
    analyse(warehouse, QUESTION, NOW, "run")
    ((said,),) = estimates(warehouse, "to_jsonb(causal_estimate)::text")
    ((told,),) = warehouse.execute("select to_jsonb(c)::text from organism.causal_counterfactual c")
    for mean in (organisation.burnout.mean(), organisation.burnout[:, -1].mean()):
        assert f"{mean:.6g}" not in said + told
        assert f">{mean:.3g}<" not in page(warehouse)


def test_the_page_says_whose_scores_are_left_out_and_no_small_number(warehouse, organisation):
    analyse(warehouse, QUESTION, NOW, "run")
    assert "were left out" not in page(warehouse)
    analyse(warehouse, replace(QUESTION, managers=Managers.WITHOUT), NOW, "run")
    assert "Scores of 16 people were left out" in page(warehouse)
    assert "not among the people this run was asked about." in page(warehouse)
    warehouse.execute(
        "insert into organism.privacy_choice (employee_id, opted_out_at, source) values (%s, now(), 'command')",
        [organisation.people[1]],
    )
    analyse(warehouse, QUESTION, NOW, "run")
    assert "Scores of fewer than 10 people were left out" in page(warehouse)
    assert "who have opted out, who are on leave." in page(warehouse)


def test_the_page_says_what_was_held_fixed_and_what_a_unit_is(warehouse, organisation):
    analyse(warehouse, Question(), NOW, "run")
    said = page(warehouse)
    assert "Held fixed: all that is constant about a person. Left out: is manager; it does not change" in said
    assert "whose effect these data do not show. (Unknown: the effect of is manager.)" in said
    assert "degree centrality: from contact with nobody to contact with everybody" in said
    assert "shows no connection with today's outcome" in said
    analyse(warehouse, replace(QUESTION, outcome="betweenness_centrality"), NOW, "run")
    assert "points" not in page(warehouse)


def test_again_changes_nothing_but_the_time(warehouse, organisation):
    first = analyse(warehouse, QUESTION, NOW, "run")
    columns = "id, estimate, std_error, placebo_p, second_estimate, inputs_hash, verdict"
    before = estimates(warehouse, columns)
    assert analyse(warehouse, QUESTION, NOW, "again") == first
    assert estimates(warehouse, columns) == before
    assert warehouse.execute("select count(*) from organism.causal_counterfactual").fetchone() == (1,)


def test_refreshes_of_the_same_sign_are_counted(warehouse, organisation):
    later = NOW + timedelta(hours=6)
    analyse(warehouse, QUESTION, NOW, "run")
    measured(warehouse, later)
    analyse(warehouse, QUESTION, later, "run")
    assert estimates(warehouse, "runs_of_this_sign") == [(1,), (2,)]
    warehouse.execute("update organism.causal_estimate set estimate = -1 where measured_at = %s", [NOW])
    analyse(warehouse, QUESTION, later, "run")
    assert estimates(warehouse, "runs_of_this_sign") == [(1,), (1,)]


def test_metrics_of_yesterday_are_no_basis(warehouse, history):
    Organisation(history, people=40, weeks=8)
    assert reasons(warehouse) == [["stale_metrics"]]
    measured(warehouse, NOW - timedelta(hours=13))
    assert reasons(warehouse) == [["stale_metrics"]]
    measured(warehouse, NOW - timedelta(hours=11))
    assert reasons(warehouse) != [["stale_metrics"]]


def test_a_try_that_was_given_up_writes_nothing(warehouse, organisation, monkeypatch):
    def measured_again(*_):
        with psycopg.connect(warehouse.info.dsn, password=warehouse.info.password) as other:
            measured(other)
        return {}

    monkeypatch.setattr("include.organism.analysis.report.page.files", measured_again)
    with pytest.raises(LeaseLost):
        analyse(warehouse, QUESTION, NOW, "run")
    warehouse.rollback()
    assert estimates(warehouse) == []


def test_a_write_that_dies_leaves_nothing(warehouse, organisation):
    """Estimates, scenarios and page are one transaction."""
    warehouse.execute(
        "create function fail() returns trigger language plpgsql as 'begin raise exception $$full$$; end'"
    )
    warehouse.execute("create trigger t before insert on organism.causal_report execute function fail()")
    warehouse.commit()
    with pytest.raises(psycopg.errors.RaiseException):
        analyse(warehouse, QUESTION, NOW, "run")
    warehouse.rollback()
    assert estimates(warehouse) == []


def test_nobody_is_on_the_page(warehouse, organisation):
    warehouse.execute("update organism.employee_metrics_daily set team = '<script>alert(1)</script>'")
    warehouse.commit()
    analyse(warehouse, replace(QUESTION, outcome=BURNOUT), NOW, "run")
    files = dict(warehouse.execute("select name, content from organism.causal_report").fetchall())
    assert set(files) == {
        "index.html",
        "effects.png",
        "betweenness.png",
        "event-study-degree_centrality.png",
    }
    page = files["index.html"].decode()
    assert not [person for person in organisation.people if person in page]
    assert "<script" not in page
    assert "supported" in page
    assert all(content.startswith(b"\x89PNG") for name, content in files.items() if name != "index.html")

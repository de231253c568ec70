"""Input that is none, through the tasks as the DAG calls them: refused with the reason, or an error with what to do."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.operations.errors import ErrorClass, InputRejected, classify
from include.organism.metric_store import layout
from include.organism.tasks_assessments import load_assessments
from tests.chain import EARLIER, PEOPLE, STEPS, WHEN, fill_graph, run_step

pytestmark = pytest.mark.servers
REFRESH, ANALYSE, STORE, EVALUATE = STEPS
HISTORY = "organism.employee_metrics_daily"
FIRST = "select min(assessed_on) from organism.burnout_assessment"
COLLINEAR = {"confounders": ["strength"]}


@pytest.fixture
def graph(chain):
    """The organisation's graph, to be spoilt."""
    yield chain.driver
    fill_graph(chain.driver)


def answer(chain, columns="verdict, reasons, estimate"):
    ((*found,),) = chain.rows(f"select {columns} from organism.causal_estimate where measured_at = %s", WHEN)
    return found


def nothing_is_proposed(chain):
    assert run_step(EVALUATE) == []
    assert chain.now()["proposals"] == chain.before(EVALUATE)["proposals"]


# --- the graph -------------------------------------------------------------------------------------
def test_an_empty_graph_skips_the_run_and_keeps_the_last_ones_numbers(chain, graph):
    chain.start_at(REFRESH)
    graph.execute_query("MATCH (n) DETACH DELETE n")
    assert run_step("plan_betweenness") == []
    with pytest.raises(AirflowSkipException, match="nobody in the people graph"):
        run_step(REFRESH)
    assert chain.now()["measured"] == chain.before(REFRESH)["measured"]
    assert chain.rows("select distinct measured_at from organism.current_metrics") == [(EARLIER,)]
    with pytest.raises(InputRejected, match="no measurements") as caught:
        run_step(STORE)
    assert "refresh_materialized_views" in caught.value.what_to_do


def test_nothing_at_all_is_refused_with_the_reason(chain, graph):
    chain.start_at(REFRESH)
    graph.execute_query("MATCH (n) DETACH DELETE n")
    for table in ("metric_run", "employee_metrics", "employee_metrics_daily", "burnout_assessment"):
        chain.rows(f"delete from organism.{table}")
    assert run_step(ANALYSE)["verdicts"] == {"refused": 1}
    assert answer(chain)[:2] == ["refused", ["stale_metrics"]]
    assert run_step(EVALUATE) == []


def test_one_person(chain, graph):
    chain.start_at(REFRESH)
    graph.execute_query("MATCH (e:Employee) WHERE e.id <> $id DETACH DELETE e", id=PEOPLE[5])
    for table in ("employee_metrics_daily", "burnout_assessment"):
        chain.rows(f"delete from organism.{table} where employee_id <> %s", PEOPLE[5])
    assert run_step(REFRESH)["rows_out"] == 1
    assert run_step(ANALYSE)["people"] == 1
    assert answer(chain) == ["refused", ["single_period"], None]
    assert run_step(STORE)["published"] == 0
    assert chain.rows("select distinct suppressed from organism.team_metrics where measured_at = %s", WHEN) == [
        ("too_few",)
    ]
    assert run_step(EVALUATE) == []


def test_people_who_know_nobody(chain, graph):
    chain.start_at(REFRESH)
    graph.execute_query("MATCH ()-[r:INTERACTS]->() DELETE r")
    for step in (REFRESH, ANALYSE, STORE):
        run_step(step)
    names = "degree_centrality, betweenness_centrality, clustering_coefficient, burt_constraint, out_of_team_share"
    assert chain.rows(f"select distinct {names} from organism.current_metrics") == [(0, 0, 0, None, None)]
    means = "select distinct mean from organism.team_metrics where metric = 'strength' and n > 0 and measured_at = %s"
    assert chain.rows(means, WHEN) == [(0,)]
    # The history has an answer; but where nobody meets anybody there is nothing to reduce.
    assert answer(chain)[0] == "supported"
    nothing_is_proposed(chain)


def test_ties_that_are_none_change_no_number(chain, graph, caplog):
    chain.start_at(REFRESH)
    graph.execute_query("MATCH (e:Employee) WHERE e.id < 'person-010' CREATE (e)-[:INTERACTS {weight: 9.0}]->(e)")
    graph.execute_query(
        "MATCH (a:Employee {id: $a}), (b:Employee {id: $b}) UNWIND [0.0/0.0, 1.0/0.0, -1.0, 'much', null] AS weight"
        " CREATE (a)-[:INTERACTS {weight: weight, recency_weight: 1.0, last_at: 5}]->(b)",
        a=PEOPLE[0],
        b=PEOPLE[40],
    )
    manifest = run_step(REFRESH)
    dropped = "select metrics -> 'graph' -> 'dropped' from organism.metric_run where measured_at = %s"
    left_out = chain.rows(dropped, EARLIER)
    assert [manifest["dropped"]] == [{"self_loop": 10, "unusable": 5, **each} for (each,) in left_out]
    assert chain.now()["measured"] == chain.after(REFRESH)["measured"]
    assert "edges_unusable" in caplog.text


def test_interactions_of_the_future_weigh_no_more_for_it(chain, graph):
    chain.start_at(REFRESH)
    late = int((WHEN + timedelta(days=5)).timestamp() * 1000)
    graph.execute_query("MATCH ()-[r:INTERACTS]->() SET r.last_at = $late", late=late)
    assert run_step(REFRESH)["behind_s"] == 0
    ((most,),) = chain.rows("select max(degree_centrality) from organism.current_metrics")
    assert 0 < most <= 1


# --- dates -----------------------------------------------------------------------------------------
def test_a_run_of_the_future_is_refused_before_it_measures(chain):
    chain.start_at(REFRESH)
    with pytest.raises(InputRejected, match="lies in the future") as caught:
        run_step(REFRESH, WHEN + timedelta(days=1))
    assert classify(caught.value).error_class is ErrorClass.VALIDATION
    assert chain.now() == chain.before(REFRESH)


def test_what_is_later_than_the_run_is_not_looked_at(chain):
    chain.start_at(ANALYSE)
    late = WHEN + timedelta(days=30)
    with psycopg.connect(chain.url) as connection:
        layout.make_room(connection, layout.RAW, late)
        connection.execute(
            "insert into organism.employee_metrics (measured_at, employee_id, is_manager, degree_centrality)"
            " select %s, employee_id, false, 0.9 from organism.current_metrics",
            [late],
        )
    chain.rows(
        "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
        " select employee_id, 'CBI', %s, 99, true, 'test' from organism.current_metrics",
        late.date(),
    )
    run_step(ANALYSE, end=(WHEN + timedelta(days=365)).date().isoformat())
    given = "estimate, std_error, n, inputs_hash"
    found = answer(chain, given)
    chain.start_at(ANALYSE)
    run_step(ANALYSE)
    assert answer(chain, given) == found


def test_an_answer_of_the_future_is_refused_and_the_others_are_loaded(chain, monkeypatch):
    chain.start_at(ANALYSE)
    row = {"id": PEOPLE[0], "instrument": "new", "score": 50, "consent": True, "date": EARLIER.date().isoformat()}
    late = row | {"date": (WHEN + timedelta(days=3)).date().isoformat()}
    given = {"path": None, "inline": [row, late], "format": "auto"}
    result = load_assessments("load", given)
    assert (result["written"], result["refused_by_code"]) == (1, {"future_date": 1})
    assert PEOPLE[0] not in json.dumps(result)


# --- the panel -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "params", "code"),
    [
        (f"update {HISTORY} set degree_centrality = 0.5", {}, "constant_treatment"),
        (f"update {HISTORY} set strength = 2 * degree_centrality", COLLINEAR, "collinear_treatment"),
        (f"delete from {HISTORY} where employee_id > 'person-002'", {}, "too_few_clusters"),
        ("update organism.burnout_assessment set score = 50", {}, "constant_outcome"),
        ("delete from organism.burnout_assessment", {}, "no_assessments"),
        (f"delete from organism.burnout_assessment where assessed_on > ({FIRST})", {}, "single_period"),
        (f"update {HISTORY} set degree_centrality = null", {}, "no_rows"),
        ("update organism.burnout_assessment set employee_id = 'stranger ' || employee_id", {}, "no_rows"),
        (f"update {HISTORY} set degree_centrality = 'NaN'", {}, "no_rows"),
        (f"update {HISTORY} set degree_centrality = 'Infinity' where employee_id = 'person-003'", {}, "not_finite"),
    ],
)  # fmt: skip
def test_data_that_cannot_say_is_refused_and_nothing_is_proposed(chain, change, params, code):
    chain.start_at(ANALYSE)
    chain.rows(change)
    assert run_step(ANALYSE, **params)["verdicts"] == {"refused": 1}
    assert answer(chain) == ["refused", [code], None]
    assert all(word.endswith((".", ".)")) for word in answer(chain, "words")[0])
    run_step(STORE)
    nothing_is_proposed(chain)


def test_scores_of_strangers_and_metrics_that_are_no_numbers_are_counted_and_left_out(chain):
    chain.start_at(ANALYSE)
    chain.rows(f"update {HISTORY} set degree_centrality = 'NaN' where employee_id < 'person-004'")
    chain.rows(
        "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
        " select 'stranger ' || employee_id, instrument, assessed_on, 100 - score, consent, run_id"
        " from organism.burnout_assessment where employee_id < 'person-007'"
    )
    run_step(ANALYSE)
    dirty = answer(chain, "estimate, std_error, clusters, diagnostics -> 'panel' -> 'people_left_out'")
    chain.start_at(ANALYSE)
    chain.rows("delete from organism.burnout_assessment where employee_id < 'person-004'")
    run_step(ANALYSE)
    clean = answer(chain, "estimate, std_error, clusters")
    assert dirty[:3] == [*map(pytest.approx, clean)]
    # Seven strangers, and the two who are left out.
    assert dirty[3] == 9


def test_a_measurement_that_is_no_number_is_not_published(chain):
    """The writer refuses them; somebody wrote it into the table."""
    chain.start_at(STORE)
    chain.rows("update organism.employee_metrics set strength = 'NaN' where employee_id = %s", PEOPLE[9])
    with pytest.raises(InputRejected, match="strength") as caught:
        run_step(STORE)
    assert PEOPLE[9] not in str(caught.value)
    assert chain.now()["groups"] == chain.before(STORE)["groups"]


def test_a_person_with_two_answers_in_a_week_counts_once(chain):
    chain.start_at(ANALYSE)
    before = run_step(ANALYSE)
    row = chain.rows("select employee_id, instrument, assessed_on, score from organism.burnout_assessment limit 50")
    doubled = [
        {"id": person, "instrument": name, "date": day.isoformat(), "score": score, "consent": True}
        for person, name, day, score in row
    ]
    given = {"path": None, "format": "auto"}
    assert load_assessments("again", given | {"inline": doubled})["written"] == 0
    with pytest.raises(psycopg.errors.UniqueViolation):
        chain.rows("insert into organism.burnout_assessment select * from organism.burnout_assessment limit 1")
    next_day = [
        each | {"date": (day + timedelta(days=1)).isoformat()}
        for each, (_, _, day, _) in zip(doubled, row, strict=True)
    ]
    twice = load_assessments("more", given | {"inline": [*next_day, next_day[0]]})
    assert (twice["written"], twice["refused_by_code"]) == (50, {"duplicate_assessment": 1})
    after = run_step(ANALYSE)
    assert (after["rows"], after["people"]) == (before["rows"], before["people"])
    # The same score on another day of the week: the same mean.
    assert answer(chain, "inputs_hash")[0] in {row[2]["inputs_hash"] for row in chain.after(ANALYSE)["estimates"]}

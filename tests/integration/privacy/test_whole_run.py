"""After a whole run, from measuring to an action undone, nobody is named where people may look."""

from __future__ import annotations

import json
import logging
import traceback
from types import SimpleNamespace
from uuid import UUID

import psycopg
import pytest
import redis

from include.connections import warehouse
from include.operations import run_errors
from include.operations.airflow_logging import clean
from include.operations.errors import classify
from include.organism.analysis import web
from include.organism.interventions import review, tasks
from include.organism.interventions.settings import Settings
from tests.chain import EARLIER, ON_LEAVE, OPTED_OUT, PEOPLE, STEPS, WHEN, run_step

pytestmark = pytest.mark.servers
REFRESH, ANALYSE, STORE, EVALUATE = STEPS
PLACE = {"dag_id": "d", "run_id": "scheduled", "task_id": "t", "map_index": -1, "try_number": 1}


def named(places: dict[str, str]) -> list[tuple[str, str]]:
    return [(place, person) for place, text in places.items() for person in PEOPLE if person in text]


def tables(chain) -> dict[str, tuple[str, str]]:
    """Of every table: its comment, and every row as text."""
    query = (
        "select schemaname, tablename, obj_description(format('%I.%I', schemaname, tablename)::regclass) from pg_tables"
    )
    query += " where schemaname in ('organism', 'ops', 'public')"
    # Partitions are in the table they belong to.
    query += (
        " and not (select relispartition from pg_class where oid = format('%I.%I', schemaname, tablename)::regclass)"
    )
    found = {}
    for schema, table, comment in chain.rows(query):
        rows = chain.rows(f'select t::text from "{schema}"."{table}" t')
        found[f"{schema}.{table}"] = (comment or "", "\n".join(text for (text,) in rows))
    return found


def approve(reviews: list[dict]) -> UUID:
    which = UUID(reviews[0]["conf"]["intervention"])
    with warehouse() as connection:
        request = review.begin(connection, which, "review", Settings.from_env(), WHEN, lambda _: False)
        assert request is not None
        decision = review.Decision(approved=True, account="ann", at=WHEN, note="because")
        assert review.decide(connection, which, decision, "review", Settings.from_env()) == "approved"
    return which


def test_nobody_is_named_outside_the_restricted_tables(chain, alert_sink, caplog, monkeypatch):
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.INFO)
    chain.start_at(REFRESH)
    results = [run_step(step) for step in STEPS]
    which = approve(results[-1])
    params = {"intervention": str(which)}
    results += [
        tasks.execute(params, "review"),
        tasks.report(params),
        tasks.settle("outcomes"),
        tasks.check_outcomes("outcomes"),
        tasks.roll_back_harmful("outcomes"),
    ]
    results.append(tasks.verify_audit())

    pages = chain.rows("select name, content from organism.causal_report")
    link = web.ReportLink().get_link(None, ti_key=SimpleNamespace(run_id="scheduled"))
    stored = tables(chain)
    with redis.Redis.from_url(chain.servers.redis.url) as client:
        keys = [key.decode() for key in client.scan_iter()]
        shared = {key: client.get(key) for key in keys if client.type(key) == b"string" and "employee:" not in key}
    places = {
        "XCom": json.dumps(results, default=str),
        "log": caplog.text,
        "URL": link,
        "alerts": json.dumps(
            alert_sink.slack_messages(deleted=True) + alert_sink.emails() + alert_sink.sentry_events()
        ),
        **{f"page {name}": bytes(content).decode("latin-1") for name, content in pages},
        **{f"cache {key}": str(value) for key, value in shared.items()},
        **{f"table {name}": text for name, (comment, text) in stored.items() if "estricted" not in comment},
    }
    assert named(places) == []
    # That the search works, and that there was something to find.
    assert len(named({name: text for name, (_, text) in stored.items()})) > 5 * len(PEOPLE)
    assert "graph_measured" in places["log"]
    assert "intervention_executed" in places["log"]
    assert "graph:stats" in shared
    assert str(which) in places["alerts"]
    assert "index.html" in link
    assert {"page index.html", "table organism.intervention_audit", "table organism.team_metrics"} <= places.keys()
    assert places["table organism.intervention_audit"].count(str(which)) > 3


def test_who_opted_out_or_is_on_leave_is_in_nothing_that_a_run_makes(chain, alert_sink, monkeypatch):
    """But in the choice itself, the answers they gave, and what was measured before."""
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    chain.start_at(REFRESH)
    before = tables(chain)
    results = [run_step(step) for step in STEPS]
    tasks.execute({"intervention": str(approve(results[-1]))}, "review")
    assert chain.rows("select count(*) > 5 from organism.intervention_member") == [(True,)]
    for person in (OPTED_OUT, ON_LEAVE):
        for table, (_, text) in tables(chain).items():
            assert text.count(person) == before[table][1].count(person), table
        assert not {"betweenness_centrality", "metrics_at"} & chain.nodes()[person].keys()
        assert f"metrics:employee:{person}" not in chain.cached()


def test_no_page_is_kept_by_a_browser_or_a_proxy(chain):
    chain.start_at(EVALUATE)
    for name in ("index.html", "effects.png"):
        assert web.file_of_run("scheduled", name).headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("step", "spoilt"),
    [
        (REFRESH, "alter table organism.employee_metrics add check (employee_id <> 'person-005') not valid"),
        (
            REFRESH,
            f"create unique index on organism.employee_metrics (measured_at, team) where measured_at > '{EARLIER}'",
        ),
        (STORE, "alter table organism.employee_metrics_hourly add check (employee_id <> 'person-005') not valid"),
        (STORE, "alter table organism.team_cohort add check (not 'person-005' = any(members)) not valid"),
        (EVALUATE, "alter table organism.intervention add check (target_value is null) not valid"),
    ],
)
def test_an_error_that_quotes_a_row_is_logged_recorded_and_told_without_it(chain, step, spoilt):
    chain.start_at(step)
    chain.rows(spoilt)
    with pytest.raises(psycopg.Error) as caught:
        run_step(step)
    error = caught.value
    row = run_errors.row(PLACE, error, classify(error), {}, None)
    told = "".join(traceback.format_exception(error))
    line = clean(None, "error", {"event": f"Task failed: {error}", "exception": told})
    assert "DETAIL" in told
    assert named({"row": json.dumps(row), "log": json.dumps(line)}) == []

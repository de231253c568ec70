"""The 6-hour pipeline as a whole, on the real scheduler: from events in the stream to an intervention that is undone.

The people have a year behind them in which contacts exhaust them by a known amount.
"""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import neo4j
import psycopg
import pytest
import redis

from include.operations.airflow_api import AirflowApi, Run
from include.organism.interventions import audit
from local.demo_data import Person
from local.demo_history import EFFECT, History
from local.testing import AirflowSystem
from tests.e2e import search
from tests.e2e.reviews import Reviews, a_week_later, forget_interventions, wait

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
ANALYSIS, OUTCOMES = "organism_full_analysis", "organism_intervention_outcomes"
TEAMS, A_TEAM = 4, 40
TASKS = (
    "plan_betweenness",
    "refresh_materialized_views",
    "run_causal_analysis",
    "store_metrics",
    "evaluate_interventions",
    "request_reviews",
)
TABLES = (
    "employee_metrics",
    "employee_metrics_hourly",
    "employee_metrics_daily",
    "team_metrics",
    "causal_estimate",
    "causal_counterfactual",
    "causal_report",
    "intervention",
    "intervention_audit",
)
# What a repeated write of the same may change; the diagnostics repeat the figures with their last digits, which depend
# on the order in which threads add up.
LOOSE = ("created_at", "updated_at", "diagnostics")


class World:
    """An organisation of this test's own, and the clients of the shared system."""

    def __init__(self, system: AirflowSystem) -> None:
        env = system.env
        account, _, address = env["AIRFLOW_CONN_ORGANISM_NEO4J"].removeprefix("neo4j://").partition("@")
        self.driver = neo4j.GraphDatabase.driver(f"bolt://{address}", auth=("neo4j", account.partition(":")[2]))
        self.redis = redis.Redis.from_url(env["AIRFLOW_CONN_ORGANISM_REDIS"])
        self.warehouse = env["AIRFLOW_CONN_WAREHOUSE"]
        self.api = AirflowApi.from_environment(env)
        self.system = system
        # A second try is no continuation of the first: cool-downs and open proposals are of people and teams.
        self.prefix = f"chain{time.time_ns()}-"
        self.people = [
            Person(
                f"{self.prefix}{n:03}",
                f"Person {n}",
                f"{self.prefix}team-{n % TEAMS}",
                "specialist",
                "" if n < TEAMS else f"{self.prefix}{n % TEAMS:03}",
                is_manager=n < TEAMS,
            )
            for n in range(TEAMS * A_TEAM)
        ]

    # --- what is done ----------------------------------------------------------------------------
    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, state: str = "success") -> Run:
        run = self.api.wait(self.api.trigger(dag_id, conf), timeout=600, poll=0.2)
        assert run.state == state, self.states(run)
        return run

    def clear(self, run: Run, *, only_failed: bool, meanwhile: Callable[[], object] = lambda: None) -> Run:
        """Clear tasks of a run and wait for its next end."""
        before = self.tries(run)
        body = {"dry_run": False, "dag_run_id": run.run_id, "reset_dag_runs": True, "only_failed": only_failed}
        self.system.api.post(f"/api/v2/dags/{run.dag_id}/clearTaskInstances", json=body).raise_for_status()
        wait(lambda: self.tries(run) != before, "no further try")
        meanwhile()
        run = self.api.wait(run, timeout=600, poll=0.2)
        assert run.state == "success", self.states(run)
        return run

    def publish(self, contacts: Mapping[str, set[str]]) -> None:
        now = int(time.time())
        with self.redis.pipeline(transaction=False) as pipe:
            for source, targets in contacts.items():
                for number, target in enumerate(sorted(targets)):
                    fields = {"id": f"{source}-{target}", "source": source, "target": target, "type": "email"}
                    pipe.xadd("interactions", {**fields, "timestamp": str(now - 60 * number)})
            pipe.execute()

    # --- what came out ---------------------------------------------------------------------------
    def states(self, run: Run) -> dict[str, str | None]:
        # A mapped task that has nothing to do is one without a number.
        return {task.task_id: task.state for task in self.api.task_instances(run)}

    def tries(self, run: Run) -> dict[str, int]:
        return {task.task_id: task.tries for task in self.api.task_instances(run)}

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.warehouse) as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def logical_time(self, run: Run) -> datetime:
        """The key of all that a run writes."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"
        found = self.system.api.get(path).raise_for_status().json()
        return datetime.fromisoformat(found["logical_date"] or found["run_after"])

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every table the pipeline writes, by column, as digests of its values to nine places."""
        return {
            f"{table}.{column}": self.rows(
                f"select md5({f'round({column}::numeric, 9)' if kind == 'double precision' else column}::text)"
                f" from organism.{table} order by 1"
            )
            for table, column, kind in self.rows(
                "select table_name::text, column_name::text, data_type::text from information_schema.columns"
                " where table_schema = 'organism' and table_name = any(%s) and not column_name = any(%s)",
                list(TABLES),
                list(LOOSE),
            )
        }

    def nodes(self) -> dict[str, dict[str, Any]]:
        records, _, _ = self.driver.execute_query("MATCH (e:Employee) RETURN e.id AS id, properties(e) AS p")
        return {record["id"]: record["p"] for record in records}

    def forget(self) -> None:
        """Leave the shared system as other files expect it."""
        forget_interventions(self.warehouse)
        self.driver.execute_query("MATCH (e:Employee) WHERE e.id STARTS WITH $p DETACH DELETE e", p=self.prefix)
        with psycopg.connect(self.warehouse) as connection:
            for table in ("burnout_assessment", "causal_estimate", "employee_metrics_daily", "intervention_outcome"):
                connection.execute(f"delete from organism.{table}")  # type: ignore[arg-type]


@pytest.fixture
def world(airflow_system: AirflowSystem) -> Iterator[World]:
    world = World(airflow_system)
    world.forget()
    yield world
    # A run that waits for an answer would hold a place of the reviews that come.
    Reviews(airflow_system).reject_all()
    world.forget()
    world.driver.close()
    world.redis.close()


def test_from_events_to_a_rollback(world: World, tmp_path: Path) -> None:
    reviews, sink = Reviews(world.system), world.system.alerts
    sink.clear()
    graph_from_the_stream(world, tmp_path)
    a_year_behind_them(world, tmp_path)
    a_failure_stops_the_rest(world)
    run = one_after_the_other(world)
    numbers_are_where_people_read_them(world, run)
    nothing_is_doubled(world, run, reviews)
    the_scheduler_is_killed_on_the_way(world, run, reviews)
    (chosen, team), *others = world.rows(
        "select id, target_value from organism.intervention where status = 'pending_approval' and measured_at = %s"
        " order by action = 'schedule_focus_time' desc, action",
        world.logical_time(run),
    )
    for intervention, _ in others:
        reviews.wait_for_question(intervention)
        assert reviews.answer(intervention, "Reject", "one at a time") == 200
    question = reviews.wait_for_question(chosen)
    assert f"team {team}" in question["subject"]
    assert not [person.id for person in world.people if person.id in json.dumps(question)]
    by_itself = sink.actions()
    assert {each["asked"]["action"] for each in by_itself} == {"suggest_focus_time"}
    assert reviews.answer(chosen, "Approve", "agreed with the team") == 200
    for intervention in (chosen, *(each for each, _ in others)):
        reviews.wait_for_end(intervention)

    members = [row[0] for row in world.rows(_MEMBERS, chosen)]
    in_team = {person.id for person in world.people if person.team == team}
    assert set(members) < in_team
    done = sink.actions()[len(by_itself) :]
    assert sorted(each["asked"]["person"] for each in done) == members
    assert {(each["state"], each["effects"]) for each in done} == {("active", 1)}

    everyone_else = [person.id for person in world.people if person.id not in set(members)]
    a_week_later(world.warehouse, chosen, members, everyone_else)
    world.run(OUTCOMES)
    assert world.rows("select status, reason_code from organism.intervention where id = %s", chosen) == [
        ("rolled_back", "harmful")
    ]
    done = sink.actions()
    assert {(each["state"], each["effects"]) for each in done[: len(by_itself)]} == {("active", 1)}
    assert {(each["state"], each["effects"]) for each in done[len(by_itself) :]} == {("cancelled", 2)}
    with psycopg.connect(world.warehouse) as connection:
        assert audit.verify(connection).faults == []
    nobody_is_named(world)


_MEMBERS = "select employee_id from organism.intervention_member where intervention_id = %s order by 1"


def graph_from_the_stream(world: World, folder: Path) -> None:
    """A roster and events; team 0 has the most contacts."""
    roster = folder / "roster.csv"
    with roster.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "name", "team", "role", "manager_id", "is_manager"])
        for each in world.people:
            table.writerow([each.id, each.name, each.team, each.role, each.manager_id, str(each.is_manager).lower()])
    world.run("organism_load_roster", {"path": str(roster)})
    world.publish(_contacts(world.people))
    # The schedule's own run may have taken some of them, and then all are there when ours ends.
    world.run("organism_incremental_update")


def _contacts(people: list[Person]) -> dict[str, set[str]]:
    """Who writes to whom: mates of the team, the more the lower its number, and one of another team."""
    found = {}
    for number, person in enumerate(people):
        steps = [TEAMS * step for step in range(1, 9 - 2 * (number % TEAMS))]
        found[person.id] = {people[(number + step) % len(people)].id for step in (*steps, 1)}
    return found


def a_year_behind_them(world: World, folder: Path) -> None:
    met: dict[str, set[str]] = {person.id: set() for person in world.people}
    for source, targets in _contacts(world.people).items():
        for target in targets:
            met[source].add(target)
            met[target].add(source)
    levels = {person: len(others) / (len(world.people) - 1) for person, others in met.items()}
    past = History(world.people, levels, datetime.now(UTC).date())
    with psycopg.connect(world.warehouse) as connection:
        past.write_measurements(connection)
    answers = folder / "assessments.csv"
    rows = past.write_assessments(answers)
    world.run("organism_load_assessments", {"path": str(answers)})
    assert world.rows("select count(*) from organism.burnout_assessment") == [(rows,)]


def a_failure_stops_the_rest(world: World) -> None:
    """Without the table of the answers; when it is there again the same run goes on where it stopped."""
    with psycopg.connect(world.warehouse, autocommit=True) as connection:
        connection.execute("alter table organism.burnout_assessment rename to elsewhere")
        try:
            run = world.run(ANALYSIS, state="failed")
        finally:
            connection.execute("alter table organism.elsewhere rename to burnout_assessment")
    states = world.states(run)
    assert [states[task] for task in TASKS[1:]] == ["success", "failed", *["upstream_failed"] * 3]
    at = world.logical_time(run)
    written = {table: _count(world, table, at) for table in ("employee_metrics", "causal_estimate", "team_metrics")}
    assert written.pop("employee_metrics") >= len(world.people)
    assert written == {"causal_estimate": 0, "team_metrics": 0}
    assert _count(world, "intervention", at) == 0

    world.clear(run, only_failed=True)
    assert world.tries(run)["refresh_materialized_views"] == 1
    assert _count(world, "causal_estimate", at) == 1
    assert _count(world, "team_metrics", at) > 0
    # One refresh is not enough to act upon.
    refused = world.rows(
        "select distinct status, reason_code from organism.intervention where measured_at = %s order by 1, 2", at
    )
    assert refused == [("refused", "sign_unstable")]


def _count(world: World, table: str, at: datetime) -> int:
    return int(world.rows(f"select count(*) from organism.{table} where measured_at = %s", at)[0][0])


def one_after_the_other(world: World) -> Run:
    run = world.run(ANALYSIS)
    tasks = {task.task_id: task for task in world.api.task_instances(run) if task.state == "success"}
    assert set(TASKS) <= tasks.keys()
    for before, after in pairwise(TASKS):
        assert (tasks[before].ended or "") <= (tasks[after].started or ""), f"{after} did not wait for {before}"
    found = world.rows(
        "select verdict, estimate, ci_low, ci_high, naive_estimate, runs_of_this_sign from organism.causal_estimate"
        " where measured_at = %s",
        world.logical_time(run),
    )
    ((verdict, estimate, low, high, naive, runs),) = found
    assert (verdict, runs) == ("supported", 2)
    assert low < EFFECT < high
    assert abs(estimate - EFFECT) < 0.1 * EFFECT
    assert naive > 1.5 * EFFECT, "the trait that drives both is in the naive estimate"
    return run


def numbers_are_where_people_read_them(world: World, run: Run) -> None:
    """Graph, table and page say the same, and the manifests name nobody."""
    table = {
        row[0]: row[1:]
        for row in world.rows(
            "select employee_id, betweenness_centrality, clustering_coefficient, measured_at"
            " from organism.current_metrics"
        )
    }
    nodes = world.nodes()
    ids = {person.id for person in world.people}
    # Other tests share the graph; some of their people have opted out.
    assert ids <= table.keys() <= nodes.keys()
    for person, (between, clustering, measured_at) in table.items():
        assert nodes[person]["betweenness_centrality"] == between
        assert nodes[person]["clustering_coefficient"] == clustering
        assert nodes[person]["metrics_at"] == round(measured_at.timestamp() * 1000)
    assert any(table[person][0] > 0 for person in ids)
    manifests = [world.api.xcom(run, task) for task in TASKS[1:5]]
    assert manifests[0]["rows_out"] == len(table)
    assert world.prefix not in json.dumps(manifests).replace(f"{world.prefix}team", "")
    links = world.system.api.get(
        f"/api/v2/dags/{ANALYSIS}/dagRuns/{run.run_id}/taskInstances/run_causal_analysis/links"
    )
    page = world.system.api.get(links.raise_for_status().json()["extra_links"]["Report"])
    assert page.status_code == 200
    assert "supported" in page.text
    assert not [person for person in ids if person in page.text]


def nothing_is_doubled(world: World, run: Run, reviews: Reviews) -> None:
    """Every task of the run once more."""
    proposed = world.rows(
        "select id, impact from organism.intervention where status <> 'refused' and measured_at = %s",
        world.logical_time(run),
    )
    assert {impact for _, impact in proposed} == {"LOW", "MEDIUM"}
    for intervention, impact in proposed:
        # A LOW action needs nobody.
        (reviews.wait_for_end if impact == "LOW" else reviews.wait_for_question)(intervention)
    before, asked, tries = world.contents(), reviews.count(), world.tries(run)
    world.clear(run, only_failed=False)
    assert all(world.tries(run)[task] == tries[task] + 1 for task in TASKS)
    after = world.contents()
    assert [column for column in before if before[column] != after[column]] == []
    assert reviews.count() == asked


def the_scheduler_is_killed_on_the_way(world: World, run: Run, reviews: Reviews) -> None:
    """Every task once more, and another scheduler goes on with them (W3)."""
    before, asked = world.contents(), reviews.count()

    def kill() -> None:
        wait(lambda: world.states(run)["run_causal_analysis"] == "running", "the analysis does not start")
        world.system.wait_for("scheduler", world.system.kill_scheduler(keep_orphans=True))

    world.clear(run, only_failed=False, meanwhile=kill)
    world.system.end_orphans()
    after = world.contents()
    assert [column for column in before if before[column] != after[column]] == []
    assert reviews.count() == asked


def nobody_is_named(world: World) -> None:
    """In logs, tables that are not restricted, Airflow's own (XCom, questions, parameters), alerts."""
    system = world.system
    places = {
        **search.log_files(system.state_dir),
        **search.tables(system.env, restricted=False),
        **search.alerts(system.alerts),
    }
    # That the search works: it finds what has to be there.
    assert f"{world.prefix}team" in places["table organism.intervention"]
    assert "rows_out" in places["table public.xcom"]
    assert any("intervention_executed" in text for name, text in places.items() if name.startswith("file "))
    assert [name for name, text in places.items() if re.search(rf"{world.prefix}\d{{3}}", text)] == []

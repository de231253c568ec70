"""For tests of interventions: people in a graph, metrics and estimates in a warehouse, and a desk to work at."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import neo4j
import psycopg
import pytest

from include.connections import neo4j_driver, warehouse
from include.organism.interventions import execution, population, proposals, review
from include.organism.interventions.execution import Desk
from include.organism.interventions.population import Kind, Target
from include.organism.interventions.settings import Mode, Settings
from include.organism.interventions.tasks import executors
from include.organism.metric_store import layout

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MEASURED = NOW - timedelta(hours=3)
TEAMS = ("Design", "Engineering", "Sales", "Support")
PEOPLE = 160
SETTINGS = Settings(mode=Mode.REVIEW, approvers=("ann", "bo"), weekly_share=0.5)
_SNAPSHOT = """
MATCH (e:Employee) OPTIONAL MATCH (e)-[:REPORTS_TO]->(m:Employee)
WITH e, m ORDER BY m.id
RETURN e.id AS id, e{.*, updated_at: null} AS values, collect(m.id) AS managers ORDER BY id
"""
_ESTIMATE = """
insert into organism.causal_estimate (measured_at, run_id, outcome, treatment, specification_hash, inputs_hash, engine,
  design, verdict, estimate, std_error, ci_low, ci_high, p_value, q_value, n, clusters, placebo_p, lead_p, overlap_ok,
  runs_of_this_sign)
values (%(measured_at)s, 'run', %(outcome)s, %(treatment)s, %(hash)s, 'inputs', 'local', 'twfe', %(verdict)s,
  %(estimate)s, 5, %(low)s, %(high)s, 0.001, %(q)s, 8000, %(clusters)s, 0.6, 0.5, true, %(runs)s)
returning id
"""


class World:
    """One test's graph and warehouse; the connections are those that tasks open."""

    def __init__(self, url: str, driver: neo4j.Driver, prefix: str = "p", now: datetime = NOW) -> None:
        self.url = url
        self.driver = driver
        self.prefix = prefix
        self.now = now
        self.settings = SETTINGS

    # --- what there is ---------------------------------------------------------------------------
    def fill(self) -> None:
        """160 people in four teams, each with a manager; three without some property."""
        self.empty()
        rows = [
            {
                "id": self.id(n),
                "team": TEAMS[n % 4],
                "role": "Manager" if n < 4 else "IC",
                "is_manager": n < 4,
                "manager": None if n < 4 else self.id(n % 4),
            }
            for n in range(PEOPLE)
        ]
        self.driver.execute_query(
            "UNWIND $rows AS row CREATE (e:Employee {id: row.id, team: row.team, role: row.role,"
            " is_manager: row.is_manager, provisional: false, degree_centrality: 0.1})",
            rows=rows,
        )
        self.driver.execute_query(
            "UNWIND $rows AS row MATCH (e:Employee {id: row.id}) MATCH (m:Employee {id: row.manager})"
            " CREATE (e)-[:REPORTS_TO]->(m)",
            rows=rows,
        )
        self.driver.execute_query("MATCH (e:Employee {id: $id}) REMOVE e.role, e.is_manager", id=self.id(8))
        self.driver.execute_query("MATCH (e:Employee {id: $id})-[r:REPORTS_TO]->() DELETE r", id=self.id(12))
        self.measure(self.now - timedelta(hours=3))

    def empty(self) -> None:
        """Remove this world's people, and what interventions remember."""
        self.driver.execute_query(
            "MATCH (n) WHERE n:InterventionLedger OR (n:Employee AND n.id STARTS WITH $prefix) DETACH DELETE n",
            prefix=self.prefix,
        )

    def id(self, number: int) -> str:
        """A person's id; who is in which team follows from the number."""
        return f"{self.prefix}{number:03}"

    def measure(self, at: datetime, degree: dict[str, float] | None = None) -> None:
        """A complete run of metrics; `degree` by team."""
        means = degree or {"Design": 0.10, "Engineering": 0.30, "Sales": 0.20, "Support": 0.05}
        everyone = self.driver.execute_query("MATCH (e:Employee) RETURN count(e) AS people").records[0]["people"]
        with psycopg.connect(self.url) as connection:
            layout.make_room(connection, layout.RAW, at)
            connection.execute(
                "insert into organism.metric_run (measured_at, run_id, epoch, people, completed_at)"
                " values (%s, 'run', 1, %s, now())",
                [at, everyone],
            )
            with connection.cursor() as cursor:
                cursor.executemany(
                    "insert into organism.employee_metrics (measured_at, employee_id, team, is_manager,"
                    " degree_centrality) values (%s, %s, %s, %s, %s)",
                    [
                        (at, self.id(n), TEAMS[n % 4], n < 4, means[TEAMS[n % 4]] + (n % 7) / 1000)
                        for n in range(PEOPLE)
                    ],
                )

    def estimate(self, **changes: Any) -> str:
        """A supported estimate; its id."""
        values = {
            "measured_at": MEASURED,
            "outcome": "burnout_score",
            "treatment": "degree_centrality",
            "hash": uuid.uuid4().hex,
            "verdict": "supported",
            "estimate": 60,
            "low": 50,
            "high": 70,
            "q": 0.001,
            "clusters": PEOPLE,
            "runs": 3,
        }
        with psycopg.connect(self.url) as connection:
            found = connection.execute(_ESTIMATE, values | changes).fetchone()  # type: ignore[arg-type]
        assert found
        return str(found[0])

    # --- what is done ----------------------------------------------------------------------------
    @contextmanager
    def desk(self, run: str = "test", **settings: Any):
        """A desk at the world's time."""
        with warehouse() as connection, neo4j_driver() as (driver, database):
            chosen = replace(self.settings, **settings)
            yield Desk(
                connection,
                lambda unwilling: population.read(driver, database, chosen, unwilling),
                executors,
                chosen,
                run,
                lambda: self.now,
            )

    def propose(
        self,
        action: str,
        team: str = "Engineering",
        parameters: dict[str, Any] | None = None,
        *,
        evidence: str | None = None,
        kind: str = "team",
        by: str = "cy",
        change: float | None = None,
        **settings: Any,
    ) -> proposals.Placed:
        """A person's proposal, placed."""
        with self.desk(f"propose-{uuid.uuid4()}", **settings) as desk:
            people = desk.population(set())
            proposal = proposals.by_person(
                desk,
                people,
                action=action,
                target=Target(Kind(kind), team),
                parameters=parameters or {},
                estimate=self.estimate() if evidence is None else evidence,
                treatment_change=change,
            )
            return proposals.place(desk, [proposal], people, by)[0]

    def approve(self, intervention: uuid.UUID, account: str = "ann", *, approved: bool = True) -> str:
        with warehouse() as connection:
            review.begin(connection, intervention, "review", self.settings, self.now, lambda _: False)
            decision = review.Decision(approved, account, self.now, "because")
            return review.decide(connection, intervention, decision, "review", self.settings)

    # --- what came out ---------------------------------------------------------------------------
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def status(self, intervention: uuid.UUID) -> tuple[str, str]:
        return self.rows("select status, reason_code from organism.intervention where id = %s", intervention)[0]  # type: ignore[return-value]

    def events(self, intervention: uuid.UUID) -> list[str]:
        query = "select event from organism.intervention_audit where intervention_id = %s order by seq"
        return [row[0] for row in self.rows(query, intervention)]

    def members(self, intervention: uuid.UUID) -> list[str]:
        query = "select employee_id from organism.intervention_member where intervention_id = %s order by 1"
        return [row[0] for row in self.rows(query, intervention)]

    def graph(self) -> dict[str, Any]:
        """Every person's properties and managers."""
        found = self.driver.execute_query(_SNAPSHOT).records
        return {r["id"]: ({k: v for k, v in r["values"].items() if v is not None}, r["managers"]) for r in found}

    def set(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)  # type: ignore[arg-type]


# --- steps of tests -------------------------------------------------------------------------------
def execute(world, intervention, run="run", **settings):
    with world.desk(run, **settings) as desk:
        return execution.execute(desk, intervention)


def roll_back(world, intervention, run="rollback"):
    with world.desk(run) as desk:
        return execution.roll_back(desk, intervention, "harmful", "tested")


def approved(world, action="reduce_meetings", parameters=None, **more):
    placed = world.propose(action, parameters=parameters, change=-0.1, **more)
    assert (placed.status, placed.reason_code) == ("pending_approval", "")
    assert world.approve(placed.id) == "approved"
    return placed.id


def assess(world, which, effect, *, skip=()):
    """Everybody answers five days before and after; the treated change by `effect`."""
    treated = set(world.members(which))
    rows = [
        (
            world.id(n),
            NOW.date() + timedelta(days=days),
            40 + n % 7 + (effect if days > 0 and hit else 0) + n * days % 3,
        )
        for n in range(PEOPLE)
        for days in (-5, 5)
        for hit in (world.id(n) in treated,)
        if world.id(n) not in skip
    ]
    with psycopg.connect(world.url) as connection, connection.cursor() as cursor:
        cursor.execute("delete from organism.burnout_assessment")
        cursor.executemany(
            "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
            " values (%s, 'test', %s, %s, true, 'test')",
            rows,
        )


# --- fixtures, imported by conftest files ----------------------------------------------------------
@pytest.fixture
def database(warehouse_template, postgres_server, monkeypatch):
    """The address of an empty warehouse, which is the connection `warehouse`."""
    url = postgres_server.create_database("interventions_test", template=warehouse_template)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return url


@pytest.fixture
def connection(database):
    with psycopg.connect(database) as connection:
        yield connection


@pytest.fixture
def world(database, neo4j_server, alert_sink, monkeypatch):
    """People, metrics, and calendars; nothing stops actions."""
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_INTERVENTIONS", alert_sink.connections["AIRFLOW_CONN_INTERVENTIONS"])
    monkeypatch.setenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED", "true")
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=neo4j_server.auth) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n")
        world = World(database, driver)
        world.fill()
        yield world

"""The four tasks of the 6-hour pipeline on a small organisation whose true effect is known: for tests of the whole.

`Stages` makes one database for each state between two tasks, once a session, and a picture of what is in it; a test
gets a copy (`Chain`), lets something happen to one task, and compares with the pictures.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import neo4j
import numpy as np
import psycopg

from include import connections
from include.organism import cache, tasks_analysis
from include.organism.analysis import answers, panel, question, record
from include.organism.analysis.report import page
from include.organism.causal import engine_local, leads, machine_learning, placebo, regression, sensitivity
from include.organism.graph_metrics import refresh
from include.organism.interventions import catalogue, graph_executor, outcomes, proposals
from include.organism.metric_store import layout, store
from include.warehouse import schema
from local.servers import Neo4jServer, PostgresServer, RedisServer

# Loaded here once, not by every forked worker.
LOADED = (
    *(answers, panel, record, page, engine_local, leads, machine_learning, placebo, regression, sensitivity),
    *(refresh, catalogue, graph_executor, outcomes, proposals, store),
)

PEOPLE = [f"person-{number:03d}" for number in range(80)]
TEAMS = ("Design", "Engineering", "Sales", "Support")
OPTED_OUT, ON_LEAVE = PEOPLE[70], PEOPLE[71]
WEEKS = 12
EFFECT = 60.0
# Interventions ask how old metrics are by the real clock.
WHEN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
EARLIER = WHEN - timedelta(hours=6)
STEPS = ("refresh_materialized_views", "run_causal_analysis", "store_metrics", "evaluate_interventions")
PARAMS = {
    **{name: field["default"] for name, field in question.schema().items()},
    "confounders": [],
    "metrics_budget_s": None,
}
SETTINGS = {
    "INTERVENTION_MODE": "review",
    "INTERVENTION_APPROVERS": "ann,bo",
    "INTERVENTION_WEEKLY_SHARE": "0.9",
    "AIRFLOW_VAR_INTERVENTIONS_ENABLED": "true",
    "ORGANISM_METRICS_THREADS": "2",
}
_WORK = "chain_work"
_METRICS = "degree_centrality, strength"
# Everything that a task leaves, without clocks and counters of tries. The order is that of the keys.
_PICTURE = {
    "runs": "select measured_at, people, edges, metrics, completed_at is not null, published_at is not null"
    " from organism.metric_run",
    "measured": "select * from organism.employee_metrics",
    "hourly": "select * from organism.employee_metrics_hourly",
    "daily": "select * from organism.employee_metrics_daily",
    "groups": "select team, audience, metric, measured_at, n, mean, suppressed, digest"
    " from organism.team_metrics left join organism.team_cohort using (cohort_id)",
    "cohorts": "select family, digest, members, first_published_at, last_published_at from organism.team_cohort",
    "estimates": "select measured_at, treatment, to_jsonb(e) - 'id' - 'created_at' from organism.causal_estimate e",
    "scenarios": "select measured_at, treatment, to_jsonb(c) - 'estimate_id' from organism.causal_counterfactual c"
    " join organism.causal_estimate e on e.id = c.estimate_id",
    "pages": "select measured_at, name, md5(content) from organism.causal_report",
    "proposals": "select id, to_jsonb(i) - '{proposed_at,expires_at}'::text[] from organism.intervention i",
    "audit": "select intervention_id, event, actor, detail from organism.intervention_audit",
}
_PEOPLE = """
UNWIND $rows AS row CREATE (e:Employee {id: row.id, team: row.team, role: 'IC', is_manager: row.manager,
  provisional: false, opted_out: row.id = $out, on_leave: row.id = $leave})
"""
_TIES = """
UNWIND $rows AS row MATCH (a:Employee {id: row[0]}) MATCH (b:Employee {id: row[1]})
CREATE (a)-[:INTERACTS {weight: row[2], recency_weight: row[2], count: 1, first_at: $at, last_at: $at}]->(b)
"""
_FORGET = """
MATCH (e:Employee) REMOVE e.betweenness_centrality, e.clustering_coefficient, e.metrics_at, e.metrics_epoch
"""

Picture = dict[str, list[tuple[Any, ...]]]


def run_step(step: str, at: datetime = WHEN, run: str = "scheduled", **params: Any) -> Any:
    """A task's body, as its DAG calls it."""
    dag_run: Any = SimpleNamespace(logical_date=at, run_after=at)
    given = PARAMS | params
    match step:
        case "plan_betweenness":
            return tasks_analysis.plan_betweenness(given, dag_run)
        case "refresh_materialized_views":
            return tasks_analysis.refresh_materialized_views(run, given, dag_run)
        case "run_causal_analysis":
            return tasks_analysis.run_causal_analysis(run, given, dag_run)
        case "store_metrics":
            return tasks_analysis.store_metrics(dag_run)
        case "evaluate_interventions":
            return tasks_analysis.evaluate_interventions(run, dag_run)
    raise ValueError(step)


def work(step: str, at: str, run: str, environment: dict[str, str]) -> Any:
    """The same in a process of its own."""
    os.environ |= environment
    connections._REPEAT_S = 2.0
    return run_step(step, datetime.fromisoformat(at), run)


def fill_graph(driver: neo4j.Driver) -> None:
    """80 people in four teams; those of Engineering know most others."""
    driver.execute_query("MATCH (n) DETACH DELETE n")
    rows = [{"id": person, "team": TEAMS[n % 4], "manager": n < 4} for n, person in enumerate(PEOPLE)]
    driver.execute_query(_PEOPLE, rows=rows, out=OPTED_OUT, leave=ON_LEAVE)
    ties = [
        [PEOPLE[n], PEOPLE[(n + step) % len(PEOPLE)], 1.0 + n % 5]
        for n in range(len(PEOPLE))
        for step in range(1, 4 + 5 * (n % 4 == 1) + n % 3)
    ]
    at = int((EARLIER - timedelta(days=1)).timestamp() * 1000)
    driver.execute_query(_TIES, rows=ties, at=at)


def fill_history(connection: psycopg.Connection, people: list[str] = PEOPLE, *, weeks: int = WEEKS) -> None:
    """Weeks of measurements and scores: burnout follows the degree by `EFFECT`, and a trait drives both."""
    rng = np.random.default_rng(1)
    trait = rng.normal(size=len(people))
    # Nobody is clipped at 0 or 100, so that the effect is the same for all.
    degree = 0.35 + 0.05 * trait[:, None] + rng.normal(scale=0.04, size=(len(people), weeks))
    burnout = 20 + EFFECT * degree + 8 * trait[:, None] + rng.normal(scale=3, size=degree.shape)
    monday = (WHEN - timedelta(days=WHEN.weekday())).replace(hour=0, minute=0, second=0)
    days = [monday - timedelta(weeks=weeks + 1 - week) for week in range(weeks)]
    layout.make_room(connection, layout.DAILY, days[0], WHEN)
    measured = f"copy organism.employee_metrics_daily (bucket, employee_id, samples, team, is_manager, {_METRICS})"
    scored = "copy organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
    with connection.cursor() as cursor:
        with cursor.copy(f"{measured} from stdin") as copy:
            for n, person in enumerate(people):
                for week, day in enumerate(days):
                    known = degree[n, week]
                    copy.write_row((day, person, 4, TEAMS[n % 4], n < 4, known, 100 * known**2))
        with cursor.copy(f"{scored} from stdin") as copy:
            for n, person in enumerate(people):
                for week, day in enumerate(days):
                    copy.write_row((person, "CBI", day.date(), np.clip(burnout[n, week], 0, 100), True, "test"))
    connection.commit()


def opt_out(connection: psycopg.Connection) -> None:
    """One person has opted out and one is on leave, as in the graph."""
    since = WHEN - timedelta(days=30)
    connection.execute(
        "insert into organism.privacy_choice (employee_id, opted_out_at, on_leave_from, source)"
        " values (%s, %s, null, 'command'), (%s, null, %s, 'roster')",
        [OPTED_OUT, since, ON_LEAVE, since],
    )
    connection.commit()


def picture(url: str) -> Picture:
    """What is in the tables, so that equal pictures mean equal numbers."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(map(_rounded, connection.execute(query).fetchall()), key=repr)  # type: ignore[arg-type]
            for name, query in _PICTURE.items()
        }


def _rounded(value: Any) -> Any:
    """Sums are added up in any order, so that their last digits differ."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list | tuple):
        return tuple(map(_rounded, value))
    return {key: _rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def airflow(url: str) -> str:
    """The address of a database as a variable of a connection."""
    return url.replace("postgresql://", "postgres://")


@dataclass(frozen=True)
class Servers:
    """Real ones; PostgreSQL is the tests' own, so that they may kill it."""

    postgres: PostgresServer
    neo4j: Neo4jServer
    redis: RedisServer

    def environment(self, database: str = _WORK) -> dict[str, str]:
        """Variables by which tasks find them."""
        return SETTINGS | {
            "AIRFLOW_CONN_WAREHOUSE": airflow(self.postgres.url_of(database, "warehouse")),
            "AIRFLOW_CONN_ORGANISM_NEO4J": self.neo4j.url,
            "AIRFLOW_CONN_ORGANISM_REDIS": self.redis.url,
        }

    @contextlib.contextmanager
    def admin(self, database: str = "postgres") -> Any:
        """The superuser."""
        url = self.postgres.url_of(database, "postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


class Stages:
    """The states before and after each task of an undisturbed run, which follows one that was six hours earlier."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.pictures: dict[str, Picture] = {}
        before = {name: os.environ.get(name) for name in servers.environment()}
        try:
            self._make()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def _make(self) -> None:
        servers = self.servers
        servers.postgres.create_database(self.before(STEPS[0]))
        os.environ |= servers.environment(self.before(STEPS[0]))
        schema.upgrade()
        with connections.warehouse() as connection:
            opt_out(connection)
            fill_history(connection)
        with connections.neo4j_driver() as (driver, _):
            fill_graph(driver)
            for step in STEPS:
                run_step(step, EARLIER, "earlier")
            for number, step in enumerate(STEPS):
                self.pictures[self.before(step)] = picture(servers.postgres.url_of(self.before(step), "warehouse"))
                after = self.after(step)
                servers.postgres.create_database(after, template=self.before(step))
                os.environ["AIRFLOW_CONN_WAREHOUSE"] = servers.environment(after)["AIRFLOW_CONN_WAREHOUSE"]
                run_step(step)
                self.pictures[after] = picture(servers.postgres.url_of(after, "warehouse"))
                assert number or self.pictures[after] != self.pictures[self.before(step)]

    @staticmethod
    def before(step: str) -> str:
        """The database in which a task is the next to run."""
        return f"chain_{STEPS.index(step)}"

    @staticmethod
    def after(step: str) -> str:
        """The database after it."""
        return f"chain_{STEPS.index(step) + 1}"


class Chain:
    """A copy of one of the stages, for one test."""

    def __init__(self, stages: Stages, driver: neo4j.Driver) -> None:
        self.servers = stages.servers
        self.driver = driver
        self._stages = stages

    @property
    def url(self) -> str:
        """The warehouse."""
        return self.servers.postgres.url_of(_WORK, "warehouse")

    def before(self, step: str) -> Picture:
        """The picture in which a task is the next to run."""
        return self._stages.pictures[self._stages.before(step)]

    def after(self, step: str) -> Picture:
        """The picture after an undisturbed run of it."""
        return self._stages.pictures[self._stages.after(step)]

    def start_at(self, step: str) -> None:
        """Everything up to a task is done."""
        self.servers.postgres.create_database(_WORK, template=self._stages.before(step))
        if step == STEPS[0]:
            self.driver.execute_query(_FORGET)
            self.driver.execute_query("MATCH (l:MetricsLedger) DELETE l")

    def now(self) -> Picture:
        """The picture as it is."""
        return picture(self.url)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, or of a change with `returning`."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(query, values or None)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """Properties of the people."""
        found = self.driver.execute_query("MATCH (e:Employee) RETURN e.id AS id, properties(e) AS p").records
        return {each["id"]: each["p"] for each in found}

    def cached(self) -> dict[str, bytes]:
        """What the caches hold."""
        import redis

        with redis.Redis.from_url(self.servers.redis.url) as client:
            keys = [*client.scan_iter("metrics:*"), *client.scan_iter(cache.GRAPH_STATS)]
            return {key.decode(): client.get(key) for key in keys}

    def forget_breakers(self) -> None:
        """Faults of one test are no reason to spare the next one a server."""
        import redis

        with redis.Redis.from_url(self.servers.redis.url) as client:
            for key in client.scan_iter("ops:breaker:*"):
                client.delete(key)

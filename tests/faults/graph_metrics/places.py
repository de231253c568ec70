"""A people graph, a warehouse and a cache that a refresh works on, and looks at what it left there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from include.connections import warehouse
from include.organism import update
from include.organism.graph_metrics import shards
from include.organism.graph_metrics.refresh import Clients, refresh
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.settings import Settings
from tests.faults.world import World, open_clients

# A Thursday, after the made-up events of `world.events`.
WHEN = datetime(2024, 2, 1, 6, tzinfo=UTC)
SETTINGS = MetricSettings(metrics_threads=2)
SPREAD = replace(SETTINGS, metrics_shards=3)
_TABLES = ("employee_metrics", "metric_run", "metric_work", "privacy_choice")


@pytest.fixture(scope="session")
def metrics_warehouse(postgres_server, warehouse_template) -> str:
    """Address of a warehouse with the newest schema."""
    return postgres_server.create_database("graph_metrics_test", template=warehouse_template)


def _airflow(url: str) -> str:
    return url.replace("postgresql://", "postgres://")


def refresh_once(redis: str, neo4j: str, database: str, at: str, run: str) -> dict[str, Any]:
    """One refresh with clients of its own, for processes of their own."""
    os.environ["AIRFLOW_CONN_METRICS_WAREHOUSE"] = _airflow(database)
    with open_clients(redis, neo4j) as clients:
        return refresh(clients_of(clients), SETTINGS, Settings().half_life_ms, datetime.fromisoformat(at), run)


def spread_once(redis: str, neo4j: str, database: str, at: str, run: str) -> dict[str, Any]:
    """The same by way of shards."""
    os.environ["AIRFLOW_CONN_METRICS_WAREHOUSE"] = _airflow(database)
    with open_clients(redis, neo4j) as clients:
        return spread(clients_of(clients), datetime.fromisoformat(at), run)


def spread(clients: Clients, at: datetime, run: str) -> dict[str, Any]:
    """Plan, all shards one after the other, refresh."""
    half_life_ms = Settings().half_life_ms
    with pytest.MonkeyPatch.context() as patch, _warehouse() as connection:
        any_is_large(patch)
        for shard in shards.plan(connection, clients.driver, clients.database, SPREAD, half_life_ms, at):
            shards.work_on(connection, at, shard)
    return refresh(clients, SPREAD, half_life_ms, at, run)


def any_is_large(patch: pytest.MonkeyPatch) -> None:
    """Have every graph be too large for one worker."""
    patch.setattr(shards, "_SECONDS_A_TIE", 1e9)


def clients_of(clients: update.Clients) -> Clients:
    return Clients(_warehouse, clients.driver, clients.database, clients.redis)


@contextmanager
def _warehouse() -> Iterator[psycopg.Connection]:
    with warehouse("metrics_warehouse") as connection:
        yield connection


class Place:
    """A world and a warehouse."""

    def __init__(self, world: World, database: str) -> None:
        self.world = world
        self.database = database

    def refresh(self, at: datetime = WHEN, run: str = "scheduled", settings: MetricSettings = SETTINGS) -> Any:
        return refresh(clients_of(self.world.clients), settings, Settings().half_life_ms, at, run)

    def arguments(self, at: datetime = WHEN, run: str = "scheduled") -> dict[str, Any]:
        """Of `refresh_once`."""
        redis, neo4j = self.world.urls
        return {"redis": redis, "neo4j": neo4j, "database": self.database, "at": at.isoformat(), "run": run}

    # --- what is there --------------------------------------------------------------
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql.SQL(query), values).fetchall()

    def stored(self, at: datetime = WHEN) -> dict[str, dict[str, Any]]:
        """Rows of `employee_metrics` by person."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute("select * from organism.employee_metrics where measured_at = %s", [at])
            names = [column.name for column in found.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in found]
        return {row["employee_id"]: row for row in rows}

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Properties of the people."""
        records, _, _ = self.world.driver.execute_query("MATCH (e:Employee) RETURN e.id AS id, properties(e) AS p")
        return {record["id"]: record["p"] for record in records}

    def cypher(self, query: str, **values: Any) -> list[Any]:
        return self.world.driver.execute_query(query, **values).records

    def cached(self) -> set[str]:
        return {key.decode() for pattern in ("metrics:*", "graph:*") for key in self.world.redis.scan_iter(pattern)}


@pytest.fixture
def place(make_world: Callable[..., World], metrics_warehouse: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Empty graph, tables and cache."""
    monkeypatch.setenv("AIRFLOW_CONN_METRICS_WAREHOUSE", _airflow(metrics_warehouse))
    any_is_large(monkeypatch)
    found = Place(make_world(batch_size=500), metrics_warehouse)
    with psycopg.connect(metrics_warehouse) as connection:
        for table in _TABLES:
            connection.execute(sql.SQL("delete from {}").format(sql.Identifier("organism", table)))
    if keys := found.cached():
        found.world.redis.delete(*keys)
    return found

"""A whole refresh on real servers, and how long its numbers take to read.

Starts a private PostgreSQL, Redis and Neo4j, puts a generated graph into Neo4j, refreshes twice (the first run compiles
or loads compiled loops), and reads what readers read. Exit code 1 when a read takes 500 ms or more.

    python -m benchmarks.graph_refresh [--nodes 10000]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import neo4j
import psycopg
import redis

from benchmarks.graph_metrics import directed
from include.connections import warehouse
from include.organism import cache, cypher
from include.organism.graph_metrics.refresh import Clients, refresh
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.graph_metrics.snapshot import Snapshot
from include.organism.settings import Settings
from include.warehouse import schema
from local.servers import Neo4jServer, PostgresServer, RedisServer

MOST_MS = 500.0
ROUNDS = 15
_WHEN = datetime(2023, 11, 14, 18, tzinfo=UTC)
_PEOPLE = "UNWIND $rows AS row CREATE (:Employee {id: row[0], team: row[1], is_manager: row[2]})"
_EDGES = """
UNWIND $rows AS row MATCH (a:Employee {id: row[0]}) MATCH (b:Employee {id: row[1]})
CREATE (a)-[:INTERACTS {weight: row[2], recency_weight: row[3], last_at: row[4], count: 1}]->(b)
"""
_CURRENT = "select * from organism.current_metrics"
_ONE = "select * from organism.current_metrics where employee_id = %s"
_TEAMS = "select team, count(*), avg(betweenness_centrality) from organism.current_metrics group by team"
_NODES = "MATCH (e:Employee) RETURN e.id, e.degree_centrality, e.betweenness_centrality, e.clustering_coefficient"


def load(driver: neo4j.Driver, graph: Snapshot) -> None:
    """Put a graph into Neo4j."""
    with driver.session() as session:
        for statement in cypher.SCHEMA:
            session.run(statement).consume()
    people, edges = graph.people, graph.edges
    teams = [people.teams[number] for number in people.team.tolist()]
    _write(driver, _PEOPLE, zip(people.ids, teams, people.is_manager.tolist(), strict=True))
    ends = ([people.ids[number] for number in column.tolist()] for column in (edges.source, edges.target))
    _write(
        driver,
        _EDGES,
        zip(*ends, edges.weight.tolist(), edges.recency.tolist(), edges.last_ms.tolist(), strict=True),
    )


def _write(driver: neo4j.Driver, statement: str, rows: Any) -> None:
    while part := [list(row) for row in islice(rows, 10_000)]:
        driver.execute_query(statement, rows=part)


def read(what: str, work: Callable[[], Any]) -> bool:
    """Print the median and the worst of some readings; whether all were fast enough."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1_000)
    print(f"  {what}: {statistics.median(taken):.1f} ms, worst of {ROUNDS} {max(taken):.1f} ms")
    return statistics.median(taken) < MOST_MS


def run(state: Path, nodes: int) -> bool:
    """Measure; whether every read was fast enough."""
    postgres, store = PostgresServer(state, usual_port=False), RedisServer(state, usual_port=False)
    graph = Neo4jServer(state, usual_port=False)
    try:
        for server in (postgres, store, graph):
            server.start()
        return _measure(postgres, store, graph, nodes=nodes)
    finally:
        for server in (postgres, store, graph):
            server.stop()


def _measure(postgres: PostgresServer, store: RedisServer, graph: Neo4jServer, *, nodes: int) -> bool:
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = postgres.url.replace("postgresql://", "postgres://")
    schema.upgrade()
    made = directed(nodes)
    with (
        closing(neo4j.GraphDatabase.driver(graph.uri, auth=graph.auth)) as driver,
        closing(redis.Redis.from_url(store.url)) as client,
        psycopg.connect(postgres.url, autocommit=True) as connection,
    ):
        load(driver, made)
        print(f"{nodes:,} people, {len(made.edges):,} directed edges; load {os.getloadavg()[0]:.1f}")
        for name in ("first", "second"):
            start = time.perf_counter()
            clients = Clients(warehouse, driver, None, client)
            done = refresh(clients, MetricSettings(), Settings().half_life_ms, _WHEN, name)
            print(f"  {name} refresh: {time.perf_counter() - start:.1f} s; computing: {done['seconds']}")
        one = made.people.ids[0]
        reads = (
            ("everybody, current_metrics", lambda: connection.execute(_CURRENT).fetchall()),
            ("one person, current_metrics", lambda: connection.execute(_ONE, [one]).fetchall()),
            ("means by team, current_metrics", lambda: connection.execute(_TEAMS).fetchall()),
            ("everybody, node properties", lambda: driver.execute_query(_NODES)),
            ("one person, cache", lambda: json.loads(client.get(cache.employee_key(one)) or b"")),
            ("the graph, cache", lambda: json.loads(client.get(cache.GRAPH_STATS) or b"")),
        )
        fast = [read(what, work) for what, work in reads]
        return all(fast)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="organism-bench-", ignore_cleanup_errors=True) as directory:
        if not run(Path(directory), options.nodes):
            sys.exit(f"a read took {MOST_MS:g} ms or more")


if __name__ == "__main__":
    main()

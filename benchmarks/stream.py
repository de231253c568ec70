"""Stream to graph: ours against the naive loop, against the bare writer, and memory against the backlog.

Starts a private Redis (append-only file on) and a private Neo4j, prints ratios measured in this run,
and stops both. Rates are interactions a second, from the stream's first entry read to the last one
acknowledged. `--quick` takes fewer rounds and leaves the million-entry backlog out.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import neo4j
import redis

from benchmarks.events import Row, fill, sources
from include.organism import update
from include.organism.batch import EdgeRow, aggregate
from include.organism.messages import Interaction
from include.organism.settings import Settings
from local.servers import Neo4jServer, RedisServer

SETTINGS = Settings()
NAIVE_EVENTS = 2_000

NAIVE = """
MERGE (a:Employee {id: $source}) MERGE (b:Employee {id: $target}) MERGE (a)-[r:INTERACTS]->(b)
SET r.weight = coalesce(r.weight, 0.0) + 1.0, r.count = coalesce(r.count, 0) + 1, r.last_at = $at
"""
# The same edge arithmetic as ours, and nothing else: no stream, check, deduplication, ledger, lease or degree.
BARE = """
UNWIND $rows AS row
MERGE (a:Employee {id: row[0]})
MERGE (b:Employee {id: row[1]})
MERGE (a)-[r:INTERACTS]->(b)
ON CREATE SET r.count = row[2], r.weight = row[3], r.recency_weight = row[4], r.first_at = row[5], r.last_at = row[6]
ON MATCH SET
  r.recency_weight =
    r.recency_weight * exp($rate * (r.last_at - CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END))
    + row[4] * exp($rate * (row[6] - CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END)),
  r.count = r.count + row[2],
  r.weight = r.weight + row[3],
  r.first_at = CASE WHEN row[5] < r.first_at THEN row[5] ELSE r.first_at END,
  r.last_at = CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END
"""


def clear(clients: update.Clients) -> None:
    """Empty stream and graph; keep constraints and the server's caches warm."""
    clients.redis.flushall()
    with clients.driver.session() as session:
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS").consume()


def naive(clients: update.Clients, plain: redis.Redis, rows: list[Row]) -> float:
    """100 entries a read, one statement and one acknowledgement for each; returns events a second."""
    clear(clients)
    fill(plain, SETTINGS.stream, rows, NAIVE_EVENTS)
    plain.xgroup_create(SETTINGS.stream, "naive", id="0")
    start = time.perf_counter()
    with clients.driver.session() as session:
        while reply := cast("Any", plain.xreadgroup("naive", "one", {SETTINGS.stream: ">"}, count=100)):
            for entry_id, fields in reply[0][1]:
                people = {name: fields[name.encode()].decode() for name in ("source", "target")}
                session.run(NAIVE, **people, at=int(fields[b"timestamp"])).consume()
                plain.xack(SETTINGS.stream, "naive", entry_id)
    return NAIVE_EVENTS / (time.perf_counter() - start)


def ours(clients: update.Clients, rows: list[Row], *, again: bool) -> tuple[float, dict[str, float]]:
    """The four steps over the whole backlog; returns events a second and seconds by phase.

    With `again` the people and edges exist already, as in every run but the first.
    """
    clear(clients)
    for timed in (False, True) if again else (True,):
        fill(clients.redis, SETTINGS.stream, rows, len(rows), prefix=f"{timed}-")
        start = time.perf_counter()
        manifest = update.fetch_interactions(clients, SETTINGS, "benchmark")
        result = update.update_graph(clients, SETTINGS, manifest)
        update.acknowledge(clients, SETTINGS, result)
        update.invalidate_cache(clients, SETTINGS, manifest)
        seconds = time.perf_counter() - start
        if result["written"] != len(rows):
            raise AssertionError(f"{result['written']} of {len(rows)} interactions written")
    return len(rows) / seconds, result["seconds"]


def bare(clients: update.Clients, rows: list[Row], *, again: bool) -> float:
    """The aggregated rows of the same batches, written by a plain loop; returns events a second."""
    clear(clients)
    size, half_life = SETTINGS.batch_size, SETTINGS.half_life_ms
    events = [Interaction(b"", tail, (head,), 1.0, seconds * 1000) for tail, head, seconds in rows]
    batches = [aggregate(events[first : first + size], half_life).edges for first in range(0, len(events), size)]
    for _ in range(2 if again else 1):
        start = time.perf_counter()
        with clients.driver.session() as session:
            for edges in batches:
                session.execute_write(_write_rows, edges)
        seconds = time.perf_counter() - start
    return len(rows) / seconds


def _write_rows(tx: neo4j.ManagedTransaction, edges: list[EdgeRow]) -> None:
    tx.run(BARE, rows=edges, rate=1e-9).consume()


def peak_memory(backlog: int, redis_url: str, graph: Neo4jServer) -> tuple[float, float]:
    """Peak MB and seconds of a fresh process that drains `backlog` entries."""
    command = [sys.executable, "-m", "benchmarks.drain_once", redis_url, graph.uri, graph.password]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds, read = done.stdout.split()
    if int(read) != backlog:
        raise AssertionError(f"{read} of {backlog} entries read")
    return float(peak), float(seconds)


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        cache = RedisServer(Path(folder), usual_port=False)
        graph = Neo4jServer(Path(folder), usual_port=False)
        try:
            cache.start()
            graph.start()
            with neo4j.GraphDatabase.driver(graph.uri, auth=graph.auth) as driver:
                clients = update.Clients(redis.Redis.from_url(cache.url, protocol=2), driver)
                for name, rows in sources():
                    compare(clients, cache.url, name, rows, rounds=3 if quick else 7)
                memory(clients, cache.url, graph, rows, (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000))
        finally:
            graph.stop()
            cache.stop()


def compare(clients: update.Clients, redis_url: str, name: str, rows: list[Row], *, rounds: int) -> None:
    """Measure in turns, so that a slow moment of the machine meets both sides, and print."""
    print(f"{len(rows):,} interactions ({name}), batches of {SETTINGS.batch_size:,}, appendonly on")
    for _ in range(2):  # warm the server's compiler
        ours(clients, rows, again=True)
        bare(clients, rows, again=True)
    slow = naive(clients, redis.Redis.from_url(redis_url), rows)
    for again in (True, False):
        pairs = [(ours(clients, rows, again=again), bare(clients, rows, again=again)) for _ in range(rounds)]
        rate = statistics.median(mine for (mine, _), _ in pairs)
        ratio = statistics.median(mine / limit for (mine, _), limit in pairs)
        limit = statistics.median(limit for _, limit in pairs)
        phases = max(pairs, key=lambda pair: pair[0][0])[0][1]
        print(f"  into {'the graph as it stands' if again else 'an empty graph'}, medians of {rounds}")
        print(f"    ours         {rate:10,.0f} /s   phases, overlapping: {phases}")
        print(f"    bare writer  {limit:10,.0f} /s   ours / bare  = {ratio:.2f}   (goal 0.70 or more)")
        print(f"    naive loop   {slow:10,.0f} /s   ours / naive = {rate / slow:,.0f}   (goal 100 or more)", flush=True)


def memory(
    clients: update.Clients, redis_url: str, graph: Neo4jServer, rows: list[Row], backlogs: tuple[int, ...]
) -> None:
    """Peak memory of a fresh process against the backlog that it drains."""
    print("peak memory of the draining process (goal: within 1.20 of the first):")
    first = None
    for backlog in backlogs:
        clear(clients)
        fill(clients.redis, SETTINGS.stream, rows, backlog)
        peak, seconds = peak_memory(backlog, redis_url, graph)
        first = first or peak
        rate = backlog / seconds
        print(f"  {backlog:9,} entries {peak:7.1f} MB   {peak / first:.2f} of the first   {rate:,.0f} /s", flush=True)


if __name__ == "__main__":
    main()

"""How long dump, restore check and restore take, on generated data; `make bench-restore`.

Starts a private PostgreSQL and a private Neo4j, and stops both. `--quick` takes a tenth of the data.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import neo4j
from psycopg.conninfo import conninfo_to_dict

from include.operations.backup import graph_restore, scratch
from include.operations.backup.graph import Graph, export
from include.operations.backup.postgres import Postgres
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import Manifest, Store
from include.operations.housekeeping.tables import BATCH
from local.servers import Neo4jServer, PostgresServer
from local.servers.postgres import SCRATCH, binaries

KEY = bytes(range(32))
ROWS = """
create schema vms;
create table vms.person (id bigint primary key, name text, mail text, at timestamptz, extra jsonb);
insert into vms.person select n, md5(n::text), md5((n * 7)::text) || '@example.org', now() - n * interval '1 minute',
  jsonb_build_object('a', n, 'b', md5((n * 3)::text)) from generate_series(1, {rows}) n;
create index on vms.person (at);
create table vms.usage (run text, task text, at timestamptz, seconds float8, primary key (run, task));
insert into vms.usage select md5(n::text), 't' || n % 9, now() - n * interval '30 seconds', random()
  from generate_series(1, {rows}) n;
create index on vms.usage (at);
"""
PEOPLE = (
    "UNWIND range(1, $people) AS i CREATE (:Employee {id: 'p' + i, name: 'name ' + i, team: i % 50, score: i / 7.0})"
)
EDGES = """
UNWIND range(1, $edges) AS i
CALL (i) {
  MATCH (a:Employee {id: 'p' + (i % $people + 1)})
  MATCH (b:Employee {id: 'p' + (i * 7919 % $people + 1)})
  CREATE (a)-[:INTERACTS {weight: i / 3.0, count: i, recency_weight: i / 9.0, first_at: i, last_at: i}]->(b)
} IN TRANSACTIONS OF 5000 ROWS
"""


def timed(work: Callable[[], Any]) -> float:
    """Seconds that the work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def warehouse(server: PostgresServer, folder: Path, rows: int) -> None:
    """Dump, check and restore a warehouse of two tables with `rows` rows each, plain and encrypted."""
    source = Postgres(dict(conninfo_to_dict(server.url)), binaries())
    with source.connect() as connection:
        connection.execute(ROWS.format(rows=rows).encode())
    check_server = Postgres(dict(conninfo_to_dict(server.url_of("postgres", SCRATCH))), binaries())
    target = Postgres(dict(conninfo_to_dict(server.create_database("target"))), binaries())
    size = source.size_bytes() / 1e6
    print(f"warehouse: {2 * rows:,} rows, {size:,.0f} MB in PostgreSQL")
    for key in (None, KEY):
        store = Store(BackupSettings(folder / ("sealed" if key else "plain"), min_free_mb=0, key=key))

        def dump(store: Store = store) -> None:
            with store.making("warehouse", 0) as draft:
                source.dump(draft)

        took = timed(dump)
        made = store.manifest(store.names()[0])
        checked = timed(lambda store=store, made=made: scratch.check(store, made, check_server))  # type: ignore[misc]
        print(
            f"  {'encrypted' if key else 'plain':9}  dump {took:6.1f} s   file {made.size_bytes / 1e6:7.1f} MB", end=""
        )
        print(f"   restore check {checked:6.1f} s", flush=True)
    took = timed(lambda: target.restore(store.read(made)))
    print(f"  restore into an empty database in one transaction {took:6.1f} s ({2 * rows / took:,.0f} rows/s)")
    prune(source, rows)


def prune(source: Postgres, rows: int) -> None:
    """Delete half of a table in the batches that housekeeping uses: what partitions would save."""
    before = datetime.now(UTC) - timedelta(seconds=30 * rows / 2)
    statement = "delete from vms.usage where ctid = any(array(select ctid from vms.usage where at < %s limit %s))"

    def work() -> None:
        with source.connect() as connection:
            while connection.execute(statement, [before, BATCH]).rowcount:
                connection.commit()

    took = timed(work)
    print(f"  deleting {rows // 2:,} old rows in batches of {BATCH:,} {took:6.1f} s", flush=True)


def graph(server: Neo4jServer, folder: Path, people: int, edges: int) -> None:
    """Export and restore a graph."""
    with neo4j.GraphDatabase.driver(
        server.uri, auth=server.auth, notifications_disabled_classifications=["SCHEMA", "UNRECOGNIZED"]
    ) as driver:
        driver.execute_query("CREATE CONSTRAINT employee_id IF NOT EXISTS FOR (e:Employee) REQUIRE e.id IS UNIQUE")
        driver.execute_query(cast("Any", PEOPLE), people=people)
        with driver.session() as session:
            session.run(cast("Any", EDGES), people=people, edges=edges).consume()
        found = Graph(driver)
        store = Store(BackupSettings(folder / "graph", min_free_mb=0))

        def dump() -> None:
            with store.making("graph", 0) as draft:
                draft.rows = export(found, draft.write)

        took = timed(dump)
        made: Manifest = store.manifest(store.names()[0])
        print(f"graph: {people:,} people, {edges:,} relationships")
        print(f"  export {took:6.1f} s   file {made.size_bytes / 1e6:7.1f} MB")
        work = lambda: graph_restore.restore(found, store.read(made), made.name, made.rows, replace=True)  # noqa: E731
        took = timed(work)
        print(f"  restore, with emptying before and comparing after {took:6.1f} s", flush=True)


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    part = 10 if arguments.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, neo = PostgresServer(folder, usual_port=False), Neo4jServer(folder, usual_port=False)
        try:
            postgres.start()
            warehouse(postgres, folder, 1_000_000 // part)
            postgres.stop()
            neo.start()
            graph(neo, folder, 20_000 // part, 300_000 // part)
        finally:
            neo.stop()
            postgres.stop()


if __name__ == "__main__":
    main()

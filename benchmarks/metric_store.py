"""The metric store at two years of 2,000 people measured four times a day; `make bench-store`.

A team's trend of 90 days from the published numbers, and beside it the same worked out from people's rows; writing a
run, repeating it, and what follows from it. A private PostgreSQL, or the server that `TIMESCALEDB_TEST_URL` names.
`--quick`: two months.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg

from include.organism.metric_store import layout, store, writer
from include.organism.metric_store.columns import METRICS
from include.organism.metric_store.trend import team_trend
from include.warehouse import schema
from local.servers import PostgresServer

PEOPLE, TEAMS, EVERY = 2_000, 40, timedelta(hours=6)
LAST = datetime.fromisoformat("2025-06-01T18:00:00+00:00")
NAME = "bench_store"
# Far more rows of people than are kept (90 days): the peer gets its data, too.
ROWS = """
insert into organism.employee_metrics (measured_at, employee_id, team, is_manager, {names})
select at, 'p' || n, 'team ' || n % {teams}, n % 10 = 0, {values}
from generate_series({first}::timestamptz, {last}::timestamptz, interval '6 hours') at, generate_series(1, {people}) n
"""
NUMBERS = """
insert into organism.team_metrics (team, audience, metric, measured_at, n, mean, cohort_id)
select 'team ' || t, 'everyone', m, at, {people} / {teams}, random(), t
from generate_series({first}::timestamptz, {last}::timestamptz, interval '6 hours') at,
  generate_series(0, {teams} - 1) t, unnest({metrics}::text[]) m
"""
PEER = """
select date_bin('1 day', measured_at, '2000-01-03Z'), avg(strength) from organism.employee_metrics
where team = 'team 7' and measured_at >= %s and measured_at < %s group by 1 order by 1
"""


def timed(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median of the seconds that the work takes."""
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def frame(scale: float) -> pl.DataFrame:
    """One run's measurements."""
    rng = np.random.default_rng(7)
    numbers = np.arange(PEOPLE)
    values = {name: rng.random(PEOPLE) * scale for name in METRICS if name != "burnout_score"}
    return pl.DataFrame(
        {
            "employee_id": [f"p{number}" for number in numbers],
            "team": [f"team {number % TEAMS}" for number in numbers],
            "is_manager": numbers % 10 == 0,
            "community": numbers % 12,
            **values,
        }
    )


def fill(connection: psycopg.Connection, first: datetime) -> None:
    """Two years of both tables, made by the server."""
    from psycopg import sql

    values = {
        "first": sql.Literal(first),
        "last": sql.Literal(LAST),
        "people": sql.Literal(PEOPLE),
        "teams": sql.Literal(TEAMS),
        "metrics": sql.Literal(list(METRICS)),
        "names": sql.SQL(", ").join(map(sql.Identifier, METRICS)),
        "values": sql.SQL(", ").join([sql.SQL("random()")] * len(METRICS)),
    }
    for series, statement in ((layout.RAW, ROWS), (layout.TEAMS, NUMBERS)):
        layout.make_room(connection, series, first, LAST)
        begun = time.perf_counter()
        rows = connection.execute(sql.SQL(statement).format(**values)).rowcount
        connection.commit()
        connection.autocommit = True
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier("organism", series.table)))
        connection.autocommit = False
        print(f"  {series.table}: {rows:,} rows made in {time.perf_counter() - begun:.1f} s", flush=True)


def measure(connection: psycopg.Connection) -> None:
    """Time what is done with it."""
    since, until = LAST - timedelta(days=90), LAST + EVERY
    ours = timed(lambda: team_trend(connection, "team 7", "strength", since, until))
    peer = timed(lambda: connection.execute(PEER, [since, until]).fetchall())
    print(
        f"trend of a team over 90 days: {ours * 1e3:.1f} ms; from people's rows {peer * 1e3:.1f} ms, {peer / ours:.0f}x"
    )
    moment = LAST + EVERY
    for name, scale in (("first", 1.0), ("repeated as it was", 1.0), ("repeated with other values", 2.0)):
        epoch = writer.begin(connection, moment, "bench")
        run = writer.MetricRun(moment, epoch, 15_000, {})
        begun = time.perf_counter()
        done = writer.write(connection, run, frame(scale))
        took = (time.perf_counter() - begun) * 1e3
        print(f"a run of {done.people:,} people, {name}: {took:.0f} ms, {done.changed:,} rows changed")
    follows = timed(lambda: store.store(connection, moment), repeats=3)
    print(f"what follows from it (roll-ups, published numbers): {follows:.2f} s")


@contextmanager
def database() -> Iterator[str]:
    """An empty warehouse."""
    if given := os.environ.get("TIMESCALEDB_TEST_URL"):
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"drop database if exists {NAME} with (force)")
            connection.execute(f"create database {NAME} template template0")
        url = f"{given.rpartition('/')[0]}/{NAME}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension if not exists timescaledb")
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder), usual_port=False)
        try:
            server.start()
            yield server.create_database(NAME)
        finally:
            server.stop()


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    first = LAST - timedelta(days=60 if arguments.parse_args().quick else 730)
    logging.disable(logging.CRITICAL)
    with database() as url:
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = url.replace("postgresql://", "postgres://")
        schema.upgrade()
        with psycopg.connect(url) as connection:
            print(f"edition of TimescaleDB: {layout.edition(connection) or 'none, native partitions'}")
            fill(connection, first)
            measure(connection)


if __name__ == "__main__":
    main()

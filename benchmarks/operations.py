"""Statistics and watchdog on 100,000 runs with 1,000,000 task instances, each beside a plain full scan in the same run.

Starts a private PostgreSQL with Airflow's real schema and a synthetic history (about a minute), prints the figures, and
stops it. Exit code 1 when the roll-up differs from the second count in a single digit, when the hourly job takes 5 s or
more, or a watchdog query 300 ms or more. `--quick` takes a tenth of the history.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.history import History, fill, migrate
from benchmarks.recount import recount, stored
from include.operations.metadata import metadata
from include.operations.statistics.rollup import roll_up
from include.operations.watchdog import metadata_checks, thresholds
from include.warehouse import schema
from local.servers import PostgresServer

ROUNDS = 5
HOURLY_S = 5.0
QUERY_MS = 300.0
# A query without its indexes is not waited for longer.
PATIENCE = timedelta(seconds=10)
END = datetime(2026, 6, 25, 11, 50, tzinfo=UTC)

# What one would write first: every bucket of every length anew, from all rows. It labels nothing and keeps nothing of
# what was cleaned, so it does less.
PLAIN = """
with tries as (
  select dag_id, try_number, start_date from task_instance where start_date is not null
  union all select dag_id, try_number, start_date from task_instance_history where start_date is not null
)
select count(*) from (
  select g, date_trunc(g, end_date, 'UTC'), coalesce(dag_id, '*'), count(*), count(*) filter (where state = 'success'),
    avg(extract(epoch from end_date - start_date)), min(end_date - start_date), max(end_date - start_date),
    percentile_cont(0.5) within group (order by extract(epoch from end_date - start_date)),
    percentile_cont(0.95) within group (order by extract(epoch from end_date - start_date))
  from dag_run, unnest(array['hour', 'day', 'week', 'month']) as g where state in ('success', 'failed')
  group by grouping sets ((1, 2, dag_id), (1, 2))
  union all
  select g, date_trunc(g, start_date, 'UTC'), coalesce(dag_id, '*'), count(*), count(*) filter (where try_number > 1),
    null, null, null, null, null
  from tries, unnest(array['hour', 'day', 'week', 'month']) as g group by grouping sets ((1, 2, dag_id), (1, 2))
) as bucket
"""


def timed(work: Callable[[], object]) -> float:
    """Seconds one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds of some calls."""
    return statistics.median(timed(work) for _ in range(rounds))


def _plain(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("set work_mem = '64MB'")
        connection.execute(PLAIN)


def _statistics(metadata_url: str, warehouse_url: str) -> bool:
    """Time the roll-up, then compare what it wrote with the second count."""
    # An hour before the end, as it was then: what came later is rolled up by the hourly job.
    first = timed(lambda: roll_up(now=END))
    again = median(lambda: roll_up(now=END))
    hourly = []
    for _ in range(ROUNDS):
        with psycopg.connect(warehouse_url) as connection:
            connection.execute(
                "delete from ops.workflow_run where ended_at >= %(at)s", {"at": END - timedelta(minutes=50)}
            )
            connection.execute(
                "delete from ops.workflow_stats where grain = 'hour' and bucket >= %(at)s",
                {"at": END - timedelta(minutes=50)},
            )
        hourly.append(timed(lambda: roll_up(now=END)))
    plain = median(lambda: _plain(metadata_url), 3)
    begun = time.perf_counter()
    equal = recount(metadata_url, warehouse_url) == stored(warehouse_url)
    counted = time.perf_counter() - begun
    hour = statistics.median(hourly)
    print(f"  hourly job, one new hour      {hour:8.2f} s   (allowed {HOURLY_S:.0f})")
    print(f"  hourly job, nothing new       {again:8.2f} s")
    print(f"  first job: all history        {first:8.2f} s")
    print(f"  plain full scan               {plain:8.2f} s   {plain / hour:.1f} times the hourly job")
    print(f"  second count in plain Python  {counted:8.2f} s   {'equal to the last digit' if equal else 'DIFFERENT'}")
    return equal and hour < HOURLY_S


class _Timed(metadata_checks.Metadata):
    """Keeps the time of each query."""

    __slots__ = ()
    seconds: list[float] = []  # noqa: RUF012 - one list for all looks of this process

    def rows(self, query: str, **values: Any) -> metadata_checks.Rows:
        begun = time.perf_counter()
        found = super().rows(query, **values)
        self.seconds.append(time.perf_counter() - begun)
        return found


def _watchdog() -> bool:
    """Time the slowest query of each check, as it is and with the indexes hidden."""
    limits, _ = thresholds.load({})
    good = True
    for name, (check, _) in metadata_checks.CHECKS.items():
        slowest = [_slowest(check, limits, scan=False) for _ in range(ROUNDS)]
        with_index = statistics.median(slowest) * 1000
        try:
            scan = f"{_slowest(check, limits, scan=True) * 1000:8.1f} ms"
        except psycopg.errors.QueryCanceled:
            scan = f"over {PATIENCE.seconds} s"
        good = good and with_index < QUERY_MS
        print(f"  watchdog {name:<20} {with_index:8.1f} ms  (allowed {QUERY_MS:.0f}; plain scan {scan})")
    return good


def _slowest(check: Any, limits: Any, *, scan: bool) -> float:
    _Timed.seconds.clear()
    with metadata(statement_timeout=PATIENCE) as connection:
        if scan:
            connection.execute(
                "set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off"
            )
        list(check(_Timed(connection, END, limits)))
    return max(_Timed.seconds, default=0.0)


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the history")
    history = History(end=END, runs=10_000) if parser.parse_args().quick else History(end=END)
    with tempfile.TemporaryDirectory(prefix="bench-ops-") as directory:
        server = PostgresServer(Path(directory), usual_port=False)
        try:
            server.start()
            migrate(server.url_of("airflow"), Path(directory) / "airflow")
            took = timed(lambda: fill(server.url_of("airflow", "postgres"), history))
            reader = server.ensure_metadata_reader()
            os.environ["AIRFLOW_CONN_AIRFLOW_METADATA"] = reader.replace("postgresql://", "postgres://")
            os.environ["AIRFLOW_CONN_WAREHOUSE"] = server.url.replace("postgresql://", "postgres://")
            logging.getLogger("alembic").setLevel(logging.WARNING)
            schema.upgrade()
            print(f"{history.runs:,} runs, {history.runs * history.tasks:,} task instances, made in {took:.0f} s")
            good = all([_statistics(server.url_of("airflow"), server.url), _watchdog()])
        finally:
            server.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

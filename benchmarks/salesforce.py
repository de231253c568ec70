"""A sync of Salesforce beside other ways to do it, on the same simulator and database; `make bench-salesforce`.

Starts a private PostgreSQL and a private simulator and stops both. Every way runs in a process of its own, without
Airflow. CPU seconds are its own without imports, and those of all processes of PostgreSQL (for Singer imports, too: tap
and target are programs). The simulator's CPU is not counted, but shares the machine. Peak memory is that of the whole
process with its imports, and of tap and target together.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psutil
import psycopg
from psycopg import sql

from benchmarks import salesforce_singer
from include.connections import WAREHOUSE
from include.warehouse import schema
from local.layout import ROOT, STATE_DIR
from local.salesforce.testing import SalesforceServer
from local.servers import PostgresServer

_REQUIREMENTS = Path(__file__).with_name("requirements-salesforce.txt")
# So often our way and the bare ones are run.
_TURNS = 3
# Of the issue: rows per CPU-second beside the best peer, and beside a bare COPY; peak memory; a sync without changes.
TIMES_PEER, OF_BARE, PEAK_MB, NO_CHANGE_S = 5.0, 0.9, 100.0, 10.0


@dataclass(frozen=True)
class Figure:
    """What one way took."""

    rows: int
    seconds: float
    client_cpu: float
    server_cpu: float
    peak_mb: float
    before_mb: float
    calls: int

    @property
    def per_cpu(self) -> float:
        """Rows per CPU-second of client and database together."""
        return self.rows / max(self.client_cpu + self.server_cpu, 0.001)

    def line(self, name: str) -> str:
        """One line of the table."""
        speed = self.rows / max(self.seconds, 0.001)
        cpu = f"{self.client_cpu:6.1f} + {self.server_cpu:5.1f}"
        return f"{name:30} {self.rows:8,} {speed:9,.0f} {cpu} {self.per_cpu:10,.0f} {self.peak_mb:6.0f} {self.calls:6,}"

    def short(self, name: str) -> str:
        """One line about a run that had nothing to do."""
        cpu = self.client_cpu + self.server_cpu
        return f"{name:30} {self.rows:8,} {self.seconds:9.1f} s {cpu:10.1f} CPU s {self.calls:18,}"


def widen(salesforce: SalesforceServer, rows: int) -> int:
    """Give volunteers affiliations until there are so many, each with another organisation; return their number."""
    store = salesforce.store
    people = [r["Id"] for r in store.rows("Contact") if r["Contact_Type__c"] == "Volunteer" and not r["IsDeleted"]]
    kinds = ("Household", "School", "School District")
    accounts = [r["Id"] for r in store.rows("Account") if r["Type"] not in kinds and not r["IsDeleted"]]
    pairs = itertools.islice(itertools.product(people, accounts), rows)
    made = 0
    while chunk := list(itertools.islice(pairs, 20_000)):
        made += len(
            store.insert_many(
                "npe5__Affiliation__c",
                [
                    {
                        "npe5__Contact__c": person,
                        "npe5__Organization__c": account,
                        "npe5__Status__c": "Current",
                        "npe5__Role__c": "Employee",
                        "npe5__StartDate__c": "2024-02-29",
                    }
                    for person, account in chunk
                ],
            )
        )
    return made


class Bench:
    """One simulator and one PostgreSQL."""

    def __init__(self, salesforce: SalesforceServer, postgres: PostgresServer, scratch: Path) -> None:
        self._salesforce, self._postgres, self._scratch = salesforce, postgres, scratch
        parts = urlsplit(salesforce.connection_uri)
        extra = dict(parse_qsl(parts.query))
        self._connection = {"extra_dejson": extra, "login": parts.username, "password": parts.password}

    def pass_an_hour(self) -> None:
        """Move the organisation's clock."""
        self._salesforce.clock.move(3600)

    def warehouse(self) -> str:
        """Return the URL of a migrated warehouse."""
        url = self._postgres.create_database("ours")
        os.environ[f"AIRFLOW_CONN_{WAREHOUSE.upper()}"] = url.replace("postgresql://", "postgres://")
        logging.disable(logging.INFO)
        schema.upgrade()
        return url

    def copy(self, url: str, name: str) -> str:
        """Return the URL of a copy of a database that nobody uses now."""
        with psycopg.connect(self._postgres.admin_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER warehouse").format(
                    sql.Identifier(name), sql.Identifier(url.rpartition("/")[2])
                )
            )
        return self._postgres.url_of(name, "warehouse")

    def postgres_url(self, name: str) -> str:
        """Return the URL of a database that is there."""
        return self._postgres.url_of(name, "warehouse")

    def database(self, name: str) -> str:
        """Return the URL of a new, empty database."""
        return self._postgres.create_database(name)

    def run(self, way: str, database: str, python: Path = Path(sys.executable)) -> Figure:
        """Run one way to its end. Raises CalledProcessError with what it printed."""
        self._salesforce.forget_requests()
        before = self._server_cpu()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATABASE": database,
            "SALESFORCE": json.dumps(self._connection),
            "SCRATCH": str(self._scratch),
            "INSTANCE": self._salesforce.instance_url,
            "TOKEN": self._salesforce.token(),
        }
        command = [str(python), "-m", "benchmarks.salesforce_peers", way]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", file=sys.stderr)
            done.check_returncode()
        found = json.loads(done.stdout.strip().splitlines()[-1])
        calls = sum(int(each["calls"]) for each in self._salesforce.requests())
        cpu = self._server_cpu() - before
        return Figure(
            int(found["rows"]), found["seconds"], found["cpu"], cpu, found["peak_mb"], found["before_mb"], calls
        )

    def run_singer(self, database: str, *, again: bool = False) -> Figure:
        """Run tap and target; `again`: since the newest modstamp that is there."""
        tap, target = salesforce_singer.programs()
        before = self._server_cpu()
        rows, seconds, cpu, peak = salesforce_singer.run(self._salesforce, database, tap, target, again=again)
        calls = sum(int(each["calls"]) for each in self._salesforce.requests())
        return Figure(rows, seconds, cpu, self._server_cpu() - before, peak, 0, calls)

    def _server_cpu(self) -> float:
        """CPU seconds of PostgreSQL so far, ended sessions included."""
        head = psutil.Process(self._postgres.pid)
        total = 0.0
        for process in [head, *head.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                if process == head:
                    total += times.children_user + times.children_system
        return total


def dlt_python() -> Path:
    """Return the interpreter of an environment that has dlt; made at the first call."""
    folder = STATE_DIR / "bench-salesforce"
    python = folder / "bin" / "python"
    if not python.exists():
        print("installing dlt into an environment of its own ...", flush=True)
        venv.create(folder, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(_REQUIREMENTS)], check=True)
    return python


def main() -> None:
    """Run all ways and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--percent", type=float, default=10, help="size of the organisation")
    arguments.add_argument("--rows", type=int, default=200_000, help="affiliations of volunteers besides")
    arguments.add_argument("--own-only", action="store_true", help="install nothing")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, SalesforceServer() as salesforce:
        postgres = PostgresServer(Path(name), usual_port=False)
        try:
            postgres.start()
            records = sum(salesforce.load(given.percent).values())
            added = widen(salesforce, given.rows)
            print(f"organisation of {records + added:,} records, {added:,} of them affiliations of volunteers\n")
            compare(Bench(salesforce, postgres, Path(name)), own_only=given.own_only)
        finally:
            postgres.stop()


def compare(bench: Bench, *, own_only: bool) -> None:
    """Run every way, print its line, and how far the goals are reached."""
    print(f"{'':30} {'rows':>8} {'rows/s':>9} {'CPU s: own + PG':>14} {'rows/CPU-s':>10} {'MB':>6} {'calls':>6}")
    warehouse = bench.warehouse()
    first = bench.run("others", warehouse)
    ours, here, bare = [], [], []
    # In turn, and of each the middle one: the machine has other work, too.
    for turn in range(_TURNS):
        ours.append(bench.run("ours", bench.copy(warehouse, f"ours_{turn}")))
        here.append(bench.run("bare_here", bench.copy(warehouse, f"bare_here_{turn}")))
        bare.append(bench.run("bare", bench.database(f"bare_{turn}")))
    found = {
        "this repository": _middle(ours),
        "bare COPY + upsert": _middle(bare),
        "the same into our table": _middle(here),
    }
    for name, figure in {"all other objects, first time": first, **found}.items():
        print(figure.line(name), flush=True)
    ways: dict[str, Callable[[], Figure]] = {
        "one by one with an ORM": lambda: bench.run("one_by_one", bench.database("orm"))
    }
    if not own_only:
        ways["dlt, merge"] = lambda: bench.run("dlt", bench.database("dlt"), dlt_python())
        ways["Singer tap | target"] = lambda: bench.run_singer(bench.database("singer"))
    peers = {}
    for name, way in ways.items():
        peers[name] = way()
        print(peers[name].line(name), flush=True)
    _print_goals(found, peers)
    _compare_quiet(bench, warehouse, own_only=own_only)


def _print_goals(found: dict[str, Figure], peers: dict[str, Figure]) -> None:
    ours, bare, here = found.values()
    best = max(each.per_cpu for each in peers.values())
    print(f"\nrows per CPU-second: {ours.per_cpu / best:.1f} times the best peer (goal {TIMES_PEER:.0f})")
    print(
        f"                     {ours.per_cpu / bare.per_cpu:.0%} of a bare COPY + upsert (goal {OF_BARE:.0%}),"
        f" {ours.per_cpu / here.per_cpu:.0%} of one into our table"
    )
    print(f"peak memory          {ours.peak_mb:.0f} MB, {ours.before_mb:.0f} of them imports (goal {PEAK_MB:.0f})")


def _compare_quiet(bench: Bench, warehouse: str, *, own_only: bool) -> None:
    """Runs that have nothing to do. What was changed within the look-back is read once more; an hour later nothing."""
    database = bench.copy(warehouse, "quiet")
    for _ in range(3):
        everything = bench.run("everything", database)
        bench.pass_an_hour()
    print(f"\n{'without changes':30} {'rows':>8} {'':>11} {'':>16} {'calls':>18}")
    print(bench.run("ours", database).short("this repository, one object"), flush=True)
    if not own_only:
        url = bench.postgres_url("dlt")
        print(bench.run("dlt_again", url, dlt_python()).short("dlt, one object"), flush=True)
        url = bench.postgres_url("singer")
        print(bench.run_singer(url, again=True).short("Singer, one object"), flush=True)
    print(everything.short("this repository, all objects"))
    print(f"\nall, no change       {everything.seconds:.1f} s with {everything.calls} calls (goal {NO_CHANGE_S:.0f} s)")


def _middle(figures: list[Figure]) -> Figure:
    return sorted(figures, key=lambda each: each.per_cpu)[len(figures) // 2]


if __name__ == "__main__":
    main()

"""A sync of Salesforce beside other ways to do it, on the same simulator and database; `make bench-salesforce`.

Starts a private PostgreSQL and a private simulator and stops both. Every way runs in a process of its own; CPU seconds
are its own without imports, and those of PostgreSQL. The simulator's CPU is not counted, but shares the machine.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import salesforce_singer
from include.connections import WAREHOUSE
from include.warehouse import schema
from local.layout import ROOT, STATE_DIR
from local.salesforce.testing import SalesforceServer
from local.servers import PostgresServer

_REQUIREMENTS = Path(__file__).with_name("requirements-salesforce.txt")
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
        return f"{name:22} {self.rows:8,} {speed:9,.0f} {cpu} {self.per_cpu:10,.0f} {self.peak_mb:6.0f} {self.calls:6,}"


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

    def __init__(self, salesforce: SalesforceServer, postgres: PostgresServer) -> None:
        self._salesforce, self._postgres = salesforce, postgres

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

    def run(self, way: str, database: str, python: Path = Path(sys.executable)) -> Figure:
        """Run one way to its end. Raises CalledProcessError with what it printed."""
        self._salesforce.forget_requests()
        before = self._server_cpu()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATABASE": database,
            "SALESFORCE": self._salesforce.connection_uri,
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

    def run_singer(self, database: str) -> Figure:
        """Run tap and target; their imports count, they are programs."""
        tap, target = salesforce_singer.programs()
        before = self._server_cpu()
        rows, seconds, cpu, peak = salesforce_singer.run(self._salesforce, database, tap, target)
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
            print(
                f"{'':22} {'rows':>8} {'rows/s':>9} {'CPU s: own + PG':>14} {'rows/CPU-s':>10} {'MB':>6} {'calls':>6}"
            )
            compare(Bench(salesforce, postgres), postgres, own_only=given.own_only)
        finally:
            postgres.stop()


def compare(bench: Bench, postgres: PostgresServer, *, own_only: bool) -> None:
    """Run every way, print its line, and how far the goals are reached."""
    warehouse = bench.warehouse()
    first = bench.run("others", warehouse)
    ours = bench.run("ours", warehouse)
    print(ours.line("this repository"), flush=True)
    bare = bench.run("bare", postgres.create_database("bare"))
    print(bare.line("bare COPY + upsert"), flush=True)
    peers = {"one by one with an ORM": bench.run("one_by_one", postgres.create_database("orm"))}
    print(peers["one by one with an ORM"].line("one by one with an ORM"), flush=True)
    if not own_only:
        peers["dlt, merge"] = bench.run("dlt", postgres.create_database("dlt"), dlt_python())
        print(peers["dlt, merge"].line("dlt, merge"), flush=True)
        peers["Singer tap | target"] = bench.run_singer(postgres.create_database("singer"))
        print(peers["Singer tap | target"].line("Singer tap | target"), flush=True)
    print(first.line("all other objects"), flush=True)
    # What was changed within the look-back is read once more; an hour later nothing is.
    for _ in range(2):
        bench.pass_an_hour()
        quiet = bench.run("everything", warehouse)
    print(quiet.line("all, no change"), flush=True)
    best = max(each.per_cpu for each in peers.values())
    print(f"\nrows per CPU-second: {ours.per_cpu / best:.1f} times the best peer (goal {TIMES_PEER:.0f})")
    print(f"                     {ours.per_cpu / bare.per_cpu:.0%} of a bare COPY + upsert (goal {OF_BARE:.0%})")
    print(f"peak memory          {ours.peak_mb:.0f} MB, {ours.before_mb:.0f} of them imports (goal {PEAK_MB:.0f})")
    print(f"no change, all       {quiet.seconds:.1f} s with {quiet.calls} calls (goal {NO_CHANGE_S:.0f} s)")


if __name__ == "__main__":
    main()

"""From the end of a task to the message at the simulated Slack, through the real scheduler; and what a hang costs.

Three ways: a task that raises (its own process tells), one that is killed (the DAG processor tells), one that raises
while Slack answers nothing for 60 s (how much longer the task stays `running`).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from include.operations.airflow_api import AirflowApi
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem

GOAL_S = 5.0


class Bench:
    """The system under measurement."""

    def __init__(self, system: AirflowSystem, rounds: int) -> None:
        self.system = system
        self.rounds = rounds
        self.sink = AlertSink.attach(system.env)
        self.api = AirflowApi.from_environment(system.env)

    def run(self, dag_id: str) -> dict[str, Any]:
        """Run a DAG to its end; returns its task as the REST API shows it."""
        run = self.api.wait(self.api.trigger(dag_id), timeout=120, poll=0.1)
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run.run_id}/taskInstances/work"
        found: dict[str, Any] = self.system.api.get(path).raise_for_status().json()
        return found

    def failed_at(self, dag_id: str) -> float:
        """When the task's own code ended with its error."""
        with psycopg.connect(self.system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
            row = connection.execute("select occurred_at from ops.run_error where dag_id = %s", [dag_id]).fetchone()
        if row is None:
            raise AssertionError(f"{dag_id} left no error row")
        return float(row[0].timestamp())

    def told_at(self, dag_id: str) -> float:
        """When the message arrived."""
        return float(self.sink.wait(lambda sink: self._messages(sink, dag_id), 60)[0]["received_at"])

    def _messages(self, sink: AlertSink, dag_id: str) -> list[dict[str, Any]]:
        return [each for each in sink.slack_messages() if f"{dag_id}" in each["text"]]

    def raising(self, prefix: str, *, told: bool) -> tuple[list[float], list[float]]:
        """Seconds from the error to the message, and to the last line of the task's log: the end of its callback.

        Not to the task's end: Airflow's supervisor can miss the exit of the process and then sleeps for a heartbeat,
        5 s, with and without a callback.
        """
        messages, ends = [], []
        for number in range(self.rounds):
            dag_id = f"{prefix}_{number:02}"
            self.run(dag_id)
            failed = self.failed_at(dag_id)
            ends.append(self.last_word(dag_id) - failed)
            if told:
                messages.append(self.told_at(dag_id) - failed)
        return messages, ends

    def last_word(self, dag_id: str) -> float:
        """When the task's process wrote its last line."""
        (log,) = (self.system.state_dir / "airflow" / "logs" / f"dag_id={dag_id}").rglob("attempt=1.log")
        line = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
        return datetime.fromisoformat(line["timestamp"]).timestamp()

    def killed(self) -> list[float]:
        """Seconds from the end of the killed task, as Airflow saw it, to the message."""
        found = []
        for number in range(self.rounds):
            dag_id = f"is_killed_{number:02}"
            ended = datetime.fromisoformat(self.run(dag_id)["end_date"])
            found.append(self.told_at(dag_id) - ended.timestamp())
        return found


def main() -> None:
    """Measure and print; `python -m benchmarks.alerts [ROUNDS]`, at most 20."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    bundle = {
        "name": "benchmark",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(Path(__file__).with_name("alert_dags"))},
    }
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "ALERT_BURST_S": "0",
        "ALERT_CAP_PER_HOUR": "1000",
    }
    with tempfile.TemporaryDirectory() as folder, AirflowSystem(Path(folder), settings) as system:
        bench = Bench(system, rounds)
        _wait(lambda: len(bench.api.dags()) >= 60)
        raised, usual = bench.raising("raises", told=True)
        killed = bench.killed()
        bench.sink.behave("slack", "hang", seconds=60)
        _, hanging = bench.raising("raises_while_slack_hangs", told=False)
    print(f"from the end of a task to the message, {rounds} failures each, real scheduler:")
    _line("a task that raises", raised, f"goal: p95 below {GOAL_S:.0f} s")
    _line("a task that is killed", killed, "told by the DAG processor")
    print("from the error to the end of the callback, for which the task waits:")
    _line("Slack answers", usual, "the message is sent meanwhile")
    _line("Slack hangs for 60 s", hanging, f"goal: no task held up by more than {GOAL_S:.0f} s")


def _line(name: str, seconds: list[float], remark: str) -> None:
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    p50, worst = statistics.median(seconds), max(seconds)
    print(f"  {name:22} p50 {p50:5.2f} s  p95 {p95:5.2f} s  worst {worst:5.2f} s  ({remark})")


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the DAGs did not appear")
        time.sleep(0.5)


if __name__ == "__main__":
    main()

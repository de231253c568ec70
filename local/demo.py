"""`make demo`: the system, demo data, every pipeline once through the scheduler, and a table of what came out.

ONCE=1 ends after the table. DATA=file publishes the user's own interactions (any format `interactions publish`
reads) instead of generated ones. Whatever this command has started ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import commands, demo_analysis, demo_data, demo_figures, envfile, launcher
from local.airflow import child_environment
from local.demo_figures import Totals
from local.files import read_json, write_json
from local.launcher import Launch
from local.layout import ROOT

if TYPE_CHECKING:
    from include.operations.airflow_api import AirflowApi, Run

ROSTER, UPDATE = "organism_load_roster", "organism_incremental_update"
ASSESSMENTS, ANALYSIS = "organism_load_assessments", "organism_full_analysis"
REVIEW = "organism_intervention_review"
# In the order of their dependence; the others follow by name.
FIRST = (ROSTER, UPDATE, ASSESSMENTS, ANALYSIS)
# These are started by other pipelines or by people, for something particular.
NOT_ALONE = {
    ASSESSMENTS: "loads the file of assessments that you give it",
    REVIEW: "is started by a proposal",
    "vms_full_sync": "runs the syncs below whole, every night",
}
SYNC = "vms_sync_"
ROWS_IN = ("read", "rows", "rows_in", "extracted", "received")
ROWS_OUT = ("written", "loaded", "rows_out", "stored")
RUN_TIMEOUT = 900.0
DAGS_TIMEOUT = 120.0


class DemoError(Exception):
    """The demo cannot go on; the text is the one line to show."""


@dataclass
class Line:
    """One line of the summary."""

    dag_id: str
    state: str
    rows_in: int | None = None
    rows_out: int | None = None
    seconds: float | None = None
    where: str = ""


def demo(state_dir: Path, environ: Mapping[str, str]) -> int:
    """Run the demo. Exit code 1 when a pipeline has failed, or when not one event could be used."""
    own_data = Path(environ["DATA"]).expanduser() if environ.get("DATA") else None
    if own_data is not None:
        _must_be_usable(own_data)
    once = bool(environ.get("ONCE"))
    begun, since = time.monotonic(), datetime.now(UTC)
    code, farewell = 0, ""
    launch, headline = commands.start_or_attach(state_dir)
    print(headline)
    try:
        env = child_environment(envfile.read(state_dir / "env"))
        # The connections' factories and the settings of the stream read them here, as they do in a task.
        os.environ.update(env)
        work = Demo(state_dir, env, own_data, since)
        lines = work.run()
        ends = once and launch is not None
        print(_table(lines, "where to look, after `make up`" if ends else "where to look"))
        print(work.found_out, end="")
        print(_dead_letters(work.totals, ends=ends))
        if any(line.state == "failed" for line in lines) or (work.totals is not None and work.totals.all_dead):
            code = 1
        print(f"the demo took {time.monotonic() - begun:.0f} s")
        if ends:
            farewell = commands.summary(state_dir, "`make up` brings it back, with these data:", runs=False)
        else:
            print(commands.summary(state_dir, "look around"))
        if not once:
            _wait(state_dir, ours=launch is not None)
    except KeyboardInterrupt:
        print()
    finally:
        _end(launch)
        print(farewell, end="")
    return code


def _must_be_usable(path: Path) -> None:
    """Refuse a file without a single row that can be read, before anything is started for it."""
    from include.operations.errors import InputRejected
    from include.operations.explain import explain
    from include.organism.event_files import read_rows

    if not path.is_file():
        raise DemoError(f"DATA={path} is not a file")
    first = ""
    try:
        with path.open("rb") as file:
            for row in read_rows(file):
                if not row.problem:
                    return
                first = first or f"line {row.line}: {row.problem}"
    except InputRejected as error:
        what, what_to_do = explain(error)
        raise DemoError(f"DATA={path} cannot be used: {what}. What to do: {what_to_do}") from error
    except OSError as error:
        raise DemoError(f"DATA={path} cannot be read: {error.strerror}") from error
    raise DemoError(f"DATA={path} cannot be used: {f'no row can be read | {first}' if first else 'it has no rows'}")


def _wait(state_dir: Path, *, ours: bool) -> None:
    print(
        "Ctrl-C stops everything" if ours else "Ctrl-C ends the demo; the system was up before and stays up", flush=True
    )
    while launcher.is_running(state_dir):
        time.sleep(0.5)
    print("the system was stopped")


def _end(launch: Launch | None) -> None:
    if launch is not None:
        begun = time.monotonic()
        print("stopping what the demo started", flush=True)
        launch.stop()
        print(f"stopped after {time.monotonic() - begun:.1f} s; data are kept for the next start")


class Demo:
    """Data in, pipelines run, figures out."""

    def __init__(self, state_dir: Path, env: dict[str, str], own_data: Path | None, since: datetime) -> None:
        self._state_dir = state_dir
        self._since = since
        self._env = env
        self._own_data = own_data
        # What the graph updates came to; None when the warehouse could not tell.
        self.totals: Totals | None = None
        # What the analysis says, in words.
        self.found_out = ""

    def run(self) -> list[Line]:
        """Do all of it."""
        from include.operations.airflow_api import AirflowApi

        with AirflowApi.from_environment(self._env) as api:
            known = self._wait_for_dags(api)
            roster, events = self._data()
            lines: list[Line] = []
            if self._own_data is None and ROSTER in known:
                lines.append(self._run_dag(api, ROSTER, {"path": str(roster)}))
            since = self._warehouse_time()
            self._publish(events)
            if UPDATE in known:
                lines.append(self._update_graph(api, since))
            if self._own_data is None and {ASSESSMENTS, ANALYSIS} <= known:
                lines += self._analyse(api)
            done = {line.dag_id for line in lines}
            for dag_id in [*FIRST, *sorted(known - set(FIRST))]:
                if dag_id not in known or dag_id in done:
                    continue
                if dag_id in NOT_ALONE:
                    lines.append(Line(dag_id, "skipped", where=NOT_ALONE[dag_id]))
                else:
                    lines.append(self._run_dag(api, dag_id, {}))
            return lines

    # --- data ------------------------------------------------------------------------------------
    def _data(self) -> tuple[Path, Path]:
        """Return roster and interactions; each demo brings new events of the same people."""
        if self._own_data is not None:
            return Path(), self._own_data
        counter = self._state_dir / "demo" / "count.json"
        seed = int(read_json(counter).get("seed", 6)) + 1
        begun = time.monotonic()
        paths = demo_data.write(self._state_dir / "demo", seed=seed, end=int(time.time()))
        write_json(counter, {"seed": seed})
        _done("demo data", begun, f"generated, seed {seed}")
        return paths

    def _publish(self, events: Path) -> None:
        begun = time.monotonic()
        # Old events are shifted so that the last one happens now: otherwise all weights that decay with time are zero.
        shift = ["--until", "now"] if self._own_data is not None else []
        self._command("interactions", "publish", str(events), *shift, accept=(0, 3))
        _done("published", begun, events.name)

    def _past(self) -> Path:
        """Give the people a year of measurements, and return the file of their answers."""
        begun = time.monotonic()
        answers = self._state_dir / "demo" / "assessments.csv"
        with self._asked_of_the_warehouse():
            added, rows = demo_analysis.seed(answers)
        _done("a year before", begun, f"{added:,} measurements of weeks added, {rows:,} answers to load")
        return answers

    def _command(self, *arguments: str, accept: Sequence[int] = (0,)) -> None:
        command = [sys.executable, "-m", "include.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self._env, check=False)
        if done.returncode not in accept:
            raise DemoError(f"`{' '.join(arguments[:2])}` ended with code {done.returncode}")

    # --- pipelines -------------------------------------------------------------------------------
    def _wait_for_dags(self, api: AirflowApi) -> set[str]:
        """Return the DAGs' ids once the dag-processor has read every file."""
        begun = time.monotonic()
        files = {p for p in (ROOT / "dags").rglob("*.py") if p.stem != "__init__" and "dag" in p.read_text()}
        known: set[str] = set()
        while time.monotonic() - begun < DAGS_TIMEOUT:
            before, known = known, {dag.dag_id for dag in api.dags()}
            if len(known) >= len(files) and known == before:
                _done("pipelines", begun, f"{len(known)} read")
                return known
            time.sleep(1)
        if not known:
            raise DemoError(
                f"Airflow has not read a single DAG | log: {self._state_dir / 'logs' / 'dag-processor.log'}"
            )
        return known

    def _run_dag(self, api: AirflowApi, dag_id: str, conf: Mapping[str, Any]) -> Line:
        from include.operations.airflow_api import AirflowApiError

        begun = time.monotonic()
        try:
            run = self._begun_by_itself(api, dag_id) or api.trigger(dag_id, conf)
            run = api.wait(run, timeout=RUN_TIMEOUT, poll=0.3)
        except AirflowApiError as error:
            if not launcher.is_running(self._state_dir):
                raise DemoError("the system was stopped during the demo") from error
            _done(dag_id, begun, str(error))
            return Line(dag_id, "failed", seconds=time.monotonic() - begun, where=str(error))
        line = Line(dag_id, run.state, *_rows(api, run), run.seconds, f"{self._env['AIRFLOW_API_URL']}/dags/{dag_id}")
        _done(dag_id, begun, run.state)
        return line

    def _begun_by_itself(self, api: AirflowApi, dag_id: str) -> Run | None:
        """The first run of a sync since the demo's start: Airflow starts at once what it has missed, and that loads."""
        return next(iter(api.runs(dag_id, self._since)), None) if dag_id.startswith(SYNC) else None

    def _warehouse_time(self) -> datetime:
        with self._asked_of_the_warehouse():
            return demo_figures.now()

    @contextmanager
    def _asked_of_the_warehouse(self) -> Iterator[None]:
        import psycopg

        from include.cli import airflow_log
        from include.operations.explain import explain

        # Connections are resolved by Airflow, whose log must not get into the summary.
        airflow_log.to_stderr()
        try:
            yield
        except psycopg.Error as error:
            raise DemoError(f"warehouse: {explain(error).what}") from error

    def _update_graph(self, api: AirflowApi, since: datetime) -> Line:
        """Run the update, and sum what the graph updates since then came to.

        The pipeline's own five-minute tick may take some of the events before our run does.
        """
        import psycopg

        from include.operations.airflow_api import AirflowApiError

        line = self._run_dag(api, UPDATE, {})
        try:
            # A tick that was under way already has started at most one time limit earlier.
            ids = [run.run_id for run in api.runs(UPDATE, since - timedelta(seconds=RUN_TIMEOUT))]
            self.totals = demo_figures.totals(since, ids)
        except (AirflowApiError, psycopg.Error):
            return line
        line.rows_in, line.rows_out, _ = self.totals
        return line

    def _analyse(self, api: AirflowApi) -> list[Line]:
        """The 6-hour pipeline, twice: nothing is proposed before two refreshes agree about the sign of an effect."""
        loaded = self._run_dag(api, ASSESSMENTS, {"path": str(self._past())})
        for _ in range(2):
            line = self._run_dag(api, ANALYSIS, {})
            if line.state == "failed":
                return [loaded, line]
        with self._asked_of_the_warehouse():
            found = demo_analysis.newest(self._env["AIRFLOW_API_URL"])
        if found is None:
            return [loaded, line]
        line.where, self.found_out = found.short, found.text
        return [loaded, line, *([Line(REVIEW, "waiting", where=found.waiting)] if found.waiting else [])]


def _rows(api: AirflowApi, run: Run) -> tuple[int | None, int | None]:
    """Read the figures the tasks return: what came in first, what went out last."""
    from include.operations.airflow_api import AirflowApiError

    rows_in: int | None = None
    rows_out: int | None = None
    for task in api.task_instances(run):
        try:
            result = api.xcom(run, task.task_id, map_index=task.map_index)
        except AirflowApiError:
            continue  # a task without a result
        if isinstance(result, dict):
            rows_in = _number(result, ROWS_IN) if rows_in is None else rows_in
            found = _number(result, ROWS_OUT)
            rows_out = rows_out if found is None else found
    return rows_in, rows_out


def _dead_letters(totals: Totals | None, *, ends: bool) -> str:
    """Say what became of the demo's events that could not be used, and where they are."""
    if totals is None or not totals.dead:
        return ""
    command = ".venv/bin/python -m local run -- .venv/bin/python -m include.cli deadletter list"
    how = f"{'`make up`, then ' if ends else ''}{command}"
    if totals.all_dead:
        return f"\nfailed: not one of {totals.read:,} events could be used; all are dead letters: {how}\n"
    return f"\n{totals.dead:,} events could not be used and wait as dead letters: {how}\n"


def _number(result: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((result[name] for name in names if isinstance(result.get(name), int)), None)


def _done(what: str, begun: float, detail: str) -> None:
    print(f"  {what:<28} {time.monotonic() - begun:5.1f} s  {detail}", flush=True)


def _table(lines: Sequence[Line], where: str = "where to look") -> str:
    """Return the summary as plain text that survives any terminal and any log."""
    head = ("pipeline", "state", "rows in", "rows out", "seconds", where)
    body = [
        (
            line.dag_id,
            line.state,
            "-" if line.rows_in is None else f"{line.rows_in:,}",
            "-" if line.rows_out is None else f"{line.rows_out:,}",
            "-" if line.seconds is None else f"{line.seconds:.1f}",
            line.where,
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [head, *body]) for column in range(len(head))]
    shown = []
    for row in [head, tuple("-" * width for width in widths), *body]:
        cells = [
            cell.rjust(w) if n in (2, 3, 4) else cell.ljust(w)
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        shown.append("  " + "  ".join(cells).rstrip())
    return "\n" + "\n".join(shown)


def main(state_dir: Path) -> int:
    """Run with the variables of this process."""
    return demo(state_dir, os.environ)

"""`dags` and `trigger`: Airflow's DAGs through its REST API."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Annotated, Any

import typer

from include.cli.output import print_table

if TYPE_CHECKING:
    from include.operations.airflow_api import AirflowApi, Run

app = typer.Typer(no_args_is_help=True, help="Airflow's DAGs.")
_FAILED = frozenset({"failed", "upstream_failed"})


@app.command("list")
def list_dags() -> None:
    """List the DAGs with schedule, state and next run."""
    from include.operations.airflow_api import AirflowApi

    with AirflowApi.from_environment() as api:
        rows = [
            (
                dag.dag_id,
                dag.schedule or "-",
                "import error" if dag.has_import_errors else "paused" if dag.is_paused else "on",
                dag.next_run or "-",
                " ".join(dag.tags),
            )
            for dag in api.dags()
        ]
    print_table(("dag", "schedule", "state", "next run", "tags"), rows)


def trigger(
    dag: Annotated[str, typer.Argument(help="Id of the DAG, see `dags list`.")],
    *,
    conf: Annotated[str | None, typer.Option(help="Params as a JSON object.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit code 1 when the run failed.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait.")] = 600,
) -> None:
    """Start a run of a DAG. A parameter that the DAG does not have is refused: Airflow would ignore it."""
    params = _object(conf)
    from include.operations.airflow_api import AirflowApi

    with AirflowApi.from_environment() as api:
        if params:
            _check_names(dag, params, api.params(dag))
        run = api.trigger(dag, params)
        print(f"{run.dag_id} {run.run_id}: {run.state}")
        if not wait:
            return
        run = api.wait(run, timeout=timeout, on_change=lambda now: print(f"{now.state}", file=sys.stderr))
        took = f" in {run.seconds:.1f} s" if run.seconds is not None else ""
        print(f"{run.dag_id} {run.run_id}: {run.state}{took}")
        if run.state != "success":
            print(f"error: {_blame(api, run)}", file=sys.stderr)
            raise typer.Exit(1)


def _check_names(dag: str, params: Mapping[str, Any], known: Set[str]) -> None:
    if unknown := sorted(params.keys() - known):
        names = ", ".join(map(repr, unknown))
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise typer.BadParameter(f"{dag} has no parameter {names}; {there}")


def _object(conf: str | None) -> dict[str, Any]:
    try:
        value = json.loads(conf) if conf is not None else {}
    except ValueError as error:
        raise typer.BadParameter(f"--conf is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--conf is not a JSON object")
    return value


def _blame(api: AirflowApi, run: Run) -> str:
    """Name the failed tasks."""
    tasks = [task for task in api.task_instances(run) if task.state in _FAILED]
    if not tasks:
        return f"{run.dag_id} failed although no task did: see the run in Airflow"
    names = (
        f"{task.task_id}{f'[{task.map_index}]' if task.map_index >= 0 else ''} ({task.state} after try {task.tries})"
        for task in tasks
    )
    return f"{run.dag_id} failed in {', '.join(names)}. What to do: read the log of the first one in Airflow"

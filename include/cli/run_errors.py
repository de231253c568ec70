"""`errors`: what failed, by kind and by run."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from include.cli import airflow_log
from include.cli.output import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Failed tries of tasks.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command()
def recent(
    *,
    hours: Annotated[float, typer.Option(min=0.01, help="How far to look back.")] = 24,
    dag: Annotated[str | None, typer.Option("--dag", help="Only this DAG.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many kinds, the most frequent first.")] = 20,
    as_json: _Json = False,
) -> None:
    """List the kinds of failures: equal class, code and place."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.operations import error_summary

    with warehouse() as connection:
        found = error_summary.recent(connection, timedelta(hours=hours), dag_id=dag, limit=limit)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    if found:
        header = ("class", "code", "service", "tries", "final", "last", "tasks", "message")
        rows = [
            (
                *(each.error_class, each.code, each.service or "-", each.errors, each.final),
                *(f"{each.last_at:%Y-%m-%d %H:%M:%S}", ",".join(each.tasks), each.message),
            )
            for each in found
        ]
        print_table(header, rows)
    print(f"{sum(each.errors for each in found):,} failed tries of {len(found)} kinds in the last {hours:g} h")


@app.command()
def run(
    dag: Annotated[str, typer.Argument(help="DAG id.")],
    run_id: Annotated[str, typer.Argument(help="Run id.")],
    *,
    as_json: _Json = False,
) -> None:
    """Sum up the failed tries of one run: totals, by class, and the first of them."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.operations import error_summary

    with warehouse() as connection:
        found = error_summary.summary(connection, dag, run_id, samples=10)
    if as_json:
        print_json(asdict(found))
        return
    if not found.errors:
        print("no failed tries")
        return
    header = ("task", "try", "class", "code", "service", "next", "message")
    rows = [
        (
            *(_task(each["task_id"], each["map_index"]), each["try_number"], each["error_class"], each["code"]),
            *(each["service"] or "-", each["next_step"], each["message"]),
        )
        for each in found.first
    ]
    print_table(header, rows)
    classes = ", ".join(f"{name} {count}" for name, count in found.by_class.items())
    print(f"{found.errors:,} failed tries, {found.final} of them final: {classes}")


def _task(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"

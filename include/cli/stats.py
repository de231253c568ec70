"""`stats`: the roll-ups of runs in the warehouse."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Literal

import typer

from include.cli import airflow_log
from include.cli.output import print_json, print_table
from include.operations.words import counted

app = typer.Typer(no_args_is_help=True, help="Statistics of runs.")

_QUERY = """
select bucket, total, ok, failed, tries, retries, restarts, clears, avg_s, min_s, max_s, p50_s, p95_s, errors
from ops.workflow_stats where grain = %(grain)s and dag_id = %(dag)s order by bucket desc limit %(limit)s
"""


@app.command()
def show(
    *,
    grain: Annotated[Literal["hour", "day", "week", "month"], typer.Option(help="Length of a bucket.")] = "day",
    dag: Annotated[str, typer.Option(help="One DAG; * is all of them together.")] = "*",
    limit: Annotated[int, typer.Option(min=1, help="So many buckets, newest first.")] = 14,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show runs, tries, durations and errors by hour, day, week (from Monday) or month, in UTC."""
    airflow_log.to_stderr()
    from psycopg.rows import dict_row

    from include.connections import warehouse
    from include.operations.doctor import Level, breakers
    from include.operations.statistics.report import duration

    with warehouse() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_QUERY, {"grain": grain, "dag": dag, "limit": limit}).fetchall()
    if as_json:
        print_json([{**row, "bucket": row["bucket"].astimezone(UTC).isoformat()} for row in rows])
        return
    shown = [
        (
            f"{row['bucket'].astimezone(UTC):%Y-%m-%d %H:%M}",
            *(f"{row[name]:,}" for name in ("total", "ok", "failed", "tries", "retries", "restarts", "clears")),
            duration(row["p50_s"]),
            duration(row["p95_s"]),
            ", ".join(f"{name} {count:,}" for name, count in sorted(row["errors"].items())) or "-",
        )
        for row in rows
    ]
    header = ("from", "runs", "ok", "failed", "tries", "retries", "restarts", "clears", "median", "p95", "errors")
    print_table(header, shown)
    for finding in breakers.check():
        if finding.level is Level.WARN:
            print(f"breaker {finding.found}")


@app.command()
def backfill() -> None:
    """Count all history Airflow's metadata still hold; adds what is missing, and never takes anything away."""
    airflow_log.to_stderr()
    from include.operations.statistics.rollup import roll_up

    done = roll_up(backfill=True)
    changed = f"{counted(done.hours, 'hour')} changed"
    print(f"{counted(done.runs, 'run')} since {done.since:%Y-%m-%d}, {changed}, {done.seconds:.1f} s")


@app.command()
def grants(role: Annotated[str, typer.Option(help="Name of the read-only role.")] = "airflow_reader") -> None:
    """Print the SQL that lets a role read what statistics and watchdog need, and nothing else."""
    from include.operations import metadata

    for statement in (*metadata.role_settings(role), *metadata.grants(role)):
        print(f"{statement.as_string()};")


@app.command("make-reader")
def make_reader() -> None:
    """Make the read-only role of the connection airflow_metadata, with its password and rights; harmless to repeat.

    Run it after every `airflow db migrate`, where AIRFLOW__DATABASE__SQL_ALCHEMY_CONN names the owner of the tables.
    """
    airflow_log.to_stderr()
    from include.cli.metadata_owner import ensure_role
    from include.connections import METADATA
    from include.operations.metadata import ensure_reader

    role, database = ensure_role(METADATA, ensure_reader)
    print(f"{role} may read run statistics in {database}, and nothing else")

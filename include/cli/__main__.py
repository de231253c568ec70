"""Puts the groups of commands together. An error is one line on stderr and exit code 1; wrong usage is 2."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from include.cli import (
    alerts,
    audit,
    backup,
    dags,
    deadletter,
    doctor,
    interactions,
    interventions,
    privacy,
    run_errors,
    stats,
    vms,
    warehouse,
)
from include.cli.errors import explain

PROGRAM = "python -m include.cli"
_DEBUG = "--debug"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(interactions.app, name="interactions")
app.add_typer(deadletter.app, name="deadletter")
app.add_typer(dags.app, name="dags")
app.command()(dags.trigger)
app.command()(doctor.doctor)
app.add_typer(warehouse.app, name="warehouse")
app.add_typer(backup.app, name="backup")
app.add_typer(alerts.app, name="alerts")
app.add_typer(stats.app, name="stats")
app.add_typer(run_errors.app, name="errors")
app.add_typer(vms.syncs, name="sync")
app.command()(vms.reconcile)
app.add_typer(vms.quarantine, name="quarantine")
app.add_typer(audit.app, name="audit")
app.add_typer(privacy.app, name="privacy")
app.add_typer(interventions.app, name="interventions")


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """Operate the organism's and the VMS's pipelines. Connections come from AIRFLOW_CONN_*; see docs/cli.md."""


def main() -> None:
    """Run the command line in `sys.argv`."""
    # A terminal that knows only ASCII gets a question mark, not a crash.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Taken out here, so that it may stand anywhere; the option above is for the help text.
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    try:
        app(arguments, prog_name=PROGRAM)
    except Exception as error:
        if _DEBUG in sys.argv[1:]:
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

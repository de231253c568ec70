"""`doctor`: examines installation, settings, servers, secrets and DAGs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from include.cli import airflow_log
from include.cli.output import print_json, printable
from include.operations.words import counted


def doctor(
    *,
    start: Annotated[
        bool, typer.Option("--start", help="Only what must hold before Airflow starts; needs no server.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Only whether Airflow works, seen from outside, with an alert: for cron.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", envvar="WATCHDOG_STATE", help="With --watch: remembers what was told.")
    ] = None,
    heartbeat_url: Annotated[
        str | None,
        typer.Option("--heartbeat-url", envvar="WATCHDOG_HEARTBEAT_URL", help="With --watch: asked when all is well."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check versions, settings, connections, rights, stream, schema, secrets, clocks and DAGs.

    Exit code 0: nothing fails; 1: something fails; 2: wrong usage. With --watch also 3: Airflow does not work and no
    alert channel took the message; 4: Airflow works, but the heartbeat URL did not answer.
    """
    airflow_log.to_stderr()
    if watch:
        from include.cli.watch import watch as look

        raise typer.Exit(look(state, heartbeat_url, as_json=as_json))
    from include.operations.doctor import Level, examine, examine_start

    findings = []
    for finding in examine_start() if start else examine():
        findings.append(finding)
        if not as_json:
            print(f"{finding.level:4}  {finding.area}: {printable(finding.found)}", flush=True)
            if finding.fix:
                print(f"      -> {printable(finding.fix)}", flush=True)
    failures = sum(finding.level is Level.FAIL for finding in findings)
    if as_json:
        print_json({"ok": not failures, "findings": [finding._asdict() for finding in findings]})
    else:
        warnings = sum(finding.level is Level.WARN for finding in findings)
        counts = {"failure": failures, "warning": warnings, "finding": len(findings)}
        print(", ".join(counted(count, noun) for noun, count in counts.items()))
    if failures:
        raise typer.Exit(1)

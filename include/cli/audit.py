"""`audit`: whether what was proposed, decided and done about people is still as it was written."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from include.cli import airflow_log
from include.cli.output import print_json, print_table
from include.operations.errors import InputRejected
from include.operations.words import counted

if TYPE_CHECKING:
    from include.organism.interventions.audit import Head

app = typer.Typer(no_args_is_help=True, help="The audit of interventions.")

_QUERY = """
select seq, at, intervention_id, event, actor, detail from organism.intervention_audit
where (%(only)s::uuid is null or intervention_id = %(only)s) order by seq desc limit %(limit)s
"""


@app.command()
def verify(
    *,
    head: Annotated[str, typer.Option(help="A head that was noted elsewhere, NUMBER:HASH; it must be there.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Work out every hash again; exit code 1 when an entry was edited, removed or moved."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.organism.interventions import audit

    noted = _head(head) if head else None
    with warehouse() as connection:
        found = audit.verify(connection, noted)
    shown = found.faults[: audit.SHOWN_FAULTS]
    if as_json:
        faults = [{"seq": fault.seq, "what": fault.what} for fault in shown]
        print_json({"entries": found.entries, "head": str(found.head), "faults": len(found.faults), "first": faults})
    else:
        for fault in shown:
            print(f"entry {fault.seq}: {fault.what}")
        verdict = f"{counted(len(found.faults), 'fault')}" if found.faults else "whole"
        print(f"{counted(found.entries, 'entry', 'entries')}, {verdict}, head {found.head}")
    if found.faults:
        raise typer.Exit(1)


@app.command()
def show(
    intervention: Annotated[str, typer.Argument(help="Id of an intervention; empty: all of them.")] = "",
    *,
    limit: Annotated[int, typer.Option(min=1, help="So many entries, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what happened, newest first."""
    airflow_log.to_stderr()
    from include.connections import warehouse

    with warehouse() as connection:
        rows = connection.execute(_QUERY, {"only": _id(intervention), "limit": limit}).fetchall()
    if as_json:
        names = ("seq", "at", "intervention", "event", "actor", "detail")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    shown = [
        (seq, f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", which or "-", event, actor, _facts(detail))
        for seq, at, which, event, actor, detail in rows
    ]
    print_table(("seq", "at (UTC)", "intervention", "event", "by", "detail"), shown)


def _facts(detail: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in detail.items() if value not in (None, "", [], {})) or "-"


def _id(text: str) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InputRejected("this is no id of an intervention", what_to_do="take one of `interventions list`") from None


def _head(text: str) -> Head:
    from include.organism.interventions.audit import Head

    try:
        return Head.parse(text)
    except ValueError:
        raise InputRejected("the head is not NUMBER:HASH", what_to_do="take it as `audit verify` printed it") from None

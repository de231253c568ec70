"""`privacy`: what a person may ask for: export, erasure, opting out."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from include.cli import airflow_log
from include.cli.output import print_json
from include.operations.words import counted

if TYPE_CHECKING:
    from include.organism.privacy.requests import Requests

app = typer.Typer(no_args_is_help=True, help="Requests of a person about their data.")

_STDIN = "-"
_Person = Annotated[str, typer.Argument(help="Id of the person as the producers have it; `-`: read it from stdin.")]
# A run of the 5-minute pipeline takes four minutes at most.
_LEASE_PATIENCE_S = 330.0


@app.command()
def export(
    person: _Person,
    *,
    output: Annotated[Path | None, typer.Option(help="New file, readable by you alone; else standard output.")] = None,
) -> None:
    """Write everything that is stored about a person as JSON; other people are not named in it."""
    with _requests() as requests:
        found = requests.export(_given(person))
        from include.organism.privacy.requests import require_known

        require_known(found)
    if output is None:
        print_json(found)
        return
    with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(found, file, indent=2, default=str, ensure_ascii=False)
    print(f"written to {output}")


@app.command()
def erase(
    person: _Person,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything that is stored about a person, for good, and leave them out from now on."""
    name = _given(person)
    if not yes:
        typer.confirm("Delete everything about this person for good?", abort=True)
    with _requests() as requests:
        counts = requests.erase(name, lambda run: _acquire(requests, run))
    shown = ", ".join(f"{place} {count}" for place, count in counts.items() if count)
    print(f"erased: {shown or 'nothing was stored'}")


@app.command("opt-out")
def opt_out(
    person: _Person,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Opt the person in again.")] = False,
) -> None:
    """Leave a person out of everything from now on; the next run of the 5-minute pipeline deletes their ties."""
    with _requests() as requests:
        unknown = requests.opt_out(_given(person), out=not undo)
    print("opted in again" if undo else "opted out")
    if unknown:
        print("note: nobody with this id was known", file=sys.stderr)


def _given(person: str) -> str:
    name = sys.stdin.readline().strip() if person == _STDIN else person.strip()
    if not name:
        raise typer.BadParameter("there is no id")
    return name


def _acquire(requests: Requests, run: str) -> Any:
    """Take the graph's lease; wait for a run of the 5-minute pipeline to end."""
    from include.operations.errors import LeaseHeld

    graph = requests.clients.graph(requests.settings)
    deadline = time.monotonic() + _LEASE_PATIENCE_S
    told = False
    while True:
        try:
            return graph.acquire(run)
        except LeaseHeld:
            if time.monotonic() >= deadline:
                raise
        if not told:
            waiting = counted(round(_LEASE_PATIENCE_S), "second")
            print(f"waiting at most {waiting} for a run of the 5-minute pipeline to end", file=sys.stderr)
            told = True
        time.sleep(1)


@contextmanager
def _requests() -> Iterator[Requests]:
    airflow_log.to_stderr()
    from include.connections import neo4j_driver, redis_client, warehouse
    from include.organism.privacy.requests import Requests
    from include.organism.settings import Settings
    from include.organism.update import Clients

    with redis_client() as client, neo4j_driver() as (driver, database):
        yield Requests(Clients(client, driver, database), Settings.from_env(), warehouse, getpass.getuser())

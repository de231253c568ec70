"""`interventions`: what is proposed and done about groups, a person's own proposals, and the switches."""

from __future__ import annotations

import getpass
import json
from datetime import UTC
from typing import Annotated, Any

import typer

from include.cli import airflow_log
from include.cli.output import print_json, print_table
from include.operations.errors import InputRejected

app = typer.Typer(no_args_is_help=True, help="Interventions: list, propose, stop.")

Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]


@app.command("list")
def list_(
    *,
    status: Annotated[list[str] | None, typer.Option(help="Only this status; may be given again.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, newest first.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show interventions, newest first."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.organism.interventions import store

    with warehouse() as connection:
        rows = store.listed(connection, status or [], limit)
    if as_json:
        print_json([{name: getattr(row, name) for name in _SHOWN} for row in rows])
        return
    shown = [
        (row.id, row.status, row.reason_code or "-", row.impact or "-", row.action, row.target, _moment(row.expires_at))
        for row in rows
    ]
    print_table(("id", "status", "code", "impact", "action", "for", "until (UTC)"), shown)


@app.command()
def propose(
    action: Annotated[str, typer.Argument(help="Type of the action.")],
    *,
    estimate: Annotated[str, typer.Option(help="Id of the causal_estimate it rests on.")],
    team: Annotated[str, typer.Option(help="The team it is for.")] = "",
    role: Annotated[str, typer.Option(help="The role it is for.")] = "",
    everyone: Annotated[bool, typer.Option("--everyone", help="It is for everybody.")] = False,
    parameters: Annotated[str, typer.Option(help="The action's parameters, a JSON object.")] = "{}",
    treatment_change: Annotated[
        float | None, typer.Option(help="By how much the treatment's mean will change; for actions without a lever.")
    ] = None,
) -> None:
    """Propose an action for a group; prints id and status. Then trigger organism_intervention_review with the id."""
    airflow_log.to_stderr()
    from include.organism.interventions import evidence, proposals, tasks
    from include.organism.interventions.population import Kind, Target

    wanted = [(Kind.TEAM, team), (Kind.ROLE, role), *([(Kind.EVERYONE, "")] if everyone else [])]
    named = [target for target in wanted if target[1] or target[0] is Kind.EVERYONE]
    if len(named) != 1:
        raise InputRejected("an intervention is for one group", what_to_do="give --team, --role or --everyone")
    with tasks.desk(f"cli/{getpass.getuser()}") as desk:
        with desk.connection.transaction():
            unwilling = evidence.unwilling(desk.connection)
        people = desk.population(unwilling)
        proposal = proposals.by_person(
            desk,
            people,
            action=action,
            target=Target.read(*named[0]),
            parameters=_parameters(parameters),
            estimate=estimate,
            treatment_change=treatment_change,
        )
        placed = proposals.place(desk, [proposal], people, getpass.getuser())[0]
    print(f"{placed.id} {placed.status} {placed.reason_code}".rstrip())


@app.command()
def stop(reason: Reason) -> None:
    """Stop all interventions: the flag in the database. Rolling back goes on."""
    _turn(reason, enabled=False)


@app.command()
def resume(reason: Reason) -> None:
    """Set the flag in the database again; the Airflow Variable interventions_enabled has to be `true`, too."""
    _turn(reason, enabled=True)


@app.command()
def enable(action: Annotated[str, typer.Argument(help="Type of the action.")], *, reason: Reason) -> None:
    """Allow a type of action again that was switched off after it had harmed."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.organism.interventions import switch

    with warehouse() as connection:
        done = switch.enable(connection, action, getpass.getuser(), reason)
    print(f"{action} may be proposed again" if done else f"{action} was not switched off")


_SHOWN = (
    *("id", "status", "reason_code", "reason", "impact", "action", "target_kind", "target_value", "parameters"),
    *("outcome", "expected_effect", "expected_low", "expected_high", "evidence", "group_size", "treated", "mode"),
    *("proposed_by", "expires_at", "decided_by", "decided_at", "executed_at", "rolled_back_at"),
)


def _turn(reason: str, *, enabled: bool) -> None:
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.organism.interventions import switch

    with warehouse() as connection:
        switch.turn(connection, getpass.getuser(), reason, enabled=enabled)
    print("interventions are allowed by the database" if enabled else "all interventions are stopped")


def _parameters(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputRejected("--parameters is no JSON object", what_to_do="""write it like '{"percent": 40}'""")
    return found


def _moment(moment: Any) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"

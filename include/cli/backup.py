"""`backup`: list, make, verify and restore backups."""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from include.cli import airflow_log
from include.cli.errors import CommandError, explain
from include.cli.output import print_json, print_table
from include.operations.words import counted

if TYPE_CHECKING:
    from include.operations.backup.service import Backups
    from include.operations.backup.store import Manifest

app = typer.Typer(no_args_is_help=True, help="Backups of metadata, warehouse and graph.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
_Name = Annotated[str, typer.Argument(help="Name as `backup list` shows it.")]
# To restore the metadata one must own its tables; no task may, so this id is set only for the restore.
_OWNER = "airflow_metadata_owner"


@app.command("list")
def list_backups(*, as_json: _Json = False) -> None:
    """List backups, newest first, and whether they were proven; works from the files when the warehouse is gone."""
    from include.operations.backup.errors import BackupDamaged
    from include.operations.backup.service import Backups

    backups = Backups()
    names = sorted(backups.store.names(), key=lambda name: name.partition("-")[2], reverse=True)
    checks, trouble = _checks()
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            found.append(_facts(backups.store.manifest(name)) | checks.get(name, {}))
        except BackupDamaged as damage:
            found.append({"name": name, "damaged": explain(damage)})
    if as_json:
        print_json({"folder": str(backups.store.folder), "backups": found})
    else:
        header = ("name", "rows", "MB", "encrypted", "took", "checked", "restore took")
        print_table(header, map(_line, found))
        print(f"{len(found)} backups in {backups.store.folder}")
    if trouble:
        print(f"note: whether they were checked is unknown: {trouble}", file=sys.stderr)
    if any("damaged" in facts for facts in found):
        raise typer.Exit(1)


@app.command()
def create(
    source: Annotated[str, typer.Argument(help="metadata, warehouse or graph.")],
    *,
    connection: Annotated[str | None, typer.Option(help="Connection id of the source, if not the usual one.")] = None,
) -> None:
    """Make a backup now."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.operations.backup.service import Backups

    backups = Backups()
    made = backups.create(source, connection)
    print(f"{made.name}: {counted(made.total, 'row')}, {made.size_bytes / 1e6:,.1f} MB in {made.seconds:.1f} s")
    with warehouse() as found:
        backups.record(found, made.name)


@app.command()
def verify(
    name: _Name,
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Read it to its end, restore nothing.")] = False,
) -> None:
    """Prove that a backup holds what was backed up: restore a dump into a scratch database; read an export back."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.operations.backup.service import Backups

    backups = Backups()
    manifest = backups.store.manifest(name)
    if read_only:
        backups.read_back(manifest)
        print(f"{name}: whole and readable")
        return
    seconds = backups.check(name)
    how = "read back" if seconds is None else f"restored in {seconds:.1f} s"
    print(f"{name}: {how}, {counted(manifest.total, 'row')} equal in {counted(len(manifest.rows), 'table')}")
    with warehouse() as found:
        backups.record_check(found, name, seconds)


@app.command()
def restore(
    name: _Name,
    *,
    into: Annotated[str | None, typer.Option(help="Connection id of the target; else where it was taken from.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="The target named by --into may hold data: drop it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check file, key, programs and target; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Restore a backup into an empty target, and compare every table with what was backed up."""
    if replace and into is None:
        raise typer.BadParameter("--replace needs --into: say whose data are dropped")
    airflow_log.to_stderr()
    from include.operations.backup.service import Backups

    backups = Backups()
    manifest = backups.store.manifest(name)
    target = into or _usual_target(manifest.source)
    _rehearse(backups, manifest, target, replace=replace)
    size = f"{counted(manifest.total, 'row')} in {counted(len(manifest.rows), 'table')}"
    what = f"{size} of {manifest.started_at} into {target}"
    if dry_run:
        print(f"would restore {what}" + (", after dropping what it holds" if replace else ""))
        return
    if not yes:
        lost = "; WHAT IT HOLDS IS DROPPED" if replace else ""
        typer.confirm(f"Restore {what}{lost}?", abort=True)
    begun = datetime.now(UTC)
    backups.restore(name, target, replace=replace)
    seconds = (datetime.now(UTC) - begun).total_seconds()
    print(f"restored {what} in {seconds:.1f} s; every table is equal")
    print(f"next: {_NEXT[manifest.source]}")


_NEXT = {
    "metadata": "give the roles their grants again (docs/backup.md), then start Airflow",
    "warehouse": "`warehouse upgrade`, then unpause the DAGs",
    "graph": "`backup rewind`, so that the stream is read again from where the graph is",
}


@app.command("make-upkeep")
def make_upkeep() -> None:
    """Make the role of the connection airflow_metadata_upkeep, with its password and rights; harmless to repeat.

    Run it after every `airflow db migrate`, where AIRFLOW__DATABASE__SQL_ALCHEMY_CONN names the owner of the tables.
    """
    airflow_log.to_stderr()
    from include.cli.metadata_owner import ensure_role
    from include.operations.housekeeping.metadata import CONN_ID, ensure_upkeep

    role, database = ensure_role(CONN_ID, ensure_upkeep)
    print(f"{role} may back {database} up and delete what is old, and change nothing")


@app.command()
def rewind() -> None:
    """After a graph was restored: let the stream be read again from where the graph is.

    What is still in the stream is applied; what was trimmed is counted as lost by the next run.
    """
    airflow_log.to_stderr()
    from include.connections import neo4j_driver, redis_client
    from include.organism.graph import PeopleGraph
    from include.organism.settings import Settings
    from include.organism.stream import InteractionStream

    settings = Settings.from_env()
    with neo4j_driver() as (driver, database), redis_client() as client:
        ledger = PeopleGraph(driver, settings, database).ledger()
        if ledger is None:
            raise CommandError("the graph has no ledger: no run has ever written to it, so there is nothing to rewind")
        stream = InteractionStream(client, settings)
        before = stream.state()
        if not before.group_exists:
            raise CommandError("the consumer group does not exist: the next run makes it where the graph is")
        if before.delivered_id <= ledger.watermark:
            print(f"nothing to rewind: the group is at {before.delivered_id}, the graph at {ledger.watermark}")
            return
        client.xgroup_setid(settings.stream, settings.group, str(ledger.watermark))
        unread = stream.state().unread
    waiting = "more than a thousand entries" if unread is None else counted(unread, "entry", "entries")
    print(f"rewound from {before.delivered_id} to {ledger.watermark}: {waiting} to read again")


def _rehearse(backups: Backups, manifest: Manifest, target: str, *, replace: bool) -> None:
    """Everything that can be known before anything is changed: the file is whole, the target is there and fits."""
    backups.read_back(manifest)
    backups.examine_target(manifest, target, empty=not replace)


def _usual_target(source: str) -> str:
    from include.operations.backup.service import CONNECTIONS

    return _OWNER if source == "metadata" else CONNECTIONS[source]


def _checks() -> tuple[dict[str, dict[str, Any]], str]:
    """By name what `ops.backup` knows of the checks; and why nothing is known."""
    airflow_log.to_stderr()
    from include.connections import warehouse

    try:
        with warehouse() as connection:
            rows = connection.execute("select name, checked_at, restore_s from ops.backup").fetchall()
    except Exception as error:  # noqa: BLE001 - the warehouse may be what was lost; the files are what counts now
        return {}, explain(error)
    return {name: {"checked_at": checked, "restore_s": seconds} for name, checked, seconds in rows}, ""


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts = dataclasses.asdict(manifest)
    return facts | {"rows": manifest.total, "tables": len(manifest.rows), "checked_at": None, "restore_s": None}


def _line(facts: dict[str, Any]) -> tuple[str, ...]:
    if "damaged" in facts:
        return (facts["name"], "damaged", "", "", "", facts["damaged"], "")
    checked, seconds = facts["checked_at"], facts["restore_s"]
    return (
        facts["name"],
        f"{facts['rows']:,}",
        f"{facts['size_bytes'] / 1e6:,.1f}",
        f"key {facts['key_id']}" if facts["key_id"] else "no",
        f"{facts['seconds']:.1f} s",
        f"{checked:%Y-%m-%d %H:%M}" if checked else "never",
        f"{seconds:.1f} s" if seconds is not None else "-",
    )

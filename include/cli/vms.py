"""`sync`, `reconcile`, `quarantine`: the Salesforce syncs by hand, and where they stand."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from include.cli import airflow_log
from include.cli.errors import explain
from include.cli.output import print_facts, print_json, print_table, printable
from include.operations.errors import InputRejected
from include.operations.words import counted
from include.vms.contracts import MOST_ROWS, Accept, Mode, Request

if TYPE_CHECKING:
    from include.vms.contracts import Manifest
    from include.vms.spec import SyncObject

_ALL = "all"


class _RunByDefault(TyperGroup):
    """A group whose command may be left out: `sync schools` is `sync run schools`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


syncs = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Sync objects from Salesforce; `sync OBJECT` is `sync run OBJECT`.",
)
quarantine = typer.Typer(no_args_is_help=True, help="Rows that the syncs refused.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
_Object = Annotated[str, typer.Argument(metavar="OBJECT", help="Name of a sync, see `sync status`.")]


@syncs.command("run")
def run_sync(
    name: Annotated[str, typer.Argument(metavar="OBJECT", help="Name of a sync, or `all`: parents first.")],
    *,
    full: Annotated[bool, typer.Option("--full", help="Read every row, not only what changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_ROWS, help="Read so many rows at most, and what left the filter; moves no watermark."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Read what changed since then: 2026-01-31T08:00:00Z.")] = None,
    accept: Annotated[list[Accept] | None, typer.Option(help="Publish although this looks wrong.")] = None,
    as_json: _Json = False,
) -> None:
    """Sync now, without Airflow. Exit code 1 when an object failed; with `all` the others are synced all the same."""
    request = _request(full=full, dry_run=dry_run, limit=limit, since=since, accept=accept or [])
    airflow_log.to_stderr()
    from include.connections import redis_client, salesforce, warehouse
    from include.vms import caches, registry, sync

    run_id, done, failed = _run_id(), [], []
    for spec in registry.objects().values() if name == _ALL else [_spec(name)]:
        try:
            with salesforce() as client:
                manifest = sync.run(client, warehouse, spec, request, run_id)
            if not dry_run:
                caches.invalidate(warehouse, redis_client, spec)
        except Exception as error:
            if name != _ALL:
                raise
            failed.append({"object": spec.name, "error": explain(error)})
            continue
        done.append(_shown(manifest))
        if not as_json:
            _print(manifest)
    if as_json:
        print_json([*done, *failed])
    for one in failed:
        print(f"error: {one['object']}: {one['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@syncs.command()
def status(*, as_json: _Json = False) -> None:
    """Show watermark, last run, what waits or was refused, and the calls of every object."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.vms.status import standing

    with warehouse() as connection:
        found = standing(connection)
    if as_json:
        print_json(found)
        return
    header = ("object", "watermark", "last run", "mode", "outcome", "read", "pending", "orphans", "quarantine", "flags")
    print_table(
        (*header, "calls/24h", "org's calls"),
        [
            (
                *(row["object"], _moment(row["watermark"]), _moment(row["started_at"]), row["mode"] or "-"),
                *(_outcome(row), f"{row['read'] or 0:,}"),
                *(f"{row[each]:,}" for each in ("pending", "orphans", "quarantine", "flags", "calls_24h")),
                "-" if row["api_limit"] is None else f"{row['api_used'] or 0:,} of {row['api_limit']:,}",
            )
            for row in found
        ],
    )
    for row in found:
        for note in row["notes"] or ():
            print(f"{row['object']}: {note}")


def reconcile(
    name: _Object,
    *,
    full: Annotated[bool, typer.Option("--full", help="Compare all ids, even if the counts agree.")] = False,
    as_json: _Json = False,
) -> None:
    """Compare records with Salesforce, not their values, and mend what differs. Exit code 1: some differ afterwards."""
    airflow_log.to_stderr()
    from include.connections import redis_client, salesforce, warehouse
    from include.vms import caches, runs
    from include.vms import reconcile as step

    spec, run_id = _spec(name), _run_id()
    with salesforce() as client, runs.guarded(warehouse, spec, run_id):
        manifest = step.check(client, warehouse, spec, run_id, full=full)
    caches.invalidate(warehouse, redis_client, spec)
    with warehouse() as connection:
        row = connection.execute(
            "SELECT reconciled FROM ops.sync_run WHERE object = %s AND run_id = %s", (spec.name, run_id)
        ).fetchone()
    figures = (row and row[0]) or {}
    # Agreement must not be taken for more than it is.
    compared = "ids and modstamps" if figures.get("swept") else "counts"
    if as_json:
        print_json({"object": spec.name, "run": run_id, "compared": compared, "notes": manifest.notes, **figures})
        return
    said = f"{compared}, no values: `sync {spec.name} --full` reads those"
    print_facts({"object": spec.name, "run": run_id, "compared": said, **figures})
    for note in manifest.notes:
        print(note)


@quarantine.command("list")
def list_quarantine(
    name: Annotated[str | None, typer.Argument(metavar="[OBJECT]", help="Name of a sync; all when left out.")] = None,
    *,
    code: Annotated[str | None, typer.Option("--code", help="Only rows with this reason.")] = None,
    field: Annotated[str | None, typer.Option("--field", help="Only rows with a reason about this field.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Show resolved rows, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, those seen last first.")] = 100,
    as_json: _Json = False,
) -> None:
    """List refused rows with every reason; ids and names of fields only, no values."""
    airflow_log.to_stderr()
    from include.connections import warehouse
    from include.vms.quarantine import listing

    if name is not None:
        _spec(name)
    with warehouse() as connection:
        found = listing(connection, name, code=code, field=field, resolved=resolved, limit=limit)
    if as_json:
        # Even masked, values stay in the table, where rights decide who sees them.
        print_json([{key: value for key, value in asdict(each).items() if key != "row"} for each in found])
        return
    if found:
        header = ("object", "record", "times", "first seen", "last seen", "resolved", "reasons")
        print_table(
            header,
            [
                (
                    *(each.object, each.record_key, each.times, _moment(each.first_seen_at)),
                    *(_moment(each.last_seen_at), _moment(each.resolved_at)),
                    "; ".join(f"{one['code']} {one['field']}: {one['text']}" for one in each.reasons),
                )
                for each in found
            ],
        )
    print(counted(len(found), "row"))


@quarantine.command()
def replay(
    name: _Object,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids as `quarantine list` shows them.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every open row of the object.")] = False,
    as_json: _Json = False,
) -> None:
    """Read refused records again at Salesforce, and publish those that are good now."""
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or --all: one of them")
    if wrong := [text for text in ids or () if not re.fullmatch(r"[0-9A-Za-z]{18}", text)]:
        raise typer.BadParameter(f"{wrong[0]!r} is no Salesforce id of 18 characters")
    airflow_log.to_stderr()
    from include.connections import redis_client, salesforce, warehouse
    from include.vms import caches
    from include.vms import quarantine as step

    spec = _spec(name)
    with salesforce() as client:
        manifest = step.replay(client, warehouse, spec, _run_id(), ids or ())
    caches.invalidate(warehouse, redis_client, spec)
    if as_json:
        print_json(None if manifest is None else _shown(manifest))
    elif manifest is None:
        print("nothing to replay: no such row is open, and rows without an id cannot be asked for")
    else:
        _print(manifest)


def _request(*, full: bool, dry_run: bool, limit: int | None, since: str | None, accept: list[Accept]) -> Request:
    params = {
        "mode": Mode.FULL if full else Mode.INCREMENTAL,
        "dry_run": dry_run,
        "limit": limit,
        "since": since,
        "accept": accept,
    }
    if full and since is not None:
        raise typer.BadParameter("--full reads everything: leave --since out")
    try:
        return Request.from_params(params)
    except InputRejected as refused:
        raise typer.BadParameter(str(refused)) from None


def _spec(name: str) -> SyncObject:
    from include.vms import registry

    try:
        return registry.get(name)
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from None


def _run_id() -> str:
    """An id for this command; what is done twice at the same microsecond is kept apart by the lease."""
    return f"cli__{datetime.now(UTC).isoformat()}"


def _shown(manifest: Manifest) -> dict[str, Any]:
    names = ("object", "run", "mode", "dry_run", "window_from", "window_to", "api", "api_reason", "read")
    more = ("source_count", "counts", "api_calls", "notes", "samples")
    return {name: getattr(manifest, name) for name in (*names, *more)}


def _print(manifest: Manifest) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.counts.items() if count)
    tried = " (dry run: nothing was written)" if manifest.dry_run else ""
    print(f"{manifest.object}: read {manifest.read:,} by {manifest.api}{tried}: {counts or 'no change'}")
    for note in manifest.notes:
        print(f"  {note}")
    for one in manifest.samples:
        changes = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in one["columns"].items())
        # Values of the source: a name may hold a line break or what commands a terminal.
        print(printable(f"  {one['change']} {one['table']} {one['id']} {changes}".rstrip()))


def _outcome(row: dict[str, Any]) -> str:
    said = row["outcome"] or "never synced"
    return f"{said} (dry run)" if row["dry_run"] else said


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

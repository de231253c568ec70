"""`deadletter`: look at entries that could not be used, put them back, or delete them."""

from __future__ import annotations

import getpass
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from include.cli import airflow_log
from include.cli.errors import explain
from include.cli.output import print_json, print_table
from include.operations.errors import InputRejected
from include.operations.log import log_event
from include.operations.words import counted

if TYPE_CHECKING:
    from include.organism.deadletter import DeadLetter, DeadLetters

log = logging.getLogger(__name__)
app = typer.Typer(no_args_is_help=True, help="Entries that could not be used.")

_Ids = Annotated[list[str] | None, typer.Argument(help="Ids as `deadletter list` shows them.")]
_All = Annotated[bool, typer.Option("--all", help="Every dead letter.")]
_Code = Annotated[str | None, typer.Option("--code", help="Only those refused with this code.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("list")
def list_letters(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, oldest first.")] = 100,
    code: _Code = None,
    as_json: _Json = False,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show field values: personal data.")] = False,
) -> None:
    """List dead letters. Field values are masked: ids of people are personal data."""
    with _dead_letters() as dead:
        total = dead.count()
        found = list(islice(_coded(dead.letters(), code), limit))
    shown = [_shown(letter, show_values=show_values) for letter in found]
    if as_json:
        print_json({"total": total, "letters": shown})
        return
    if shown:
        rows = [(item["id"], item["dead_at"], item["code"], item["reason"], _one_line(item)) for item in shown]
        print_table(("id", "dead since", "code", "reason", "fields"), rows)
    print(f"{len(shown):,} of {counted(total, 'dead letter')}")


@app.command()
def replay(ids: _Ids = None, *, every: _All = False, code: _Code = None) -> None:
    """Put dead letters back at the end of the stream; the next run tries them again."""
    _check_choice(ids, code, every=every)
    done = 0
    refused: list[str] = []
    with _dead_letters() as dead:
        _, chosen = _chosen(dead, ids, code)
        for letter in chosen:
            try:
                done += dead.replay(letter)
            except InputRejected as why:
                refused.append(explain(why))
    print(f"replayed {counted(done, 'dead letter')}")
    for text in refused:
        print(f"error: {text}", file=sys.stderr)
    if refused:
        raise typer.Exit(1)


@app.command()
def discard(
    ids: _Ids = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so name no person.")],
    every: _All = False,
    code: _Code = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete dead letters for good; `discarded` shows who did it and why."""
    _check_choice(ids, code, every=every)
    if not reason.strip():
        raise typer.BadParameter("--reason is empty")
    with _dead_letters() as dead:
        count, chosen = _chosen(dead, ids, code)
        if not yes:
            typer.confirm(f"Delete {counted(count, 'dead letter')} for good?", abort=True)
        codes: Counter[str] = Counter()
        who = getpass.getuser()
        for letter in chosen:
            codes[letter.code] += dead.discard(letter, reason=reason, who=who)
    for name, count in sorted(codes.items()):
        log_event(log, "dead_letters_discarded", level=logging.WARNING, code=name, count=count, reason=reason)
    print(f"discarded {counted(codes.total(), 'dead letter')}")


@app.command()
def discarded(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, newest first.")] = 100,
    as_json: _Json = False,
) -> None:
    """Show which dead letters were discarded, when, by whom and why."""
    with _dead_letters() as dead:
        found = [{**each._asdict(), "at": _moment(each.at)} for each in dead.discarded(limit)]
    if as_json:
        print_json(found)
    else:
        header = ("at", "letter", "original_id", "code", "who", "reason")
        print_table(header, [[item[name] for name in header] for item in found])


def _check_choice(ids: list[str] | None, code: str | None, *, every: bool) -> None:
    if sum((bool(ids), code is not None, every)) != 1:
        raise typer.BadParameter("name ids, or --code, or --all: exactly one of them")
    if wrong := [text for text in ids or () if not re.fullmatch(r"\d+-\d+", text)]:
        raise typer.BadParameter(f"{wrong[0]!r} is not an id like 1700000000000-0")


@contextmanager
def _dead_letters() -> Iterator[DeadLetters]:
    airflow_log.to_stderr()
    from include.connections import redis_client
    from include.organism.deadletter import DeadLetters
    from include.organism.settings import Settings

    with redis_client() as client:
        yield DeadLetters(client, Settings.from_env())


def _chosen(dead: DeadLetters, ids: list[str] | None, code: str | None) -> tuple[int, Iterator[DeadLetter]]:
    """Count the letters meant, and go through just these: a run may park the same entries again meanwhile."""
    count, last = 0, None
    for letter in _coded(dead.letters(ids), code):
        count, last = count + 1, letter.id
    if ids:
        return count, dead.letters(ids)
    return count, takewhile(lambda letter: last is not None and letter.id <= last, _coded(dead.letters(), code))


def _coded(letters: Iterator[DeadLetter], code: str | None) -> Iterator[DeadLetter]:
    return (letter for letter in letters if code is None or letter.code == code)


def _shown(letter: DeadLetter, *, show_values: bool) -> dict[str, Any]:
    fields: list[dict[str, Any]] = []
    for name, value in zip(letter.fields[::2], letter.fields[1::2], strict=True):
        field: dict[str, Any] = {"name": name.decode(errors="replace"), "bytes": len(value)}
        if show_values:
            field["value"] = value.decode(errors="replace")
        fields.append(field)
    return {
        "id": str(letter.id),
        "original_id": letter.original_id,
        "dead_at": _moment(letter.dead_at),
        "code": letter.code,
        "reason": letter.reason,
        "truncated": letter.truncated,
        "fields": fields,
    }


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def _one_line(item: dict[str, Any]) -> str:
    shown = [f"{field['name']}={field.get('value', _masked(field))}" for field in item["fields"]]
    return " ".join([*shown, "[cut]"] if item["truncated"] else shown)


def _masked(field: dict[str, Any]) -> str:
    return f"({field['bytes']} bytes)"

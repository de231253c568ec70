"""`alerts`: try the channels, look after the outbox, silence what is known."""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from include.cli import airflow_log
from include.cli.output import print_json, print_table
from include.operations.errors import InputRejected

app = typer.Typer(no_args_is_help=True, help="Alerts: channels, outbox, silences, incidents.")
outbox = typer.Typer(no_args_is_help=True, help="Messages that wait to be sent.")
silence = typer.Typer(no_args_is_help=True, help="What nobody wants to be told for a while.")
incidents = typer.Typer(no_args_is_help=True, help="What is wrong now.")
app.add_typer(outbox, name="outbox")
app.add_typer(silence, name="silence")
app.add_typer(incidents, name="incidents")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command("test")
def try_channels(
    channel: Annotated[str | None, typer.Option(help="Only this one: slack, email or sentry.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a real test message and say for each channel: delivered, refused (why) or not configured.

    Exit code 1 when a channel refused, or when the one that was asked for is not configured.
    """
    airflow_log.to_stderr()
    from include.operations.alerts import trial

    found = trial.run(channel)
    if as_json:
        print_json([{"channel": each.channel, "result": each.result, "detail": each.detail} for each in found])
    else:
        print_table(("channel", "result", ""), [(each.channel, each.result, each.detail) for each in found])
    if any(each.result == "refused" or (channel and each.result != "delivered") for each in found):
        raise typer.Exit(1)


@outbox.command("list")
def outbox_list(as_json: AsJson = False) -> None:
    """Show the messages that wait, oldest first."""
    airflow_log.to_stderr()
    rows = _rows(
        "select id, channel, kind, severity, incident_id, created_at, tries, last_error, next_try_at,"
        " payload->'message'->>'title' as title from ops.alert_outbox where sent_at is null order by id"
    )
    _show(rows, as_json, "nothing waits")


@outbox.command("flush")
def outbox_flush() -> None:
    """Send what waits and is due. Exit code 1 when a channel refused."""
    airflow_log.to_stderr()
    from include.operations.alerts import flush_outbox

    done = flush_outbox()
    print(f"sent {done.sent}, refused {done.refused}, waiting {done.waiting}, taken in {done.taken_in}")
    if done.refused:
        raise typer.Exit(1)


@silence.command("add")
def silence_add(
    reason: Annotated[str, typer.Option(help="Why; shown in the list.")],
    until: Annotated[str, typer.Option(help="When it ends: 2h, 3d, or a time such as 2026-01-31T18:00+01:00.")],
    dag: Annotated[str | None, typer.Option(help="Only this DAG.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    error_class: Annotated[str | None, typer.Option("--class", help="Only this error class.")] = None,
) -> None:
    """Keep quiet about a DAG, a task or an error class. What happens meanwhile is counted and told afterwards."""
    airflow_log.to_stderr()
    from include.operations.alerts import silences

    made = silences.add(
        reason=reason,
        until=_moment(until),
        created_by=getpass.getuser(),
        dag_id=dag,
        task_id=task,
        error_class=error_class,
    )
    print(f"silence {made}: end it with `alerts silence end {made}`")


@silence.command("list")
def silence_list(as_json: AsJson = False) -> None:
    """Show the silences that have not ended."""
    airflow_log.to_stderr()
    rows = _rows(
        "select id, dag_id, task_id, error_class, until, reason, created_by from ops.silence"
        " where until > now() order by until"
    )
    _show(rows, as_json, "no silence")


@silence.command("end")
def silence_end(number: Annotated[int, typer.Argument(help="As shown by `alerts silence list`.")]) -> None:
    """End a silence now."""
    airflow_log.to_stderr()
    from include.operations.alerts import silences

    silences.end(number)
    print(f"silence {number} has ended")


@incidents.command("list")
def incidents_list(as_json: AsJson = False) -> None:
    """Show the open incidents, the worst first."""
    airflow_log.to_stderr()
    rows = _rows(
        "select id, severity, error_class, occurrences, messages, good_runs, opened_at, last_at, title"
        " from ops.incident where recovered_at is null and kind <> 'rollup' order by severity, id"
    )
    _show(rows, as_json, "no open incident")


@incidents.command("close")
def incidents_close(
    number: Annotated[int, typer.Argument(help="As shown by `alerts incidents list`.")],
    reason: Annotated[str, typer.Option(help="Why; shown in the recovery.")],
) -> None:
    """End an incident by hand, e.g. of a DAG that will never run again."""
    airflow_log.to_stderr()
    from include.operations.alerts import resolve

    rows = _rows("select incident_key from ops.incident where id = %s and recovered_at is null", number)
    if not rows:
        raise InputRejected(f"no open incident {number}", what_to_do="see `alerts incidents list`")
    resolve(rows[0]["incident_key"], f"Closed by hand: {reason}")
    print(f"incident {number} is closed")


def _rows(query: str, *values: object) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from include.connections import warehouse

    with warehouse() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values or None).fetchall()


def _show(rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    if as_json:
        print_json(rows)
    elif not rows:
        print(nothing)
    else:
        print_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return "-" if value is None else str(value)


def _moment(text: str) -> datetime:
    """A length from now, or a time; one without a zone is UTC."""
    if length := re.fullmatch(r"(\d+)([mhdw])", text.strip()):
        return datetime.now(UTC) + timedelta(**{_UNITS[length[2]]: int(length[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputRejected(
            f"{text!r} is no time", what_to_do="give 30m, 2h, 3d, 1w, or a time such as 2026-01-31T18:00+01:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

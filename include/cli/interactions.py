"""`interactions`: publish events into the stream, and see what waits there."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from include.cli import airflow_log
from include.cli.errors import CommandError, explain
from include.cli.output import print_facts, print_json
from include.operations.words import counted
from include.organism.event_files import Format, read_rows
from include.organism.messages import MAX_TYPE

if TYPE_CHECKING:
    from include.organism.event_times import Limits, Shift
    from include.organism.publish import Publisher
    from include.organism.settings import Settings

# Exit code: rows were left out, the others are in.
_LEFT_OUT = 3

app = typer.Typer(no_args_is_help=True, help="The stream of interactions.")


@app.command()
def publish(
    file: Annotated[str, typer.Argument(help="CSV, JSON lines, or `source target timestamp` lines; - is stdin.")],
    *,
    written: Annotated[Format, typer.Option("--format", help="How the rows are written.")] = Format.AUTO,
    event_type: Annotated[str, typer.Option("--type", help="Type of rows that name none.")] = "email",
    rate: Annotated[float | None, typer.Option(help="Events per second; default: as fast as possible.")] = None,
    speed: Annotated[float | None, typer.Option(help="Replay as the events happened, so many times as fast.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Shift all times so that the last event happens then: `now`, or ISO-8601.")
    ] = None,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many rows, which are in already.")] = 0,
) -> None:
    """Publish events from a file; publishing the same file again changes nothing in the graph.

    Exit code 0: every row is in; 1: nothing could be published, or it was interrupted; 2: wrong usage; 3: rows that
    cannot be read were left out, the others are in.
    """
    if not event_type.strip() or len(event_type) > MAX_TYPE:
        raise typer.BadParameter(f"--type must have 1 to {MAX_TYPE} characters")
    if rate is not None and speed is not None:
        raise typer.BadParameter("--rate and --speed exclude each other")
    for name, value in (("--rate", rate), ("--speed", speed)):
        if value is not None and not 0 < value < float("inf"):
            raise typer.BadParameter(f"{name} must be a number above 0")
    end = _moment(until) if until else None
    with _opened(file, seekable=end is not None) as stream:
        _publish(stream, _Job(written, event_type, rate, speed, end, skip))


@dataclasses.dataclass(frozen=True)
class _Job:
    """What `publish` was asked to do; `end` in epoch seconds."""

    written: Format
    event_type: str
    rate: float | None
    speed: float | None
    end: float | None
    skip: int


def _publish(stream: BinaryIO, job: _Job) -> None:
    airflow_log.to_stderr()
    import redis

    from include.cli.progress import progress
    from include.connections import redis_client
    from include.organism.event_times import Limits
    from include.organism.publish import EventTime, Publisher, Rate
    from include.organism.settings import Settings

    settings, total = Settings.from_env(), _size(stream)
    limits = Limits(settings.earliest_event, time.time() + settings.future_tolerance_s)
    shift = _shift(stream, job, settings, limits) if job.end is not None else None
    pace = Rate(job.rate) if job.rate else EventTime(job.speed, limits) if job.speed else None
    begun = time.monotonic()
    with redis_client() as client, progress("publishing", total) as update:
        publisher = Publisher(client, settings.stream)
        try:
            publisher.publish(
                read_rows(stream, job.written, job.event_type, settings.max_field_bytes),
                skip=job.skip,
                shift=shift,
                pace=pace,
                on_progress=lambda: update(publisher.published, _position(stream)),
            )
        except (redis.RedisError, KeyboardInterrupt) as error:
            _report_unreadable(publisher)
            raise CommandError(_stopped(publisher, error, job)) from error
    _report_unreadable(publisher)
    if publisher.published == 0:
        _nothing(publisher, job, total)
        return
    seconds = time.monotonic() - begun
    rate = publisher.published / seconds if seconds else 0
    print(f"published {counted(publisher.published, 'event')} in {seconds:.1f} s ({rate:,.0f} a second)")
    if publisher.unreadable:
        raise typer.Exit(_LEFT_OUT)


def _shift(stream: BinaryIO, job: _Job, settings: Settings, limits: Limits) -> Shift:
    """Read the input once to see by how much its times must be moved, and go back to its beginning."""
    from include.organism.event_times import Shift

    rows = read_rows(stream, job.written, job.event_type, settings.max_field_bytes)
    shift = Shift.to_end_at(job.end or 0.0, rows, limits)
    stream.seek(0)
    if shift.ignored:
        print(
            f"warning: {shift.ignored:,} of {counted(shift.rows, 'row')} not considered for --until and not moved: no "
            "time between 1970 and now; see the dead letters after the next run",
            file=sys.stderr,
        )
    return shift


def _nothing(publisher: Publisher, job: _Job, total: int | None) -> None:
    """Say why nothing was published; an error, unless everything is in already."""
    if not publisher.rows:
        why = "the file is empty" if total == 0 else "the input has no rows: at most a header, comments, blank lines"
        raise CommandError(f"nothing to publish: {why}")
    if publisher.unreadable and not job.skip:
        raise CommandError("nothing was published: no row can be read")
    if publisher.unreadable:
        raise typer.Exit(_LEFT_OUT)
    said = f"nothing was left to publish: the input has {counted(publisher.rows, 'row')}, --skip {job.skip}"
    if job.skip > publisher.rows:
        raise CommandError(f"{said}. Is it another file?")
    print(said)


def _stopped(publisher: Publisher, error: BaseException, job: _Job) -> str:
    """Say how far it came and how to go on."""
    why = f"{explain(error)}." if isinstance(error, Exception) else "interrupted."
    if not publisher.published and not publisher.in_doubt:
        return f"{why} Nothing was published: give the same command again."
    doubt = f", {publisher.in_doubt:,} more may be" if publisher.in_doubt else ""
    again = f"--skip {publisher.settled}"
    if job.end is not None:
        # `now` will be another moment then.
        again += f" --until {datetime.fromtimestamp(job.end, UTC).isoformat()}"
    sure = f"{counted(publisher.published, 'event')} {'is' if publisher.published == 1 else 'are'} surely in"
    return f"{why} {sure}{doubt}. Go on with the same command and {again}; events that are in twice then count once."


def _report_unreadable(publisher: Publisher) -> None:
    if not publisher.unreadable:
        return
    for line, problem in publisher.problems:
        print(f"line {line}: {problem}", file=sys.stderr)
    rest = publisher.unreadable - len(publisher.problems)
    more = f" ({rest:,} more not shown)" if rest else ""
    print(f"error: {counted(publisher.unreadable, 'row')} left out, unreadable or too large{more}", file=sys.stderr)


def _moment(text: str) -> float:
    """Epoch seconds of `now` or of an ISO-8601 time; without a zone it is UTC."""
    if text == "now":
        return float(int(time.time()))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("--until is neither `now` nor an ISO-8601 time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _opened(file: str, *, seekable: bool) -> BinaryIO:
    if file != "-":
        try:
            return Path(file).open("rb")
        except OSError as error:
            raise CommandError(f"cannot open {file}: {error.strerror}") from error
    if not seekable or sys.stdin.buffer.seekable():
        return sys.stdin.buffer
    import shutil
    import tempfile

    # The last event must be known before the first one is sent.
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, kept)
    kept.seek(0)
    return kept


def _size(stream: BinaryIO) -> int | None:
    """Bytes of a regular file; None for a pipe."""
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _position(stream: BinaryIO) -> int:
    return stream.tell() if stream.seekable() else 0


@app.command()
def lag(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Show what waits in the stream, how far the graph is, and the last run. Exit code 1 when a server is missing."""
    airflow_log.to_stderr()
    from include.connections import neo4j_driver, redis_client, warehouse
    from include.organism.backlog import backlog, last_run
    from include.organism.graph import PeopleGraph
    from include.organism.settings import Settings

    settings = Settings.from_env()
    with redis_client() as client:
        facts: dict[str, Any] = dataclasses.asdict(backlog(client, settings))
    missing: list[str] = []

    def ask(question: Callable[[], Any]) -> Any:
        # Redis has the figures people ask for; the others only complete them.
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported and makes the exit code 1
            missing.append(explain(error))
            return None

    def watermark() -> str | None:
        with neo4j_driver() as (driver, database):
            # Fails at once, where a transaction would try for half a minute.
            driver.verify_connectivity()
            ledger = PeopleGraph(driver, settings, database).ledger()
        return str(ledger.watermark) if ledger else None

    def run() -> dict[str, Any] | None:
        with warehouse() as connection:
            return last_run(connection)

    facts |= {"watermark": ask(watermark), "last_run": ask(run)}
    if as_json:
        print_json(facts)
    else:
        print_facts(_readable(facts))
    for text in missing:
        print(f"error: {text}", file=sys.stderr)
    if missing:
        raise typer.Exit(1)


@app.command()
def trace(
    stream_id: Annotated[str, typer.Argument(help="Id of a stream entry, for example 1763774000000-0.")],
    *,
    logs: Annotated[Path | None, typer.Option(help="Airflow's log folder, if it is not this environment's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say which run and which transaction settled an entry of the stream. Exit code 1 when nobody ever saw it."""
    airflow_log.to_stderr()
    from include.connections import redis_client, warehouse
    from include.organism import trace as tracing
    from include.organism.settings import Settings
    from include.organism.stream import StreamId

    if not re.fullmatch(r"\d+-\d+", stream_id):
        raise typer.BadParameter(f"{stream_id!r} is no id of a stream entry, such as 1763774000000-0")
    folder = logs or Path(os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER", "logs"))
    with redis_client() as client, warehouse() as connection:
        found = tracing.trace(client, connection, Settings.from_env(), StreamId.parse(stream_id), folder)
    facts = dataclasses.asdict(found)
    if as_json:
        print_json(facts)
    else:
        batch = facts.pop("transaction") or {}
        print_facts({name.replace("_", " "): value or "-" for name, value in {**facts, **batch}.items()})
    if found.state is tracing.State.UNKNOWN:
        raise typer.Exit(1)


def _readable(facts: dict[str, Any]) -> dict[str, object]:
    run = facts["last_run"]
    unread = facts["unread"]
    pending = ", ".join(f"{name} {count:,}" for name, count in facts["pending"].items())
    age = facts["oldest_pending_s"]
    shown: dict[str, object] = {
        "stream": f"{facts['stream']}, {counted(facts['length'], 'entry', 'entries')}, newest {facts['last_id']}",
        "unread": "many (Redis cannot tell)" if unread is None else f"{unread:,}",
        "pending": f"{sum(facts['pending'].values()):,}" + (f" ({pending}), oldest {age:g} s" if pending else ""),
        "watermark": facts["watermark"] or "-",
        "dead letters": f"{facts['dead_letters']:,}",
        "last run": "-",
    }
    if not facts["group_exists"]:
        shown["unread"] = f"{shown['unread']} (no consumer group yet: the first run makes it)"
    if run:
        figures = ("read", "written", "duplicates", "dead", "lost", "pending")
        counts = ", ".join(f"{name} {run[name]:,}" for name in figures)
        state = "finished" if run["finished_at"] else "not finished"
        shown["last run"] = f"{run['run_id']} ({state}, {run['updated_at']:%Y-%m-%d %H:%M:%S %Z}): {counts}"
    return shown

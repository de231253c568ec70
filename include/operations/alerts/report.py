"""The way of an event: into the store, out to the channels, within five seconds, and never an error to the caller."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from include.operations.alerts import deliver, message, outbox, store
from include.operations.alerts.budget import Deadline, Late, within
from include.operations.alerts.channels import Channels, open_channels
from include.operations.alerts.deliver import Flushed
from include.operations.alerts.desk import Desk, open_desk
from include.operations.alerts.local_memory import LocalMemory
from include.operations.alerts.message import Message
from include.operations.alerts.outbox import Outgoing
from include.operations.alerts.problem import Problem, Severity
from include.operations.alerts.settings import Settings
from include.operations.errors import InputRejected, classify
from include.operations.log import log_event
from include.operations.scrub import scrub

log = logging.getLogger(__name__)
T = TypeVar("T")

# A callback keeps its task in the state `running`: this is the most it may take, in seconds.
BUDGET_S = 4.8
# Of which the look-up of connections and the store may take these shares; sending has what is left.
_CONNECTIONS: Final = 0.25
_STORE: Final = 0.5
# lock_not_available, deadlock_detected: the warehouse works and has more to do than it can at this moment.
_BUSY: Final = frozenset({"55P03", "40P01"})
_DEGRADED: Final = "De-duplication degraded: the warehouse could not be asked. This may come more than once."


def raise_problem(problem: Problem, *, now: datetime | None = None) -> None:
    """Tell what is wrong, unless it is known, silenced or not due. Takes at most 5 s and never raises."""
    _never_raising("raise_problem", lambda deadline: _raise(problem.clean(), deadline, now))


def resolve(incident: str | Problem, note: str = "", *, now: datetime | None = None) -> bool:
    """Say that it is over; see `include.operations.alerts.resolve`."""

    def work(deadline: Deadline) -> None:
        settings = _settings()
        key = incident if isinstance(incident, str) else incident.clean().incident_key(settings.environment)
        channels = _channels(settings)
        told = _in_store(lambda desk: store.resolve(desk, key, note), channels, settings, now)
        deliver.deliver(told, channels, settings, deadline, now=now)

    return _never_raising("resolve", work)


def note_success(dag_id: str, run_id: str, clear_number: int = 0, *, now: datetime | None = None) -> None:
    """Note a good run; the second in a row ends the DAG's incidents. Takes at most 5 s and never raises."""

    def work(deadline: Deadline) -> None:
        settings = _settings()
        # Most runs end no incident: the channels are looked up only when there is something to tell.
        if not _in_store(lambda desk: store.succeeded(desk, dag_id, run_id), None, settings, now):
            return
        channels = _channels(settings)
        told = _in_store(lambda desk: store.good_run(desk, dag_id, run_id, clear_number), channels, settings, now)
        deliver.deliver(told, channels, settings, deadline, now=now)

    _never_raising("note_success", work)


def digest(key: str, *, title: str, text: str, html: str, picture: bytes | None, now: datetime | None = None) -> None:
    """Send a report; see `include.operations.alerts.digest`."""
    settings = _settings()
    said = Message(
        kind="digest",
        severity=Severity.P4,
        title=scrub(title, limit=150),
        text=scrub(text, limit=20_000),
        html=html,
        picture=base64.b64encode(picture).decode() if picture else "",
        meta=(settings.environment,),
        environment=settings.environment,
    )
    channels = open_channels(settings)

    def write(desk: Desk) -> list[Outgoing]:
        before = outbox.known(desk, key)
        names = store.routes(channels, severity=Severity.P4, kind="digest")
        new = [name for name in names if name not in before]
        return [each for name in new for each in outbox.put(desk, name, said, None, dedupe_key=key)]

    with open_desk(settings, channels.editing, now=now) as desk:
        told = write(desk)
    deliver.deliver(told, channels, settings, Deadline(20.0), now=now)


def flush_outbox(*, seconds: float = 30.0, now: datetime | None = None) -> Flushed:
    """Send what waits, oldest first, for at most so long; take in what happened while the warehouse was away.

    Raises:
        psycopg.Error: the warehouse cannot be reached.
    """
    settings = _settings()
    channels = open_channels(settings)
    taken = _take_in_spool(channels, settings, now)
    return replace(deliver.flush(channels, settings, seconds=seconds, now=now), taken_in=taken)


def _raise(problem: Problem, deadline: Deadline, now: datetime | None) -> None:
    settings = _settings()
    channels: Channels | None = None
    while True:
        try:
            channels = channels or _channels(settings)
            told = _in_store(partial(_record, problem=problem, channels=channels), channels, settings, now)
            break
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the warehouse, the alert has to leave
            code = "TIMEOUT" if isinstance(error, Late) else classify(error).code
            busy = code in _BUSY
            if busy and deadline.left() > BUDGET_S * _STORE:
                continue
            log_event(log, "alert_store_unavailable", level=logging.ERROR, code=code)
            if busy:
                # Many fail at this moment, and others are telling: this one is counted by the next flush.
                LocalMemory().spool(problem)
            else:
                _raise_degraded(problem, channels, settings, deadline, now)
            return
    deliver.deliver(told, channels, settings, deadline, now=now)


def _record(desk: Desk, problem: Problem, channels: Channels) -> list[Outgoing]:
    for name in channels.missing:
        if store.once_today(desk, f"missing {name}"):
            log_event(log, "alert_channel_missing", level=logging.WARNING, channel=name, what_to_do="docs/alerts.md")
    return store.record(desk, problem)


def _channels(settings: Settings) -> Channels:
    return within(BUDGET_S * _CONNECTIONS, lambda: open_channels(settings))


def _in_store(work: Callable[[Desk], T], channels: Channels | None, settings: Settings, now: datetime | None) -> T:
    """Do something in one transaction of bounded time; one that comes too late takes no effect."""
    abandoned = threading.Event()

    def run() -> T:
        editing = channels.editing if channels is not None else {}
        with open_desk(settings, editing, now=now, abandoned=abandoned) as desk:
            return work(desk)

    try:
        return within(BUDGET_S * _STORE, run)
    except Late:
        abandoned.set()
        raise


def _raise_degraded(
    problem: Problem, channels: Channels | None, settings: Settings, deadline: Deadline, now: datetime | None
) -> None:
    """Decide by local files, send once, and keep the event for the warehouse."""
    memory = LocalMemory()
    # First of all: whatever happens while it is sent, the event is not lost.
    kept = memory.spool(problem)
    moment = now or datetime.now(UTC)
    if channels is None or not memory.is_due(problem, settings.environment, settings.burst, moment):
        return
    said = message.of_problem(problem, None, kind="alert", settings=settings)
    said = replace(said, notes=(_DEGRADED,))
    names = store.routes(channels, severity=problem.severity, kind="alert", problem=problem)
    number = time.time_ns()
    going = [Outgoing(number, name, said, None, 1, {}, edits=False) for name in names]
    outcomes = deliver.send(going, channels, settings, max(deadline.left() - 0.1, 0.0))
    if any(outcome.place is not None for outcome in outcomes):
        memory.mark_told(kept, problem)


def _take_in_spool(channels: Channels, settings: Settings, now: datetime | None) -> int:
    taken = 0
    memory = LocalMemory()
    for path, problem, told in memory.spooled():
        with open_desk(settings, channels.editing, now=now) as desk:
            due = store.record(desk, problem, told=told)
        path.unlink(missing_ok=True)
        deliver.deliver(due, channels, settings, Deadline(BUDGET_S), now=now)
        taken += 1
    if taken:
        memory.forget()
    return taken


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except InputRejected as error:
        # A misspelt setting must not silence an alert.
        log_event(log, "alert_settings_refused", level=logging.ERROR, what_to_do=error.what_to_do)
        return Settings()


def _never_raising(what: str, work: Callable[[Deadline], None]) -> bool:
    """Do it in time; whether it was done."""
    deadline = Deadline(BUDGET_S)
    try:
        within(BUDGET_S, lambda: work(deadline))
    except Late:
        log_event(log, "alert_out_of_time", level=logging.ERROR, doing=what, budget_s=BUDGET_S)
    except Exception as error:  # noqa: BLE001 - an alert never fails the task it is about
        found = classify(error)
        log_event(log, "alert_failed", level=logging.ERROR, doing=what, code=found.code, exception=found.exception)
    else:
        return True
    return False

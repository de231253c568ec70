"""Getting messages out: what was just written down, and what has waited in the outbox."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from include.operations.alerts import outbox
from include.operations.alerts.budget import Deadline, Late, all_within, within
from include.operations.alerts.channels import Channels, NotDelivered
from include.operations.alerts.desk import exclusively, open_desk
from include.operations.alerts.outbox import Outgoing
from include.operations.alerts.settings import Settings
from include.operations.log import log_event

log = logging.getLogger(__name__)

# What one message may take when nobody waits for it.
_PATIENCE_S: Final = 8.0
_LEAST_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message: `place` when it was taken, else the code of the refusal."""

    outgoing: Outgoing
    place: Mapping[str, Any] | None
    code: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Flushed:
    """Result of a flush."""

    sent: int
    refused: int
    waiting: int
    taken_in: int = 0
    """Events of the time without a warehouse."""


def key_of(outgoing: Outgoing, environment: str) -> str:
    """The same for each try of a message, and no other's: channels that can drop a second copy do it by this."""
    return f"alert:{environment}:{outgoing.id}:{outgoing.version}"


def send(messages: Iterable[Outgoing], channels: Channels, settings: Settings, seconds: float) -> list[Outcome]:
    """Send messages side by side, once each, all within a time."""
    wanted = list(messages)

    def work(outgoing: Outgoing) -> Mapping[str, Any]:
        channel = channels[outgoing.channel]
        key = key_of(outgoing, settings.environment)
        return channel.send(outgoing.message, key=key, place=outgoing.place, edit=outgoing.edits)

    results = all_within(seconds, [partial(work, each) for each in wanted])
    return [_outcome(outgoing, result) for outgoing, result in zip(wanted, results, strict=True)]


def _outcome(outgoing: Outgoing, result: Mapping[str, Any] | BaseException) -> Outcome:
    if not isinstance(result, BaseException):
        outcome = Outcome(outgoing, result)
    elif isinstance(result, NotDelivered):
        outcome = Outcome(outgoing, None, result.code, result.retry_after)
    elif isinstance(result, Late):
        outcome = Outcome(outgoing, None, "TIMEOUT")
    else:
        # A bug in a renderer must not be silent; the message stays in the outbox.
        log.error("alert_not_sent channel=%s", outgoing.channel, exc_info=result)
        outcome = Outcome(outgoing, None, type(result).__name__)
    log_event(
        log,
        "alert_sent" if outcome.place is not None else "alert_waits",
        level=logging.INFO if outcome.place is not None else logging.WARNING,
        channel=outgoing.channel,
        kind=outgoing.message.kind,
        severity=outgoing.message.severity,
        incident=outgoing.incident_id,
        code=outcome.code or None,
    )
    return outcome


def settle(
    outcomes: Iterable[Outcome], channels: Channels, settings: Settings, *, now: datetime | None = None
) -> list[Outgoing]:
    """Write down what became of messages; returns those that go by e-mail because Slack did not take them."""
    instead: list[Outgoing] = []
    with open_desk(settings, channels.editing, now=now) as desk:
        exclusively(desk)
        for outcome in outcomes:
            if outcome.place is not None:
                outbox.sent(desk, outcome.outgoing, outcome.place)
                continue
            outbox.refused(desk, outcome.outgoing, outcome.code, outcome.retry_after)
            if outcome.outgoing.channel == "slack" and "email" in channels:
                instead += outbox.by_email_instead(desk, outcome.outgoing)
    return instead


def deliver(
    messages: list[Outgoing],
    channels: Channels,
    settings: Settings,
    deadline: Deadline,
    *,
    now: datetime | None = None,
) -> None:
    """Send what was just written down as far as the time goes; the rest stays in the outbox."""
    # Kept back for writing down how it went, which takes milliseconds unless the server is in trouble.
    reserve = 0.4
    while messages and deadline.left() > reserve + _LEAST_S:
        outcomes = send(messages, channels, settings, deadline.left() - reserve)
        write_down = partial(settle, outcomes, channels, settings, now=now)
        messages = within(max(deadline.left(), _LEAST_S), write_down)


def flush(channels: Channels, settings: Settings, *, seconds: float, now: datetime | None = None) -> Flushed:
    """Send what is due, oldest first. A channel that does not take a message is left alone until the next flush.

    Raises:
        psycopg.Error: the warehouse cannot be reached.
    """
    deadline = Deadline(seconds)
    working = set(channels)
    sent = refused = 0
    while working and deadline.left() > _LEAST_S:
        with open_desk(settings, channels.editing, now=now) as desk:
            outgoing = outbox.claim(desk, sorted(working))
        if outgoing is None:
            break
        (outcome,) = send([outgoing], channels, settings, deadline.left(_PATIENCE_S))
        deliver(settle([outcome], channels, settings, now=now), channels, settings, deadline, now=now)
        if outcome.place is not None:
            sent += 1
        else:
            refused += 1
            working.discard(outgoing.channel)
    with open_desk(settings, channels.editing, now=now) as desk:
        row = desk.one("select count(*) as n from ops.alert_outbox where sent_at is null")
    return Flushed(sent, refused, row["n"] if row else 0)

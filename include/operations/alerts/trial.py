"""A real test message over each channel, past outbox, silences and caps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from include.operations.alerts.budget import Late, within
from include.operations.alerts.channels import CONNECTIONS, Channel, NotDelivered, open_channels
from include.operations.alerts.message import Message
from include.operations.alerts.problem import Severity
from include.operations.alerts.settings import Settings
from include.operations.errors import InputRejected

_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Trial:
    """How it went: `delivered`, `refused` (the code is in `detail`) or `not configured`."""

    channel: str
    result: str
    detail: str = ""


def run(only: str | None = None) -> list[Trial]:
    """Send one test message over each channel, or over one.

    Raises:
        InputRejected: there is no channel of this name, or a setting is refused.
    """
    if only is not None and only not in CONNECTIONS:
        raise InputRejected(f"no channel {only}", what_to_do=f"give one of {', '.join(CONNECTIONS)}")
    settings = Settings.from_env()
    channels = open_channels(settings)
    found: list[Trial] = []
    for name in [only] if only is not None else CONNECTIONS:
        if name in channels:
            found.append(_send(channels[name], settings))
        elif name in channels.broken:
            found.append(Trial(name, "refused", f"connection {CONNECTIONS[name]}: {channels.broken[name]}"))
        else:
            found.append(Trial(name, "not configured", f"connection {CONNECTIONS[name]} is missing"))
    return found


def _send(channel: Channel, settings: Settings) -> Trial:
    now = datetime.now(UTC)
    message = Message(
        kind="test",
        severity=Severity.P4,
        title=f"Test message of {now:%Y-%m-%d %H:%M:%S} UTC",
        error_class="UNKNOWN",
        detail=("Somebody ran `alerts test`. Nothing is wrong.",),
        meta=(settings.environment,),
        environment=settings.environment,
        release=settings.release,
    )
    begun = time.monotonic()
    try:
        within(_PATIENCE_S, lambda: channel.send(message, key=f"test:{now.timestamp()}", place={}, edit=False))
    except NotDelivered as error:
        wait = f", try again in {error.retry_after.total_seconds():.0f} s" if error.retry_after else ""
        return Trial(channel.name, "refused", f"{error.code}{wait}")
    except Late:
        return Trial(channel.name, "refused", f"no answer within {_PATIENCE_S:.0f} s")
    return Trial(channel.name, "delivered", f"{time.monotonic() - begun:.1f} s")

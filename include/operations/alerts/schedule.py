"""When an incident that goes on is told again. Pure: the clock is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# Since the incident was opened; after the last one every REPEAT.
REMINDERS: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
REPEAT: Final = timedelta(hours=6)
# How long a message that was refused waits for its next try: doubled with each one, up to the longest.
_RETRY_FIRST: Final = timedelta(minutes=1)
_RETRY_LONGEST: Final = timedelta(minutes=30)


def next_reminder(opened_at: datetime, now: datetime) -> datetime:
    """Return the first moment after `now` at which the incident may be told again: 15 min, 1 h, 6 h, 12 h, 18 h..."""
    for offset in REMINDERS:
        if opened_at + offset > now:
            return opened_at + offset
    return opened_at + REPEAT * ((now - opened_at) // REPEAT + 1)


def next_try(tries: int, now: datetime, retry_after: timedelta | None = None) -> datetime:
    """Return when a message that was refused `tries` times (from 1) is tried again; a Retry-After is waited out."""
    wait = min(_RETRY_FIRST * (1 << min(max(tries - 1, 0), 10)), _RETRY_LONGEST)
    return now + max(wait, retry_after or wait)

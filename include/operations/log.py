"""Structured log lines: one event name, then key=value pairs in the order given."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

# Values made of these need no quotes and cannot be mistaken for the next pair.
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/+*@,~%")


class Logger(Protocol):
    """What `log_event` needs: the standard library's logger and Airflow's structured one both have it."""

    def log(self, level: int, msg: str, /, *args: Any) -> Any:
        """Write one line at a level."""


def log_event(logger: Logger, event: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write `event key=value ...`. Fields that are None are left out; text with spaces is quoted like JSON.

    Give counts, ids of systems and durations only: a log line must not hold a person's name, address or message.
    """
    logger.log(level, "%s", format_event(event, **fields))


def format_event(event: str, /, **fields: object) -> str:
    """Return the line `log_event` writes."""
    pairs = (f"{key}={_text(value)}" for key, value in fields.items() if value is not None)
    return " ".join((event, *pairs))


def _text(value: object) -> str:
    text = _plain_text(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=True)


def _plain_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6g}s"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)

"""Structured log lines: one event name, then key=value pairs in the order given."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Final

# Values made of these need no quotes and cannot be mistaken for the next pair.
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/+*@,~%")


def log_event(logger: logging.Logger, event: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write `event key=value ...`. Fields that are None are left out; text with spaces is quoted like JSON.

    Give counts, ids of systems and durations only: a log line must not hold a person's name, address or message.
    """
    # The line is the caller's, so that its file and number are shown.
    logger.log(level, "%s", format_event(event, **fields), stacklevel=2)


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

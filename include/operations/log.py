"""Structured log lines, the same fields everywhere, as key=value text or as JSON.

A line is an event name, the fields given with it, and the fields bound in `include.operations.context` (dag, run,
task, try, object, batch, ...). `PIPELINE_LOG_FORMAT` chooses how it is written:

* `keyvalue` (default): `event key=value ...`, one text.
* `json`: in Airflow's task logs, which are JSON lines, each field is a key of the line; at a terminal and in any
  other program each line is one JSON object.

Values that are text pass `scrub` wherever the line is written. What foreign code logs passes it too: in Airflow
through `include.operations.airflow_logging`, in our own programs through `LineFormatter`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from include.operations import context
from include.operations.scrub import scrub

FORMAT_VARIABLE: Final = "PIPELINE_LOG_FORMAT"

Value = str | int | float | bool

# Values made of these need no quotes and cannot be mistaken for the next pair.
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/+*@,~%")
_LONGEST_VALUE: Final = 2_000
# A line longer than this tells nobody more, and fills the disk.
LONGEST_LINE: Final = 20_000
# Names a line has of its own, or that Airflow's supervisor takes as arguments of its logger.
_TAKEN: Final = frozenset({"event", "level", "logger", "timestamp", "exception", "msg", "target", "self"})


class LogFormat(StrEnum):
    """How a line is written."""

    KEYVALUE = "keyvalue"
    JSON = "json"


def log_format() -> LogFormat:
    """What `PIPELINE_LOG_FORMAT` says; text when it says something unknown, which `doctor` reports."""
    return LogFormat.JSON if os.environ.get(FORMAT_VARIABLE, "").strip().lower() == "json" else LogFormat.KEYVALUE


def log_event(logger: logging.Logger, event: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one line: the event, these fields, and those of the context. Fields that are None are left out.

    Give counts, ids of systems and durations only: a log line must not hold a person's name, address or message.
    """
    if not logger.isEnabledFor(level):
        return
    values = plain({**fields, **{name: value for name, value in context.current().items() if name not in fields}})
    # The line is the caller's, so that its file and number are shown.
    logger.log(level, "%s", _line(event, values), stacklevel=2, extra={"event_name": event, "event_fields": values})


def plain(fields: Mapping[str, object]) -> dict[str, Value]:
    """Reduce values to what both formats can hold; times become ISO-8601, durations seconds, all else clean text."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def fields_of(record: logging.LogRecord | None) -> tuple[str | None, dict[str, Value]]:
    """Return the event and the fields of a record; of foreign code's lines the fields of the context, and no event.

    Names that the line itself uses get an underscore.
    """
    event = getattr(record, "event_name", None)
    found = record.__dict__["event_fields"] if record is not None and event else plain(context.current())
    return event, {f"{name}_" if name in _TAKEN else name: value for name, value in found.items()}


class LineFormatter(logging.Formatter):
    """Lines of programs that are not Airflow's: the command line, `make up`, the simulators."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, clean of secrets."""
        event, fields = fields_of(record)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        trace = scrub(self.formatException(record.exc_info), limit=LONGEST_LINE) if record.exc_info else None
        if log_format() is LogFormat.KEYVALUE:
            # The text of an own event has its fields, and has been cleaned value by value.
            text = record.getMessage() if event else scrub(_line(record.getMessage(), fields), limit=LONGEST_LINE)
            line = f"{time} {record.levelname} {record.name} {text}"
            return f"{line}\n{trace}" if trace else line
        head = {"timestamp": time, "level": record.levelname.lower(), "logger": record.name}
        text = event or scrub(record.getMessage(), limit=LONGEST_LINE)
        tail = {"exception": trace} if trace else {}
        return json.dumps({**head, "event": text, **fields, **tail}, ensure_ascii=False)


def _line(event: str, values: Mapping[str, Value]) -> str:
    return " ".join((event, *(f"{name}={_quoted(value)}" for name, value in values.items())))


def _quoted(value: Value) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=True)


def _plain(value: object) -> Value:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # What JSON has no number for is text.
        return value if value - value == 0 else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    return scrub(str(value), limit=_LONGEST_VALUE)

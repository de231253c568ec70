"""Airflow's logging with ours in it: `AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=<this module>.LOGGING_CONFIG`.

Airflow writes the logs of tasks, of DAG files (where callbacks run) and of triggers through structlog. The one place
where a deployment may add processors to that path is the object `REMOTE_TASK_LOG` of the logging module it names: its
`processors` run on every line, in the task and again in the supervisor that writes the file. Ours masks secrets and
personal values in messages, in tracebacks and in whatever foreign code logs, and lifts our fields into the line's keys
when `PIPELINE_LOG_FORMAT=json`. Logs that Airflow ships elsewhere go there as before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

import structlog
from airflow.config_templates import airflow_local_settings

from include.operations.log import LONGEST_LINE, LogFormat, fields_of, log_format
from include.operations.scrub import scrub

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol
    from structlog.typing import Processor

LOGGING_CONFIG: Final = airflow_local_settings.DEFAULT_LOGGING_CONFIG

# Airflow's own values, which hold no text of anybody's.
_AIRFLOWS: Final = frozenset({"timestamp", "level", "logger", "filename", "lineno", "loc", "ti_id"})
_DEEPEST: Final = 8


def clean(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every text in a line, with its traceback; in JSON give it our fields as keys."""
    if log_format() is LogFormat.JSON:
        # Airflow's own lines have no record.
        record = line.get("_record")
        event, fields = fields_of(record if isinstance(record, logging.LogRecord) else None)
        line["event"] = event or line.get("event")
        for name, value in fields.items():
            line.setdefault(name, value)
    for name, value in line.items():
        if name not in _AIRFLOWS and not name.startswith("_"):
            line[name] = _cleaned(value, _DEEPEST)
    return line


def clean_console() -> None:
    """Clean what this process writes itself: a LocalExecutor repeats there what its tasks print, past their files.

    Airflow has no setting for it, but asks for our processors in the process and before the first line of a task.
    """
    configured = structlog.get_config()["processors"]
    if clean not in configured:
        # In place, because loggers keep the list. A traceback is text after the first of them.
        configured[-1:-1] = [structlog.processors.format_exc_info, clean]


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return scrub(value, limit=LONGEST_LINE)
    if depth and isinstance(value, dict):
        return {name: _cleaned(each, depth - 1) for name, each in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_cleaned(each, depth - 1) for each in value]
    return value


class CleanTaskLog:
    """What Airflow asks for shipping task logs: cleans each line, and leaves the shipping to Airflow's own."""

    def __init__(self, shipped_by: Any) -> None:
        self._shipped_by = shipped_by
        # Airflow prefers streams where there are any.
        if (stream := getattr(shipped_by, "stream", None)) is not None:
            self.stream = stream

    @property
    def processors(self) -> tuple[Processor, ...]:
        """Ours before theirs: nothing leaves the machine uncleaned."""
        clean_console()
        return (clean, *getattr(self._shipped_by, "processors", ()))

    def upload(self, path: os.PathLike[str] | str, ti: RuntimeTaskInstanceProtocol | None = None) -> None:
        """Ship a finished log, where logs are shipped."""
        if self._shipped_by is not None:
            self._shipped_by.upload(path, ti)

    def read(self, relative_path: str, ti: RuntimeTaskInstanceProtocol) -> tuple[list[str], Any]:
        """Read a shipped log; where logs are not shipped there is none, and Airflow reads its file."""
        return ([], None) if self._shipped_by is None else self._shipped_by.read(relative_path, ti)


REMOTE_TASK_LOG: Final = CleanTaskLog(airflow_local_settings.REMOTE_TASK_LOG)
DEFAULT_REMOTE_CONN_ID: Final = airflow_local_settings.DEFAULT_REMOTE_CONN_ID

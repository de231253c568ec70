"""Alerts: every permanent failure told once, quickly, with what to do, and nothing else.

`raise_problem(Problem(...))` tells, `resolve(...)` says that it is over, `note_success(...)` counts good runs,
`flush_outbox()` sends what waits. How it is decided: `store.py`; what wakes whom: `docs/alerts.md`. Cheap to import.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from include.operations.alerts.problem import Kind, Problem, Severity

if TYPE_CHECKING:
    from include.operations.alerts.deliver import Flushed

__all__ = [
    "Kind",
    "Problem",
    "Severity",
    "check_recoveries",
    "digest",
    "flush_outbox",
    "note_success",
    "raise_problem",
    "resolve",
]


def raise_problem(problem: Problem, *, now: datetime | None = None) -> None:
    """Tell what is wrong, unless it is known, silenced or not due. Takes at most 5 s and never raises."""
    from include.operations.alerts import report

    report.raise_problem(problem, now=now)


def resolve(incident: str | Problem, note: str = "", *, now: datetime | None = None) -> bool:
    """Say that it is over, by the incident's key or one of its events. Takes at most 5 s and never raises.

    False: it could not be written down, so say it again later; saying it twice is harmless.
    """
    from include.operations.alerts import report

    return report.resolve(incident, note, now=now)


def note_success(dag_id: str, run_id: str, clear_number: int = 0, *, now: datetime | None = None) -> None:
    """Note a good run; the second in a row ends the DAG's incidents. Takes at most 5 s and never raises."""
    from include.operations.alerts import report

    report.note_success(dag_id, run_id, clear_number, now=now)


def flush_outbox(*, seconds: float = 30.0, now: datetime | None = None) -> Flushed:
    """Send what waits, oldest first, for at most so long; take in what happened while the warehouse was away.

    Raises:
        psycopg.Error: the warehouse cannot be reached.
    """
    from include.operations.alerts import report

    return report.flush_outbox(seconds=seconds, now=now)


def check_recoveries(*, now: datetime | None = None) -> int:
    """End the incidents of DAG files that can be imported again; returns how many.

    Raises:
        psycopg.Error: the warehouse or Airflow's metadata cannot be read.
    """
    from include.operations.alerts import import_errors

    return import_errors.check_recoveries(now=now)


def digest(
    key: str, *, title: str, text: str, html: str = "", picture: bytes | None = None, now: datetime | None = None
) -> None:
    """Send a report by e-mail and Slack, once for each key. What is not taken at once waits in the outbox.

    Args:
        key: names the report, e.g. `weekly 2026-W02`; a second one of this key is not sent.
        title: one line.
        text: the report for Slack and for mail readers without HTML.
        html: its HTML, put into the mail as it is: escape what comes from data.
        picture: a PNG, shown in the mail and uploaded to Slack.
        now: the moment; the server's clock when it is not given.

    Raises:
        psycopg.Error: the warehouse cannot be reached; nothing was sent.
    """
    from include.operations.alerts import report

    report.digest(key, title=title, text=text, html=html, picture=picture, now=now)

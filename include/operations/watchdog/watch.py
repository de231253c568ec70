"""One round of the watchdog: make all checks, judge the readings, keep the episodes, tell what is new.

A check that fails is a warning of its own and never hides the others. Only two things end the round with an error: no
metadata (after everything else was done) and no warehouse; then the task is red and its alert leaves.

What is decided is committed before it is told, and marked when it was told, so a watchdog that is killed in between
loses nothing; the alerts take the same event twice for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from include.operations.alerts import Kind, Problem, raise_problem, resolve
from include.operations.alerts.failures import of_import
from include.operations.errors import classify
from include.operations.log import log_event
from include.operations.watchdog import machine_checks, metadata_checks, pipeline_checks, store
from include.operations.watchdog.episodes import OPEN, Episode, Reading, advance
from include.operations.watchdog.thresholds import SECONDS, Threshold, load

log = logging.getLogger(__name__)

DAG_ID: Final = "ops_watchdog"
# One query that hangs must not take the time of all the others.
_STATEMENT_TIMEOUT: Final = timedelta(seconds=10)


@dataclass(slots=True)
class Round:
    """What one round of checks has found."""

    thresholds: Mapping[str, Threshold]
    readings: list[Reading] = field(default_factory=list)
    checked: set[str] = field(default_factory=set)

    def make(
        self, subject: str, checks: Iterable[str], work: Callable[[], Iterable[Reading]], connection: Any = None
    ) -> None:
        """Make a check; its failure is a reading, too, unless it was the end of the connection of all the others."""
        try:
            found = list(work())
        except Exception as error:
            if connection is not None and connection.closed:
                raise
            self.failed(subject, error)
            return
        self.readings += found
        self.checked.update(checks)

    def failed(self, subject: str, error: Exception) -> None:
        """Note a check that could not be made: class and code, never the message."""
        found = classify(error)
        log_event(
            log, "check_failed", level=logging.ERROR, check=subject, error_class=found.error_class, code=found.code
        )
        said = (f"{found.error_class} {found.code}", found.what_to_do)
        self.readings.append(Reading("check_failed", subject, 1, detail=said))


def watch(*, now: datetime | None = None) -> dict[str, Any]:
    """Make one round and return its figures. `now` takes the place of the servers' clocks, for tests.

    Raises:
        PipelineError, psycopg.Error: the metadata or the warehouse cannot be used.
    """
    from include.connections import warehouse

    thresholds, faults = load()
    found = Round(thresholds)
    found.checked.add("check_failed")
    for fault in faults:
        said = (fault.text, "the default holds until then")
        found.readings.append(Reading("check_failed", fault.variable, 1, detail=said))
    trouble = _check_metadata(found, now)
    found.make("disks", ("disk", "disk_full"), machine_checks.disks)
    found.make("memory", ("memory",), machine_checks.memory)
    found.make("stream", ("stream_backlog", "stream_age"), pipeline_checks.stream)
    with warehouse() as connection:
        moment = now or metadata_checks.clock(connection)
        for name, (check, covers) in pipeline_checks.WAREHOUSE_CHECKS.items():
            look = pipeline_checks.Warehouse(connection, moment)
            found.make(name, covers, partial(_apart, check, look), connection)
    with warehouse() as connection:
        before = store.begin(connection)
        after = advance(before, found.readings, found.checked, thresholds, moment)
        store.write(connection, after)
    warned, recovered = _tell(thresholds, moment)
    failed = sorted(each.subject for each in found.readings if each.check == "check_failed")
    still = sorted(f"{each.check} {each.subject}".strip() for each in after if each.state == OPEN)
    log_event(log, "watched", readings=len(found.readings), failed=len(failed), open=len(still), warned=warned)
    if trouble is not None:
        raise trouble
    return {"warned": warned, "recovered": recovered, "open": still, "checks_failed": failed}


def _check_metadata(found: Round, now: datetime | None) -> Exception | None:
    """Make the checks on Airflow's metadata; returns why they could not be made at all, or not to the end."""
    from include.operations.metadata import metadata

    try:
        with metadata(statement_timeout=_STATEMENT_TIMEOUT) as connection:
            moment = now or metadata_checks.clock(connection)
            look = metadata_checks.Metadata(connection, moment, found.thresholds)
            for name, (check, covers) in metadata_checks.CHECKS.items():
                found.make(name, covers, partial(_apart, check, look), connection)
    except Exception as error:  # noqa: BLE001 - raised by the caller when everything else is done
        return error
    return None


def _apart(check: Callable[[Any], Iterable[Reading]], look: Any) -> list[Reading]:
    """Make a check behind a savepoint, so that its error does not spoil the transaction for the next one."""
    with look.connection.transaction():
        return list(check(look))


def _tell(thresholds: Mapping[str, Threshold], now: datetime) -> tuple[int, int]:
    """Hand over what was not told yet; returns how many warnings and how many recoveries."""
    from include.connections import warehouse

    with warehouse() as connection:
        new, over = store.to_warn(connection), store.to_recover(connection)
    # The worst first: a channel that hangs makes the others wait.
    for each in sorted(new, key=lambda episode: _threshold(thresholds, episode).severity):
        raise_problem(problem(each, _threshold(thresholds, each)), now=now)
        with warehouse() as connection:
            store.warned(connection, each, now)
        # Over before it could be told: both in one round.
        over += [each] if each.ended_at is not None else []
    for each in over:
        threshold = _threshold(thresholds, each)
        if resolve(problem(each, threshold), recovery(each, threshold), now=now) is False:
            continue  # the next round says it again
        with warehouse() as connection:
            store.recovered(connection, each, now)
    return len(new), len(over)


def _threshold(thresholds: Mapping[str, Threshold], episode: Episode) -> Threshold:
    """The episode's threshold, or one that stands for it when this version of the code has none of that name."""
    name = episode.check
    unknown = Threshold(name, name, "", episode.threshold, "P3", episode.normal, source="", what_to_do="")
    return thresholds.get(name, unknown)


def problem(episode: Episode, threshold: Threshold) -> Problem:
    """The warning as the alerts want it: value, normal, since when, what to do."""
    if episode.check == "import_error":
        # The same incident as the one that the DAG processor's listener reports.
        return replace(of_import(episode.subject, "", minute=f"episode {episode.id}"), since=episode.since)
    what = f"{threshold.title}: {episode.subject}" if episode.subject else threshold.title
    word = "below" if threshold.below else "above"
    return Problem(
        kind=Kind.WARNING,
        title=what,
        dag_id=episode.dag_id or DAG_ID,
        run_id=f"episode {episode.id}",
        task_id=episode.task_id,
        object=episode.subject,
        code=episode.check,
        fingerprint=episode.check,
        severity=threshold.severity,
        detail=(*episode.detail, f"warned when {word} {show(episode.threshold, threshold.unit)}"),
        what_to_do=threshold.what_to_do,
        runbook=threshold.runbook,
        since=episode.since,
        value=show(episode.worst, threshold.unit),
        normal=episode.normal,
    )


def recovery(episode: Episode, threshold: Threshold) -> str:
    """What is said when it is over."""
    lasted = ((episode.ended_at or episode.checked_at) - episode.since).total_seconds() / SECONDS["min"]
    now = "gone" if episode.value is None else f"now {show(episode.value, threshold.unit)}"
    return f"{now}, at worst {show(episode.worst, threshold.unit)}, for {lasted:.0f} min"


def show(value: float | None, unit: str) -> str:
    """A value with its unit, with as many digits as one can read."""
    if value is None:
        return "-"
    digits = f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.1f}"
    return f"{digits} {unit}".rstrip()

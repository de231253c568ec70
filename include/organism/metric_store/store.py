"""The task `store_metrics`: what follows from a run's measurements. Each step may be repeated at any point.

1. Burnout scores beside the measurements: a person's newest consented answer of the last 100 days.
2. Means by hour and day.
3. Published means of groups.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.conflicts import repeat
from include.operations.errors import InputRejected
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.assessments.usual import USUAL_INSTRUMENT
from include.organism.metric_store import rollup, teams
from include.organism.metric_store.columns import METRICS
from include.organism.metric_store.writer import lock_run

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)
# A quarter's survey counts until the next one is in.
VALID: Final = timedelta(days=100)

_BAD: Final = "count(*) filter (where {} in ('NaN', 'Infinity', '-Infinity'))"
_TRY: Final = "select epoch from organism.metric_run where measured_at = %s and completed_at is not null"
# A withdrawn consent is a newer row without a score.
_SCORES: Final = f"""
with answer as (
  select employee_id, instrument, assessed_on, score from organism.burnout_assessment
  where assessed_on > %(since)s and assessed_on <= %(day)s
), usual as (
  {USUAL_INSTRUMENT}
), newest as (
  select distinct on (employee_id) employee_id, score from answer
  where instrument = (select instrument from usual) order by employee_id, assessed_on desc
), wanted as (
  select employee_id, newest.score from organism.employee_metrics left join newest using (employee_id)
  where measured_at = %(at)s
)
update organism.employee_metrics as stored set burnout_score = wanted.score from wanted
where stored.measured_at = %(at)s and stored.employee_id = wanted.employee_id
  and stored.burnout_score is distinct from wanted.score
"""  # noqa: S608 - a constant is put in, nothing given


def store(connection: psycopg.Connection, measured_at: datetime) -> dict[str, Any]:
    """Do all of it for a run; commits each step.

    Returns:
        `scores` that changed, `rolled_up` rows by table, `published` numbers, `suppressed` ones by reason, `seconds`.

    Raises:
        InputRejected: the run's measurements are not there or are no numbers, or a minimum group is set below the
            floor.
        LeaseLost: a later try of the run has begun to measure; it will store what follows.
    """
    start = time.monotonic()
    row = connection.execute(_TRY, [measured_at]).fetchone()
    if row is None:
        raise InputRejected(
            f"there are no measurements of {measured_at:%Y-%m-%d %H:%M}",
            what_to_do="run refresh_materialized_views of this run first",
        )
    epoch = int(row[0])
    _check(connection, measured_at)
    undo = connection.rollback
    scores = repeat(lambda: fill_scores(connection, measured_at, epoch), undo=undo)
    fault_point("store.scores_filled")
    rolled_up = repeat(lambda: rollup.roll_up(connection, measured_at, epoch), undo=undo)
    fault_point("rollup.after_commit")
    published = repeat(lambda: teams.publish(connection, measured_at, epoch), undo=undo)
    fault_point("teams.after_commit")
    done = {
        "scores": scores,
        "rolled_up": rolled_up,
        "published": published.numbers,
        "suppressed": published.suppressed,
        "seconds": round(time.monotonic() - start, 3),
    }
    log_event(
        log,
        "metrics_stored",
        scores=scores,
        published=published.numbers,
        suppressed=sum(published.suppressed.values()),
        seconds=done["seconds"],
        **rolled_up,
    )
    return done


def _check(connection: psycopg.Connection, measured_at: datetime) -> None:
    """The writer lets nothing else in; somebody may have written into the table."""
    from psycopg import sql

    bad = sql.SQL(", ").join(sql.SQL(_BAD).format(sql.Identifier(name)) for name in METRICS)
    query = sql.SQL("select {} from organism.employee_metrics where measured_at = %s").format(bad)
    counts = connection.execute(query, [measured_at]).fetchone() or ()
    for name, count in zip(METRICS, counts, strict=True):
        if count:
            raise InputRejected(
                f"{name} is no finite number for {count} of the people measured at {measured_at:%Y-%m-%d %H:%M}",
                what_to_do="find out who wrote into organism.employee_metrics, then clear the run's tasks from "
                "refresh_materialized_views on",
            )


def fill_scores(connection: psycopg.Connection, measured_at: datetime, epoch: int) -> int:
    """Set each measured person's burnout score, or none; returns how many changed. Commits.

    Raises:
        LeaseLost: a later try of the run has begun; nothing was written.
    """
    lock_run(connection, measured_at, epoch)
    day = measured_at.date()
    changed = connection.execute(_SCORES, {"at": measured_at, "day": day, "since": day - VALID}).rowcount
    connection.commit()
    return changed

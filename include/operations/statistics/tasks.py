"""The bodies of the tasks of `ops_statistics`.

Drivers are imported inside: every parse of the DAG file imports this module.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.operations.log import log_event

if TYPE_CHECKING:
    from include.operations.statistics.digest import Digest

log = logging.getLogger(__name__)
Manifest = dict[str, Any]


def roll_up(params: dict[str, Any]) -> Manifest:
    """Bring `ops.workflow_stats` up to date; returns counts."""
    from include.operations.statistics import rollup

    done = rollup.roll_up(backfill=bool(params.get("backfill")))
    log_event(
        log,
        "statistics_rolled_up",
        since=done.since,
        runs=done.runs,
        hours=done.hours,
        rows=done.rows,
        seconds=done.seconds,
    )
    return {
        "since": done.since.isoformat(),
        "rows_in": done.runs,
        "rows_out": done.rows,
        "hours": done.hours,
        "seconds": round(done.seconds, 3),
    }


def weekly_digest(params: dict[str, Any]) -> Manifest:
    """Send the digest of the week that has ended, once; or, when asked for, one of the week so far.

    Skipped when there is nothing to send.
    """
    from include.connections import warehouse
    from include.operations.statistics import digest

    now = datetime.now(UTC)
    with warehouse() as connection:
        so_far = bool(params.get("digest_now"))
        monday = digest.monday_of(now) if so_far else digest.due(connection, now)
        if monday is None:
            raise AirflowSkipException("the digest of last week was sent, or there is nothing to say")
        found = digest.collect(connection, monday)
    send(found, key=f"{found.key} as of {now:%Y-%m-%dT%H:%M:%S}" if so_far else found.key)
    if not so_far:
        # After the hand-over: a digest that comes a second time is known to the outbox by its key.
        with warehouse() as connection:
            digest.mark_sent(connection, monday)
    log_event(log, "weekly_digest_sent", week=str(monday), runs=found.now.total, failed=found.now.failed)
    return {"week": str(monday), "runs": found.now.total, "failed": found.now.failed}


def send(found: Digest, *, key: str) -> None:
    """Hand a digest to the channels."""
    from include.operations import alerts
    from include.operations.statistics import picture, report

    alerts.digest(
        key, title=report.title(found), text=report.text(found), html=report.html(found), picture=picture.draw(found)
    )

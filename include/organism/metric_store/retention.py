"""Makes partitions ahead of their time and drops what is past its own: the task `prune_metrics` of `ops_housekeeping`.

The same on a plain PostgreSQL and in both editions of TimescaleDB: the deletion is a task's, so it is seen and logged.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from include.organism.metric_store import layout
from include.organism.metric_store.teams import REMEMBERED

if TYPE_CHECKING:
    import psycopg

_AHEAD: Final = 2
_FORGET_COHORTS: Final = "delete from organism.team_cohort where last_published_at < %s"


def keep(connection: psycopg.Connection, now: datetime | None = None) -> dict[str, int]:
    """Make and drop; commits as it goes, and can be repeated at any point.

    Returns:
        What was made or dropped: `made`, `cohorts`, and partitions or chunks by table. Nothing for zeros.

    Raises:
        psycopg.errors.LockNotAvailable: somebody reads a table for long; what was dropped stays dropped.
    """
    moment = now or datetime.now(UTC)
    done = {"made": 0}
    for series in layout.ALL:
        done["made"] += layout.make_room(connection, series, moment, moment + _AHEAD * timedelta(days=series.days))
        connection.commit()
    for series in layout.ALL:
        done[series.table] = layout.drop_before(connection, series, moment - timedelta(days=series.kept_days))
    done["cohorts"] = connection.execute(_FORGET_COHORTS, [moment - REMEMBERED]).rowcount
    connection.commit()
    return {name: count for name, count in done.items() if count}

"""Reading what is published of groups: a metric of a team over time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from include.operations.errors import InputRejected
from include.organism.metric_store.cohorts import EVERYONE
from include.organism.metric_store.columns import METRICS

if TYPE_CHECKING:
    import psycopg

_TREND: Final = """
select organism.bucket(%(step)s, measured_at), avg(mean), min(n), count(mean)::int, count(suppressed)::int
from organism.team_metrics
where team = %(team)s and audience = %(audience)s and metric = %(metric)s
  and measured_at >= %(since)s and measured_at < %(until)s
group by 1 order by 1
"""


class Point(NamedTuple):
    """A step of a trend.

    Attributes:
        begin: begin of the step, UTC.
        mean: mean over the step's runs; None: all were suppressed.
        n: fewest people that a run's mean is about; None: all were suppressed.
        runs: runs with a number.
        suppressed: runs without one.
    """

    begin: datetime
    mean: float | None
    n: int | None
    runs: int
    suppressed: int


def team_trend(
    connection: psycopg.Connection,
    team: str,
    metric: str,
    since: datetime,
    until: datetime,
    *,
    audience: str = EVERYONE,
    step: timedelta = timedelta(days=1),
) -> list[Point]:
    """A group's published means from `since` to before `until`, by step.

    Args:
        connection: the warehouse.
        team: the team; "": the whole organisation.
        metric: one of `columns.METRICS`.
        since: begin, with a zone.
        until: end, with a zone.
        audience: everyone; of the whole organisation also managers or others.
        step: width of a step.

    Raises:
        InputRejected: there is no such metric.
    """
    if metric not in METRICS:
        raise InputRejected("there is no such metric", what_to_do=f"ask for one of {', '.join(METRICS)}")
    values = {"team": team, "audience": audience, "metric": metric, "since": since, "until": until, "step": step}
    return [Point(*row) for row in connection.execute(_TREND, values).fetchall()]

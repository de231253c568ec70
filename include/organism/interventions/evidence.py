"""What proposals rest on: estimates of the causal analysis, metrics of the newest run, and who does not take part."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_COLUMNS: Final = """
select id, specification_hash, treatment, outcome, verdict, estimate, ci_low, ci_high, clusters, q_value, placebo_p,
  lead_p, overlap_ok, runs_of_this_sign >= 2
from organism.causal_estimate
"""
_OF_RUN: Final = f"{_COLUMNS} where measured_at = %s and verdict = 'supported' order by q_value, id"
_BY_ID: Final = f"{_COLUMNS} where id = any(%s) order by id"
_FRESH: Final = """
select measured_at, people from organism.metric_run where completed_at is not null order by measured_at desc limit 1
"""
_UNWILLING: Final = "select employee_id from organism.excluded_person"
_MEANS: Final = """
select team, avg({column}) from organism.employee_metrics
where measured_at = %s and employee_id = any(%s) and {column} between '-infinity' and 'infinity'
group by team
"""
_MEAN: Final = """
select avg({column}) from organism.current_metrics
where employee_id = any(%s) and {column} between '-infinity' and 'infinity'
"""
# Treatments that are columns of organism.employee_metrics, and so have a mean in a group.
MEASURED: Final = frozenset({"degree_centrality", "strength", "betweenness_centrality", "out_of_team_share"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """A row of `organism.causal_estimate`, as far as it decides; a figure that is not there is NaN."""

    id: int
    specification_hash: str
    treatment: str
    outcome: str
    verdict: str
    estimate: float
    ci_low: float
    ci_high: float
    clusters: int
    q_value: float
    placebo_p: float
    lead_p: float
    overlap_ok: bool | None
    sign_stable: bool | None

    def times(self, change: float) -> tuple[float, float, float]:
        """Expected effect of a change of the treatment, and its 95 % interval: the estimate's, times the change."""
        ends = sorted((self.ci_low * change, self.ci_high * change))
        return self.estimate * change, ends[0], ends[1]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest complete run of metrics; None: there is none."""

    measured_at: datetime | None
    people: int


def of_run(connection: psycopg.Connection, measured_at: datetime) -> list[Estimate]:
    """The supported estimates of a run, the surest first."""
    return [_estimate(row) for row in connection.execute(_OF_RUN, [measured_at])]


def by_id(connection: psycopg.Connection, ids: Collection[str]) -> list[Estimate]:
    """Estimates by id; those that are not there, or whose id is no number, are missing."""
    numbers = [int(each) for each in ids if each.isascii() and each.isdigit()]
    return [_estimate(row) for row in connection.execute(_BY_ID, [numbers])]


def freshness(connection: psycopg.Connection) -> Freshness:
    """When metrics were last complete, and of how many people."""
    found = connection.execute(_FRESH).fetchone()
    return Freshness(found[0], found[1] or 0) if found else Freshness(None, 0)


def unwilling(connection: psycopg.Connection) -> set[str]:
    """People who opted out or are on leave."""
    return {row[0] for row in connection.execute(_UNWILLING)}


def team_means(
    connection: psycopg.Connection, measured_at: datetime, treatment: str, people: Sequence[str]
) -> dict[str, float]:
    """Mean of a measured treatment of these people, by the team they had in that run."""
    rows = connection.execute(_query(_MEANS, treatment), [measured_at, list(people)])
    return {team: float(mean) for team, mean in rows if team is not None and mean is not None}


def mean_now(connection: psycopg.Connection, treatment: str, people: Collection[str]) -> float:
    """Mean of a measured treatment of these people in the newest run; NaN: there is none."""
    found = connection.execute(_query(_MEAN, treatment), [list(people)]).fetchone()
    return float(found[0]) if found and found[0] is not None else math.nan


def _query(template: str, treatment: str) -> Any:
    from psycopg import sql

    if treatment not in MEASURED:
        raise ValueError("a treatment that is not measured has no mean")
    return sql.SQL(template).format(column=sql.Identifier(treatment))


def _estimate(row: tuple[Any, ...]) -> Estimate:
    number, spec, treatment, outcome, verdict, *figures, overlap, stable = row
    value, low, high, clusters, q, placebo, lead = figures
    known = [math.nan if each is None else float(each) for each in (value, low, high, q, placebo, lead)]
    value, low, high, q, placebo, lead = known
    return Estimate(
        number, spec, treatment, outcome, verdict, value, low, high, clusters or 0, q, placebo, lead, overlap, stable
    )

"""Outcomes: a week after an action, what changed for the treated against the people who were held out.

Difference-in-differences on each person's own change: with d = mean after - mean before of a person,

    effect = mean(d of treated) - mean(d of held out)
    95 % interval: effect -+ t(0.975, nu) * sqrt(s1^2/n1 + s0^2/n0), Welch's standard error and degrees of freedom

Source: Welch, Biometrika 34 (1947) 28-35; who is held out is drawn by a hash, so without the action both groups would
have changed alike in expectation. What counts as harm is the action type's rule (catalogue.Rule).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.interventions import audit, evidence, execution, store, switch
from include.organism.interventions.audit import Event
from include.organism.interventions.catalogue import CATALOGUE, Rule

if TYPE_CHECKING:
    import psycopg

    from include.organism.interventions.execution import Desk
    from include.organism.interventions.settings import Settings
    from include.organism.interventions.store import Intervention

log = logging.getLogger(__name__)

CONTACT: Final = "degree_centrality"
# A person's mean before and after, by the same questionnaire; consent may have been withdrawn since.
_BURNOUT: Final = """
select avg(before), avg(after) from (
  select employee_id, instrument,
    avg(score) filter (where assessed_on < %(at)s::timestamptz::date) as before,
    avg(score) filter (where assessed_on > %(at)s::timestamptz::date) as after
  from organism.burnout_assessment
  where employee_id = any(%(people)s) and consent
    and assessed_on between %(since)s::timestamptz::date and %(now)s::timestamptz::date
    and not exists (select from organism.excluded_person x where x.employee_id = burnout_assessment.employee_id)
  group by employee_id, instrument
) each where before is not null and after is not null
group by employee_id order by employee_id
"""
_DEGREE: Final = """
select before, after from (
  select employee_id, avg(degree_centrality) filter (where measured_at < %(at)s) as before,
    avg(degree_centrality) filter (where measured_at >= %(at)s) as after
  from organism.employee_metrics
  where employee_id = any(%(people)s) and measured_at between %(since)s and %(now)s
    and degree_centrality between '-infinity' and 'infinity'
    and not exists (select from organism.excluded_person x where x.employee_id = employee_metrics.employee_id)
  group by employee_id
) each where before is not null and after is not null
order by employee_id
"""
_QUERIES: Final = {"burnout_score": _BURNOUT, CONTACT: _DEGREE}
_DUE: Final = """
select id from organism.intervention i where status = 'executed' and executed_at <= %(due)s and executed_at > %(late)s
  and not exists (select from organism.intervention_outcome o
    where o.intervention_id = i.id and o.metric = %(metric)s and o.verdict <> 'not_measurable')
order by executed_at
"""
_KEEP: Final = """
insert into organism.intervention_outcome
  (intervention_id, metric, checked_at, treated, holdout, before, after, effect, low, high, verdict, reason)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (intervention_id, metric) do update set checked_at = excluded.checked_at, treated = excluded.treated,
  holdout = excluded.holdout, before = excluded.before, after = excluded.after, effect = excluded.effect,
  low = excluded.low, high = excluded.high, verdict = excluded.verdict, reason = excluded.reason
"""
_HARMFUL: Final = """
select distinct i.id, i.action from organism.intervention i
join organism.intervention_outcome o on o.intervention_id = i.id and o.verdict = 'harmful'
where i.status in ('executed', 'rolling_back') order by i.id
"""
_HARMS: Final = """
select i.action, count(distinct i.id) from organism.intervention i
join organism.intervention_outcome o on o.intervention_id = i.id and o.verdict = 'harmful'
left join organism.intervention_type t on t.action = i.action
where o.checked_at >= %s and o.checked_at > coalesce(
  (select max(a.at) from organism.intervention_audit a
   where a.event = 'action_type_enabled' and a.detail->>'action' = i.action), '-infinity')
group by i.action having count(distinct i.id) >= %s order by i.action
"""
_STUCK: Final = """
select id, status from organism.intervention
where status in ('executing', 'rolling_back') and lease_until < %s order by id
"""
# So long after its lease has ended no try of the run that held it can still be on its way.
_ABANDONED: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed.

    Attributes:
        treated, holdout: people with values before and after.
        before, after: means of the treated.
        effect, low, high: difference in differences and its 95 % interval.
    """

    treated: int
    holdout: int
    before: float
    after: float
    effect: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and why."""

    verdict: str
    reason: str


Pairs = Collection[tuple[float, float]]


def difference(treated: Pairs, holdout: Pairs) -> Difference:
    """Compare (before, after) of the treated with those of the held out; at least two people each.

    Values may be Decimals. Where nobody's change differs from another's the interval is the point.
    """
    import numpy as np
    from scipy import stats

    first, second = (np.asarray(list(pairs), dtype=float) for pairs in (treated, holdout))
    changes, others = first[:, 1] - first[:, 0], second[:, 1] - second[:, 0]
    effect = float(changes.mean() - others.mean())
    parts = [float(each.var(ddof=1)) / len(each) for each in (changes, others)]
    spread = math.sqrt(sum(parts))
    margin = 0.0
    if spread > 0:
        freedom = sum(parts) ** 2 / sum(
            part**2 / (len(each) - 1) for part, each in zip(parts, (changes, others), strict=True)
        )
        margin = float(stats.t.ppf(0.975, freedom)) * spread
    before, after = (float(each) for each in first.mean(axis=0))
    return Difference(len(first), len(second), before, after, effect, effect - margin, effect + margin)


def judge(found: Difference, metric: str, rule: Rule) -> Judged:
    """Apply an action type's rule to one metric."""
    if metric != rule.metric:
        return _judge_contact(found, rule)
    # From here on positive is worse.
    sign = -rule.better
    worse, ends = sign * found.effect, sorted((sign * found.low, sign * found.high))
    if ends[0] > 0:
        return Judged("harmful", "it got worse, and the whole interval says so")
    if worse > rule.worst_change * abs(found.before):
        return Judged("harmful", f"it got worse by more than {rule.worst_change:.0%} of what it was")
    if ends[1] < 0:
        return Judged("improved", "it got better, and the whole interval says so")
    return Judged("no_difference", "the interval holds zero")


def _judge_contact(found: Difference, rule: Rule) -> Judged:
    if rule.least_contact is not None and found.before + found.effect < rule.least_contact * found.before:
        return Judged("harmful", f"less than {rule.least_contact:.0%} of the contacts are left: people were cut off")
    return Judged("no_difference", "contacts are about what they were")


def check(desk: Desk) -> dict[str, int]:
    """Look at everything that was executed long enough ago; returns how many got which verdict.

    What cannot be measured yet is looked at again the next day, until it is given up.
    """
    settings, now = desk.settings, desk.clock()
    counts: dict[str, int] = {}
    with desk.connection.transaction():
        due: list[UUID] = []
        for metric in _QUERIES:
            values = {
                "due": now - timedelta(days=settings.outcome_days),
                "late": now - timedelta(days=settings.outcome_give_up_days),
                "metric": metric,
            }
            for (which,) in desk.connection.execute(_DUE, values):
                row = store.find(desk.connection, which)
                if CATALOGUE[row.action].rule.metric == metric:
                    due.append(which)
        holdout = desk.population(evidence.unwilling(desk.connection)).holdout if due else frozenset()
    for which in due:
        with desk.connection.transaction():
            verdict = _check_one(desk, which, holdout, now)
            counts[verdict] = counts.get(verdict, 0) + 1
            fault_point("interventions.outcome.before_commit")
        fault_point("interventions.outcome.committed")
    return counts


def _check_one(desk: Desk, which: UUID, holdout: Collection[str], now: datetime) -> str:
    row = store.find(desk.connection, which, lock=True)
    rule = CATALOGUE[row.action].rule
    metrics = [rule.metric, *([CONTACT] if rule.least_contact is not None else [])]
    people = [step.employee_id for step in store.steps(desk.connection, which) if step.state == "done"]
    verdicts = {}
    for metric in metrics:
        found = _measure(desk, row, metric, people, holdout, now)
        judged = judge(found, metric, rule) if found else Judged("not_measurable", "too few people have values")
        _keep(desk.connection, row, metric, found, judged, now)
        verdicts[metric] = judged.verdict
        detail = {"metric": metric, "verdict": judged.verdict, "effect": found.effect if found else None}
        audit.append(desk.connection, Event.CHECKED, desk.run, which, detail)
    verdict = "harmful" if "harmful" in verdicts.values() else verdicts[rule.metric]
    if verdict == "harmful":
        audit.append(desk.connection, Event.HARMFUL, desk.run, which, {"verdicts": verdicts})
    log_event(log, "outcome_checked", intervention=which, action=row.action, verdict=verdict)
    return verdict


def _measure(
    desk: Desk, row: Intervention, metric: str, people: list[str], holdout: Collection[str], now: datetime
) -> Difference | None:
    """None: fewer people than may be told of have values before and after."""
    assert row.executed_at is not None  # noqa: S101 - asked for by _DUE
    values = {
        "at": row.executed_at,
        "since": row.executed_at - timedelta(days=desk.settings.outcome_before_days),
        "now": now,
    }
    query = _QUERIES[metric]
    treated, others = (
        desk.connection.execute(query, {**values, "people": list(group)}).fetchall()
        for group in (people, set(holdout) - set(people))
    )
    least = desk.settings.group_floor(row.outcome)
    return difference(treated, others) if len(treated) >= least and len(others) >= least else None


def _keep(
    connection: psycopg.Connection,
    row: Intervention,
    metric: str,
    found: Difference | None,
    judged: Judged,
    now: datetime,
) -> None:
    figures: tuple[float | None, ...] = (None,) * 7
    if found is not None:
        figures = (found.treated, found.holdout, found.before, found.after, found.effect, found.low, found.high)
    connection.execute(_KEEP, [row.id, metric, now, *figures, judged.verdict, judged.reason])


def roll_back_harmful(desk: Desk) -> dict[str, int]:
    """Undo what harmed, then switch off types of actions that harmed repeatedly; returns how many of each."""
    with desk.connection.transaction():
        harmful = desk.connection.execute(_HARMFUL).fetchall()
    for which, action in harmful:
        execution.roll_back(desk, which, "harmful", "its outcome was harmful")
        log_event(log, "harmful_rolled_back", level=logging.WARNING, intervention=which, action=action)
    return {"rolled_back": len(harmful), "disabled": _disable(desk.connection, desk.settings, desk.run, desk.clock())}


def _disable(connection: psycopg.Connection, settings: Settings, actor: str, now: datetime) -> int:
    """Harm before a person switched the type on again does not count."""
    since = now - timedelta(days=settings.disable_within_days)
    with connection.transaction():
        found = connection.execute(_HARMS, [since, settings.disable_after]).fetchall()
        return sum(
            switch.disable(connection, action, actor, f"{count} harmful outcomes", now) for action, count in found
        )


def settle(desk: Desk) -> dict[str, int]:
    """End what no run goes on with: undo executions, finish rollbacks; returns how many."""
    with desk.connection.transaction():
        stuck = desk.connection.execute(_STUCK, [desk.clock() - _ABANDONED]).fetchall()
    for which, status in stuck:
        if status == "executing":
            execution.give_up(desk, which)
        else:
            execution.roll_back(desk, which, "", "")
    return {"settled": len(stuck)}


def audited(connection: psycopg.Connection) -> Iterator[str]:
    """Faults of the audit in words; the head goes into the log, where nobody who can write the database can change it.

    Yields:
        one line a fault, at most as many as a person reads.
    """
    found = audit.verify(connection)
    log_event(log, "audit_verified", entries=found.entries, faults=len(found.faults), head=str(found.head))
    for fault in found.faults[: audit.SHOWN_FAULTS]:
        yield f"entry {fault.seq}: {fault.what}"

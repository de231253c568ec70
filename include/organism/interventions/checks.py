"""The checks before an action, in a fixed order; the first that is not passed refuses it, with its own code.

They fail closed: each asks for what must hold, so an unknown, a missing figure or a NaN is a refusal. Two of the twelve
steps are not here: approval by a named person (`review.py`; here only that there is somebody who may), and the audit
(`audit.py`; every refusal is in it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from include.organism.interventions.catalogue import CATALOGUE, FORBIDDEN, Impact
from include.organism.interventions.settings import Mode

if TYPE_CHECKING:
    from include.organism.interventions.evidence import Estimate, Freshness
    from include.organism.interventions.population import Group
    from include.organism.interventions.settings import Settings


class Refusal(NamedTuple):
    """Why an action is not taken; the words name no person."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Switches:
    """What may run at all, as read at this moment; None: it could not be read."""

    variable: bool | None
    database: bool | None
    disabled: str | None = None
    """Why this type of action is switched off; None: it is not."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What was done lately.

    Attributes:
        rested: whether nobody of the treated was treated within the cool-down.
        week: people treated in the last seven days, this action's included, each once.
        today: actions begun in the last 24 hours, without this one.
        open: whether another action for the same group waits or is under way.
    """

    rested: bool
    week: int
    today: int
    open: bool


@dataclass(frozen=True, slots=True)
class Case:
    """All that the checks look at.

    Attributes:
        estimates: the evidence as stored; those that were not found are missing.
        evidence: how many estimates the proposal names.
        expected: expected effect and the ends of its interval; None: it has none.
        people: everyone in the graph.
        measurable: those of them who may be measured: neither opted out nor on leave.
        approvers: accounts that may approve this one.
    """

    action: str
    outcome: str
    now: datetime
    expires_at: datetime
    settings: Settings
    switches: Switches
    freshness: Freshness
    estimates: Collection[Estimate]
    evidence: int
    expected: tuple[float, float, float] | None
    group: Group
    people: int
    measurable: int
    holdout: int
    budget: Budget
    approvers: Collection[str]


Check = Callable[[Case], Refusal | None]


def _switch(case: Case) -> Refusal | None:
    for value, name in ((case.switches.variable, "Airflow Variable"), (case.switches.database, "database flag")):
        if value is None:
            return Refusal("kill_switch_unreadable", f"the {name} that allows actions could not be read")
        if value is not True:
            return Refusal("kill_switch", f"the {name} stops all actions")
    return None


def _mode(case: Case) -> Refusal | None:
    if case.settings.mode in (Mode.REVIEW, Mode.LIVE):
        return None
    return Refusal("mode_shadow", "nothing is executed in shadow mode")


def _allowed(case: Case) -> Refusal | None:
    if case.action in FORBIDDEN:
        return Refusal("forbidden_action", f"{case.action} is refused outright: {FORBIDDEN[case.action]}")
    action = CATALOGUE.get(case.action)
    if action is None:
        return Refusal("unknown_action", "no such type of action is known")
    if not action.reversible_by:
        return Refusal("not_reversible", "nobody could undo it")
    if case.switches.disabled is not None:
        return Refusal("action_disabled", f"this type is switched off: {case.switches.disabled}")
    return None


def _fresh(case: Case) -> Refusal | None:
    found = case.freshness
    oldest = case.now - timedelta(hours=case.settings.metrics_max_age_h)
    if found.measured_at is None or not oldest <= found.measured_at <= case.now:
        return Refusal(
            "stale_metrics", f"the newest metrics are not from the last {case.settings.metrics_max_age_h:g} h"
        )
    if not case.measurable or not found.people / case.measurable >= case.settings.min_coverage:
        return Refusal("low_coverage", f"the metrics cover less than {case.settings.min_coverage:.0%} of the people")
    return None


def _estimate(case: Case) -> Refusal | None:
    if not case.evidence or len(case.estimates) < case.evidence:
        return Refusal("no_evidence", "an estimate it rests on is not there")
    for estimate in case.estimates:
        if (weak := _weakness(estimate, case)) is not None:
            return weak
    if case.expected is None or not all(map(math.isfinite, case.expected)):
        return Refusal("no_expected_effect", "what it would change cannot be said")
    return None


def _weakness(estimate: Estimate, case: Case) -> Refusal | None:
    settings = case.settings
    asked: tuple[tuple[str, bool, str], ...] = (
        ("not_supported", estimate.verdict == "supported", f"the verdict of the analysis is {estimate.verdict}"),
        ("other_outcome", estimate.outcome == case.outcome, "the estimate is about another outcome"),
        ("interval_has_zero", estimate.ci_low > 0 or estimate.ci_high < 0, "the 95 % interval holds zero"),
        ("placebo_failed", estimate.placebo_p >= settings.min_placebo_p, "the placebo test finds an effect"),
        ("leads_failed", estimate.lead_p >= settings.min_placebo_p, "the outcome moved before the treatment did"),
        ("no_overlap", estimate.overlap_ok is True, "treated and untreated are not comparable"),
        ("few_clusters", estimate.clusters >= settings.min_clusters, f"fewer than {settings.min_clusters} clusters"),
        ("sign_unstable", estimate.sign_stable is True, "the sign is not that of the refresh before"),
        ("multiple_tests", estimate.q_value <= settings.max_q, "it does not stand among all tests of the run"),
    )
    return next((Refusal(code, why) for code, holds, why in asked if not holds), None)


def _anonymous(case: Case) -> Refusal | None:
    least = case.settings.group_floor(case.outcome)
    if not len(case.group.treated) >= least or not case.group.size >= least:
        return Refusal("small_group", f"the group, without excluded and held-out people, has fewer than {least} people")
    if 0 < case.group.complement < least:
        return Refusal("small_complement", f"everyone but the group are fewer than {least} people")
    return None


def _willing(case: Case) -> Refusal | None:
    if case.group.council:
        return Refusal("excluded_group", "this group is never treated")
    if not case.group.excluded <= case.group.size / 2:
        return Refusal("mostly_excluded", "more than half of the group opted out, are on leave or are excluded")
    return None


def _rested(case: Case) -> Refusal | None:
    if case.budget.open:
        return Refusal("already_open", "another action for this group waits or is under way")
    if not case.budget.rested:
        return Refusal(
            "cool_down", f"somebody of the group was treated in the last {case.settings.cooldown_days:g} days"
        )
    return None


def _small_enough(case: Case) -> Refusal | None:
    if not case.budget.today < case.settings.daily_actions:
        return Refusal("daily_budget", f"{case.settings.daily_actions} actions a day are the most")
    if not case.budget.week <= case.settings.weekly_share * case.people:
        return Refusal("blast_radius", f"more than {case.settings.weekly_share:.1%} of the people within a week")
    return None


def _held_out(case: Case) -> Refusal | None:
    least = case.settings.group_floor(case.outcome)
    if not case.holdout >= least:
        return Refusal("no_holdout", f"fewer than {least} people are held out: its outcome could not be told")
    return None


def _approver(case: Case) -> Refusal | None:
    if needs_person(case.action, case.settings.mode) and not case.approvers:
        return Refusal("no_approver", "nobody is named who may approve it")
    return None


def _in_time(case: Case) -> Refusal | None:
    return None if case.now < case.expires_at else Refusal("expired", "nobody decided in time")


# In the order of the reference; names are those of docs/interventions.md.
ALL: Final[tuple[Check, ...]] = (
    _switch,
    _allowed,
    _fresh,
    _estimate,
    _anonymous,
    _willing,
    _rested,
    _small_enough,
    _held_out,
    _approver,
)
# Before a proposal is made, the mode only says what becomes of it; before it is executed, it must allow that.
BEFORE_EXECUTION: Final[tuple[Check, ...]] = (_switch, _mode, _in_time, *ALL[1:-1])


def first_refusal(case: Case, checks: tuple[Check, ...] = ALL) -> Refusal | None:
    """Run checks in order; None: all are passed."""
    return next((refusal for check in checks if (refusal := check(case)) is not None), None)


def needs_person(action: str, mode: Mode) -> bool:
    """Whether a named person has to approve: everything but LOW in live mode."""
    found = CATALOGUE.get(action)
    return found is None or found.impact is not Impact.LOW or mode is not Mode.LIVE


def eligible(approvers: Collection[str], impact: str, proposer: str, last_approver: str) -> list[str]:
    """Accounts that may approve: of a HIGH action neither who proposed it nor who approved the last HIGH one."""
    barred = {proposer, last_approver} if impact == Impact.HIGH else set()
    return sorted(set(approvers) - barred)

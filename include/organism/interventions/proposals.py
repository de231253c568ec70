"""Proposals: made from supported estimates or by a person, checked, and written down with what becomes of them.

The pipeline's own are made the same way every time: of the estimates the surest first, of the actions the least first,
of the teams the one where most of the treatment can be changed. A rerun finds its own proposals and adds none.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from include.operations.conflicts import repeat
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism.interventions import checks, evidence, execution, store
from include.organism.interventions.audit import Event
from include.organism.interventions.catalogue import CATALOGUE, FORBIDDEN, ActionType, Impact
from include.organism.interventions.checks import Refusal
from include.organism.interventions.population import Kind, Target
from include.organism.interventions.settings import Mode
from include.organism.interventions.store import Intervention

if TYPE_CHECKING:
    from include.organism.interventions.evidence import Estimate
    from include.organism.interventions.execution import Desk
    from include.organism.interventions.population import Group, Population

log = logging.getLogger(__name__)

# Less of it is better.
BETTER: Final[Mapping[str, int]] = {"burnout_score": -1}
_ORDER: Final = {Impact.LOW: 0, Impact.MEDIUM: 1, Impact.HIGH: 2}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed.

    Attributes:
        id: the same for the same proposal.
        evidence: ids of the estimates.
        expected: expected change of the outcome's mean in the group, and its 95 % interval; None: cannot be said.
        measured_at: logical time of the run that proposes it; None: a person does.
    """

    id: UUID
    action: str
    target: Target
    parameters: Mapping[str, Any]
    outcome: str
    evidence: tuple[str, ...]
    expected: tuple[float, float, float] | None
    measured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a proposal."""

    id: UUID
    status: str
    reason_code: str
    new: bool


def from_estimates(desk: Desk, measured_at: datetime, population: Population) -> list[Proposal]:
    """What the supported estimates of a run suggest, at most as many as the settings allow.

    Suggested is an action that changes the estimate's treatment so that its whole interval is for the better, for the
    team in which it would change most and that no other suggestion of this run is for.
    """
    found: list[Proposal] = []
    taken: set[str] = set()
    with desk.connection.transaction():
        estimates = evidence.of_run(desk.connection, measured_at)
        for estimate in estimates:
            if estimate.treatment in evidence.MEASURED and estimate.outcome in BETTER:
                for proposal in _suggested(desk, measured_at, estimate, population, taken):
                    taken.add(proposal.target.value)
                    found.append(proposal)
    return found[: desk.settings.max_proposals]


def _suggested(
    desk: Desk, measured_at: datetime, estimate: Estimate, population: Population, taken: Collection[str]
) -> Iterator[Proposal]:
    """For each fitting action the team in which it would change most, of those that are not taken."""
    actions = [a for a in CATALOGUE.values() if a.automatic and a.lever == estimate.treatment]
    teams = _team_means(desk, measured_at, estimate.treatment, population)
    for action in sorted(actions, key=lambda a: (_ORDER[a.impact], a.name)):
        parameters = action.read({})
        for team, mean in teams:
            change = action.change(mean, parameters)
            if team in taken or change is None or not _improves(estimate.outcome, expected := estimate.times(change)):
                continue
            number = store.new_id(
                measured_at.isoformat(), estimate.specification_hash, estimate.treatment, action.name, team
            )
            target = Target(Kind.TEAM, team)
            yield Proposal(
                number, action.name, target, parameters, estimate.outcome, (str(estimate.id),), expected, measured_at
            )
            break


def _team_means(desk: Desk, measured_at: datetime, treatment: str, population: Population) -> list[tuple[str, float]]:
    """Teams large enough to be told of, with the treatment's mean, the highest first."""
    least = desk.settings.group_floor("burnout")
    groups = {team: population.group(Target(Kind.TEAM, team)).treated for team, _ in population.teams()}
    people = [person for group in groups.values() if len(group) >= least for person in group]
    means = evidence.team_means(desk.connection, measured_at, treatment, people)
    fitting = [(team, mean) for team, mean in means.items() if len(groups.get(team, ())) >= least]
    return sorted(fitting, key=lambda each: (-each[1], each[0]))


def _improves(outcome: str, expected: tuple[float, float, float]) -> bool:
    """Whether the whole interval lies on the better side."""
    _, low, high = expected
    return high < 0 if BETTER[outcome] < 0 else low > 0


def by_person(
    desk: Desk,
    population: Population,
    *,
    action: str,
    target: Target,
    parameters: Mapping[str, Any],
    estimate: str,
    treatment_change: float | None,
) -> Proposal:
    """A person's proposal; its expected effect is the estimate times the change of the treatment.

    `estimate` is the id of the estimate it rests on, `treatment_change` by how much the group's mean of the treatment
    will change; None: as the catalogue says of actions that have a lever.

    Raises:
        InputRejected: the parameters do not fit the action.
    """
    kind = CATALOGUE.get(action)
    values = kind.read(parameters) if kind is not None else dict(parameters)
    with desk.connection.transaction():
        found = evidence.by_id(desk.connection, [estimate])
        change = treatment_change
        if change is None and kind is not None and found and kind.lever == found[0].treatment in evidence.MEASURED:
            mean = evidence.mean_now(desk.connection, kind.lever, population.group(target).treated)
            change = kind.change(mean, values)
    expected = found[0].times(change) if found and change is not None and math.isfinite(change) else None
    outcome = found[0].outcome if found else ""
    number = store.new_id(desk.clock().isoformat(), desk.run, action, target, estimate)
    return Proposal(number, action, target, values, outcome, (estimate,), expected)


def place(desk: Desk, proposals: Collection[Proposal], population: Population, proposer: str) -> list[Placed]:
    """Check proposals in order and write each down, with its audit entry, in a transaction of its own."""
    placed = []
    for proposal in proposals:
        placed.append(repeat(partial(_place_whole, desk, proposal, population, proposer)))
        fault_point("interventions.proposal.committed")
    return placed


def _place_whole(desk: Desk, proposal: Proposal, population: Population, proposer: str) -> Placed:
    with desk.connection.transaction():
        store.hold_budget(desk.connection)
        placed = _place(desk, proposal, population, proposer)
        fault_point("interventions.proposal.before_commit")
    return placed


def _place(desk: Desk, proposal: Proposal, population: Population, proposer: str) -> Placed:
    now = desk.clock()
    row = _row(desk, proposal, proposer, now)
    case = execution.gather(desk, row, population, now)
    refusal = checks.first_refusal(case)
    status, event = _disposition(row, desk.settings.mode, refusal)
    refusal = refusal or Refusal("", "")
    sizes = _sizes(case.group, desk.settings.group_floor(proposal.outcome or "burnout"))
    values = {
        "id": proposal.id,
        "measured_at": proposal.measured_at,
        "proposed_by": proposer,
        "proposed_at": now,
        "action": proposal.action,
        "impact": row.impact,
        "target_kind": row.target_kind,
        "target_value": row.target_value,
        "parameters": dict(proposal.parameters),
        "outcome": proposal.outcome,
        "expected_effect": row.expected_effect,
        "expected_low": row.expected_low,
        "expected_high": row.expected_high,
        "evidence": list(proposal.evidence),
        "reversible_by": row.reversible_by,
        "expires_at": row.expires_at,
        "mode": row.mode,
        "status": status,
        "reason_code": refusal.code,
        "reason": refusal.reason,
        **sizes,
    }
    if status == "approved":
        values |= {"decided_by": "policy", "decided_at": now, "decision_note": "LOW in live mode, within the budgets"}
    new = store.insert(desk.connection, values, event, proposer)
    if not new:
        there = store.find(desk.connection, proposal.id)
        return Placed(there.id, there.status, there.reason_code, new=False)
    log_event(log, "intervention_placed", intervention=proposal.id, action=row.action, status=status, code=refusal.code)
    return Placed(proposal.id, status, refusal.code, new=True)


def _disposition(row: Intervention, mode: Mode, refusal: Refusal | None) -> tuple[str, Event]:
    if refusal is not None:
        return "refused", Event.REFUSED
    if mode is Mode.SHADOW:
        return "shadow", Event.SHADOWED
    if checks.needs_person(row.action, mode):
        return "pending_approval", Event.PROPOSED
    return "approved", Event.APPROVED


def _sizes(group: Group, least: int) -> dict[str, int | None]:
    """Numbers of people, unless one of them tells of too few."""
    if len(group.treated) < least or 0 < group.complement < least:
        return {"group_size": None, "treated": None}
    return {"group_size": group.size, "treated": len(group.treated)}


def _row(desk: Desk, proposal: Proposal, proposer: str, now: datetime) -> Intervention:
    kind: ActionType | None = CATALOGUE.get(proposal.action)
    effect, low, high = proposal.expected or (None, None, None)
    return Intervention(
        id=proposal.id,
        proposed_by=proposer,
        action=proposal.action,
        impact=str(kind.impact) if kind else (str(Impact.HIGH) if proposal.action in FORBIDDEN else ""),
        target_kind=str(proposal.target.kind),
        target_value=proposal.target.value,
        parameters=proposal.parameters,
        outcome=proposal.outcome,
        expected_effect=effect,
        expected_low=low,
        expected_high=high,
        evidence=proposal.evidence,
        reversible_by=kind.reversible_by if kind else "",
        expires_at=now + timedelta(hours=desk.settings.expiry_h),
        mode=str(desk.settings.mode),
        status="",
        reason_code="",
        reason="",
        group_size=None,
        treated=None,
        review_key=None,
        decided_by="",
        decided_at=None,
        fence=0,
        executor="",
        lease_until=None,
        executed_at=None,
        rolled_back_at=None,
    )

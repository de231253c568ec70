"""Actions on the people graph: manager, team and role of a group's people.

The node `(:InterventionLedger {key})` knows the newest fence, whether the action has taken effect, and what was there
before: all in the transaction of the effect. So a killed writer leaves all or nothing, a repetition finds the effect
and reads what was captured, and one that was fenced off, or comes after the rollback, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import neo4j

from include.operations.errors import LeaseLost
from include.operations.faults import fault_point
from include.organism.interventions.errors import ActionRefused
from include.organism.interventions.executor import Done, Undone

if TYPE_CHECKING:
    from uuid import UUID

    from include.organism.interventions.store import Intervention, Step

State = dict[str, Any]

_CONSTRAINT: Final = (
    "CREATE CONSTRAINT intervention_ledger_key IF NOT EXISTS FOR (l:InterventionLedger) REQUIRE l.key IS UNIQUE"
)
# The SET before the read takes the node's write lock: of two writers one waits here.
_LOCK: Final = """
MERGE (l:InterventionLedger {key: $key}) ON CREATE SET l.fence = 0, l.state = 'new'
SET l.locked_at = timestamp()
RETURN l.fence AS fence, l.state AS state, l.captured AS captured
"""
_SET: Final = "MATCH (l:InterventionLedger {key: $key}) SET l += $values"
# The SET locks people: a roster that is loaded meanwhile comes before or after, not in between.
_STATE: Final = """
UNWIND $ids AS id
MATCH (e:Employee {id: id}) SET e.id = id
WITH e
OPTIONAL MATCH (e)-[:REPORTS_TO]->(m:Employee)
RETURN e.id AS id, e.team AS team, e.role AS role, e.is_manager AS is_manager, collect(m.id) AS managers
"""
# Of a person: {id, values}; a value that is null removes the property.
_WRITE: Final = "UNWIND $rows AS row MATCH (e:Employee {id: row.id}) SET e += row.values, e.updated_at = timestamp()"
_DROP_MANAGERS: Final = "UNWIND $ids AS id MATCH (:Employee {id: id})-[r:REPORTS_TO]->(:Employee) DELETE r"
# Of a tie: [person, manager]
_SET_MANAGERS: Final = """
UNWIND $rows AS row
MATCH (e:Employee {id: row[0]})
MATCH (m:Employee {id: row[1]})
MERGE (e)-[:REPORTS_TO]->(m)
"""
_MANAGERS_OF_TEAM: Final = "MATCH (e:Employee {team: $team}) WHERE e.is_manager RETURN e.id AS id"
_CLOSES_CYCLE: Final = """
MATCH (m:Employee {id: $manager})-[:REPORTS_TO*0..]->(e:Employee) WHERE e.id IN $ids
RETURN count(e) > 0 AS cycle
"""
_KNOWN: Final = "UNWIND $ids AS id MATCH (e:Employee {id: id}) RETURN e.id AS id"


class GraphExecutor:
    """Writes managers, teams and roles."""

    def __init__(self, driver: neo4j.Driver, database: str | None = None) -> None:
        self._driver = driver
        self._database = database

    def apply(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Done]:
        """See `Executor.apply`; all people in one transaction."""
        with self._session() as session:
            session.run(_CONSTRAINT).consume()
            captured = session.execute_write(_apply, row, [step.employee_id for step in steps], fence)
        fault_point("interventions.graph.committed")
        for person, state in captured.items():
            yield Done(person, state)

    def undo(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Undone]:
        """See `Executor.undo`; all people in one transaction.

        A person whose manager, team or role is no longer what the action wrote keeps what is there: the roster, or
        somebody, has changed it since, and that is newer than what was captured.
        """
        with self._session() as session:
            session.run(_CONSTRAINT).consume()
            restored = session.execute_write(_undo, row.id, fence)
        fault_point("interventions.graph.undone")
        for step in steps:
            # A person without a captured state was never touched.
            yield Undone(step.employee_id, restored.get(step.employee_id, True))

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database)


def _apply(tx: neo4j.ManagedTransaction, row: Intervention, people: list[str], fence: int) -> dict[str, State]:
    held = _lock(tx, row.id, fence)
    if held["state"] == "applied":
        return cast("dict[str, State]", json.loads(held["captured"]))
    if held["state"] == "undone":
        raise LeaseLost(f"intervention {row.id} was undone already; nothing was written", what_to_do="nothing")
    after = _wanted(tx, row.action, row.parameters, people)
    before = _states(tx, people)
    captured = {
        person: {"before": {name: state[name] for name in after}, "after": after} for person, state in before.items()
    }
    _write(tx, dict.fromkeys(before, after))
    fault_point("interventions.graph.in_transaction")
    _set(tx, row.id, fence=fence, state="applied", captured=json.dumps(captured))
    return captured


def _undo(tx: neo4j.ManagedTransaction, intervention: UUID, fence: int) -> dict[str, bool]:
    held = _lock(tx, intervention, fence)
    captured: dict[str, State] = json.loads(held["captured"] or "{}")
    if held["state"] == "undone":
        return {person: each["restored"] for person, each in captured.items()}
    now = _states(tx, list(captured))
    wanted = {}
    for person, each in captured.items():
        each["restored"] = person in now and all(now[person][name] == value for name, value in each["after"].items())
        if each["restored"]:
            wanted[person] = each["before"]
    _restore(tx, captured, wanted)
    fault_point("interventions.graph.in_undo")
    _set(tx, intervention, fence=fence, state="undone", captured=json.dumps(captured))
    return {person: each["restored"] for person, each in captured.items()}


def _restore(tx: neo4j.ManagedTransaction, captured: Mapping[str, State], wanted: dict[str, State]) -> None:
    """Write back, except to people whose old manager is no longer there."""
    managers = sorted({manager for state in wanted.values() for manager in state.get("managers", ())})
    known = {record["id"] for record in tx.run(_KNOWN, ids=managers)}
    for person in [person for person, state in wanted.items() if not known.issuperset(state.get("managers", ()))]:
        captured[person]["restored"] = False
        del wanted[person]
    _write(tx, wanted)


def _wanted(
    tx: neo4j.ManagedTransaction, action: str, parameters: Mapping[str, Any], people: list[str]
) -> dict[str, Any]:
    """What every person of the group is to have: properties, and `managers`."""
    if action == "team_restructure":
        return {"team": parameters["team"]}
    if action == "role_change":
        return {"role": parameters["role"]}
    if action == "promote_role":
        return {"role": parameters["role"], "is_manager": True}
    if action != "reassign_manager":
        raise ActionRefused(f"the graph knows no action {action}", what_to_do="correct the catalogue")
    found = [record["id"] for record in tx.run(_MANAGERS_OF_TEAM, team=parameters["manager_of_team"])]
    if len(found) != 1:
        raise ActionRefused(
            f"the team that should give the manager has {len(found)}", what_to_do="propose a team with one manager"
        )
    if tx.run(_CLOSES_CYCLE, manager=found[0], ids=people).single(strict=True)["cycle"]:
        raise ActionRefused(
            "the new manager reports to somebody of the group, or is one of them", what_to_do="propose another team"
        )
    return {"managers": found}


def _states(tx: neo4j.ManagedTransaction, people: list[str]) -> dict[str, State]:
    states = {}
    for record in tx.run(_STATE, ids=people):
        values = record.data()
        states[values.pop("id")] = {**values, "managers": sorted(values["managers"])}
    return states


def _write(tx: neo4j.ManagedTransaction, wanted: Mapping[str, State]) -> None:
    properties = [
        {"id": person, "values": {name: value for name, value in state.items() if name != "managers"}}
        for person, state in wanted.items()
    ]
    tx.run(_WRITE, rows=properties).consume()
    managed = {person: state["managers"] for person, state in wanted.items() if "managers" in state}
    tx.run(_DROP_MANAGERS, ids=list(managed)).consume()
    tx.run(_SET_MANAGERS, rows=[[person, each] for person, ids in managed.items() for each in ids]).consume()


def _lock(tx: neo4j.ManagedTransaction, intervention: UUID, fence: int) -> neo4j.Record:
    held = tx.run(_LOCK, key=str(intervention)).single(strict=True)
    if held["fence"] > fence:
        raise LeaseLost(
            f"intervention {intervention}: writer {fence} was fenced off by {held['fence']}; nothing was written",
            what_to_do="nothing: the run that took it goes on",
        )
    return held


def _set(tx: neo4j.ManagedTransaction, intervention: UUID, **values: Any) -> None:
    tx.run(_SET, key=str(intervention), values=values).consume()

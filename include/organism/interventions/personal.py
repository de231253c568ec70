"""What interventions do for and remember of a person: cancelled and forgotten when the person is erased."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import LeaseHeld, classify
from include.organism.interventions import store
from include.organism.interventions.catalogue import System
from include.organism.interventions.errors import NotCancelled
from include.organism.interventions.store import Intervention, Step

if TYPE_CHECKING:
    import neo4j
    import psycopg

# Also what was planned: it may have been done, and not been written down.
_IN_FORCE: Final = """
select intervention_id, employee_id, key, system, captured, state from organism.intervention_step
where employee_id = %s and system <> 'graph' and state <> 'undone' order by intervention_id
"""
# The copy of what was captured is a record; what undoes is in the graph.
_AS_MANAGER: Final = """
update organism.intervention_step set captured = null
where captured->'before'->'managers' ? %s or captured->'after'->'managers' ? %s
"""
_LEDGERS: Final = """
MATCH (l:InterventionLedger) WHERE l.captured CONTAINS $quoted
SET l.locked_at = timestamp()
RETURN l.key AS key, l.captured AS captured
"""
_SET: Final = "MATCH (l:InterventionLedger {key: $key}) SET l.captured = $captured"


def cancel(connection: psycopg.Connection, person: str) -> int:
    """Cancel what is in force for a person in calendar and tasks, in the caller's transaction; returns how many.

    Before the steps are deleted, whose keys nobody could name any more. The others of the action keep theirs. In the
    graph there is nothing to undo: the person's node goes. Repeating it is harmless.

    Raises:
        LeaseHeld: a run is at one of the actions.
        NotCancelled: the system cannot be reached, or refuses.
    """
    # An action that is beginning has written down whom it is for once this is ours.
    store.hold_budget(connection)
    found = connection.execute(_IN_FORCE, [person]).fetchall()
    for intervention, *fields in found:
        row = store.find(connection, intervention, lock=True)
        now = datetime.now(UTC)
        if row.lease_until is not None and row.lease_until > now:
            raise LeaseHeld(
                f"intervention {intervention}, which is for the person, too, is being worked on",
                what_to_do="erase again when it has ended, in a few minutes: that goes on where this one stopped",
                retry_after=row.lease_until - now,
            )
        step = Step(*fields)
        _cancel(row, step)
        store.mark_steps(connection, intervention, "undone", {person: None})
    return len(found)


def _cancel(row: Intervention, step: Step) -> None:
    from include.organism.interventions.tasks import executors

    try:
        with executors(System(step.system)) as executor:
            list(executor.undo(row, [step], row.fence))
    except Exception as error:
        raise NotCancelled(
            f"intervention {row.id} is still in force for the person in the system {step.system}, which did not cancel"
            f" it ({classify(error).code})",
            what_to_do="see that the connection interventions reaches it, then erase again: that goes on where this"
            " one stopped",
        ) from error


def forget(connection: psycopg.Connection, driver: neo4j.Driver, database: str | None, person: str) -> dict[str, int]:
    """Forget a person, in the caller's transaction and in the graph; returns rows and nodes by where they were.

    The person's own rows go with those of every table that has an `employee_id`. What other systems remember of actions
    that were cancelled is theirs to erase. Repeating it is harmless.
    """
    managers = connection.execute(_AS_MANAGER, [person, person]).rowcount
    with driver.session(database=database) as session:
        ledgers = session.execute_write(_forget, person)
    return {"intervention_managers": managers, "intervention_ledgers": ledgers}


def _forget(tx: neo4j.ManagedTransaction, person: str) -> int:
    changed = 0
    for record in list(tx.run(_LEDGERS, quoted=json.dumps(person))):
        captured: dict[str, Any] = json.loads(record["captured"])
        found = captured.pop(person, None) is not None
        for state in captured.values():
            # As the manager others had, who is given back to nobody, or as the one they were given.
            for managers in (state["before"].get("managers", []), state["after"].get("managers", [])):
                if person in managers:
                    managers.remove(person)
                    found = True
        if found:
            tx.run(_SET, key=record["key"], captured=json.dumps(captured)).consume()
            changed += 1
    return changed

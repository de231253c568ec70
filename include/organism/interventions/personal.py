"""What interventions remember of a person beside the rows of their own, forgotten when the person is erased."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import neo4j
    import psycopg

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


def forget(connection: psycopg.Connection, driver: neo4j.Driver, database: str | None, person: str) -> dict[str, int]:
    """Forget a person, in the caller's transaction and in the graph; returns rows and nodes by where they were.

    The person's own rows go with those of every table that has an `employee_id`. What was done in a calendar is that
    system's to erase. Repeating it is harmless.
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

"""The kill switch: an Airflow Variable and a row in the database must both say that actions may be executed.

Neither is cached. What cannot be read says no: `checks` refuses on None.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Final

from include.operations.context import in_task
from include.operations.errors import classify
from include.operations.log import log_event
from include.organism.interventions import audit
from include.organism.interventions.audit import Event
from include.organism.interventions.checks import Switches

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)

VARIABLE: Final = "interventions_enabled"


def read(connection: psycopg.Connection, action: str) -> Switches:
    """Read both, and whether this type of action is switched off.

    Raises:
        psycopg.Error: the database cannot be read, so nothing can go on at all.
    """
    return Switches(_variable(), _database(connection), _disabled(connection, action))


def _variable() -> bool | None:
    """True only for the word `true`; None: it is not there or cannot be read."""
    try:
        found = _value()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being read stops all actions
        log_event(log, "kill_switch_unreadable", level=logging.WARNING, code=classify(error).code)
        return None
    return found.strip().lower() == "true"


def _value() -> str:
    """The Variable as Airflow has it: outside of a task the SDK knows the environment only, so the API is asked."""
    from airflow.sdk import Variable

    if in_task():
        return str(Variable.get(VARIABLE))
    found = Variable.get(VARIABLE, default=None)
    if found is not None:
        return str(found)
    from include.operations.airflow_api import AirflowApi

    with AirflowApi.from_environment() as api:
        return api.variable(VARIABLE)


def _database(connection: psycopg.Connection) -> bool | None:
    found = connection.execute("select enabled from organism.intervention_switch").fetchone()
    return None if found is None else found[0]


def _disabled(connection: psycopg.Connection, action: str) -> str | None:
    query = "select reason from organism.intervention_type where action = %s and disabled_at is not null"
    found = connection.execute(query, [action]).fetchone()
    return None if found is None else str(found[0])


def turn(connection: psycopg.Connection, who: str, reason: str, *, enabled: bool) -> None:
    """Set the flag in the database; a lost row is made again."""
    connection.execute(
        "insert into organism.intervention_switch (only_one, enabled, changed_by, reason) values (true, %(on)s, %(by)s,"
        " %(why)s) on conflict (only_one) do update set enabled = %(on)s, changed_by = %(by)s, reason = %(why)s,"
        " changed_at = now()",
        {"on": enabled, "by": who, "why": reason},
    )
    audit.append(connection, Event.RESUMED if enabled else Event.STOPPED, who, detail={"reason": reason})


def disable(connection: psycopg.Connection, action: str, who: str, reason: str, now: datetime) -> bool:
    """Switch a type of action off; False: it was off already."""
    done = connection.execute(
        "insert into organism.intervention_type (action, disabled_at, disabled_by, reason) values (%s, %s, %s, %s)"
        " on conflict (action) do update set disabled_at = excluded.disabled_at, disabled_by = excluded.disabled_by,"
        " reason = excluded.reason where organism.intervention_type.disabled_at is null",
        [action, now, who, reason],
    ).rowcount
    if done:
        audit.append(connection, Event.DISABLED, who, detail={"action": action, "reason": reason})
    return bool(done)


def enable(connection: psycopg.Connection, action: str, who: str, reason: str) -> bool:
    """Switch a type of action on again; False: it was not off."""
    done = connection.execute(
        "update organism.intervention_type set disabled_at = null, disabled_by = %s, reason = %s"
        " where action = %s and disabled_at is not null",
        [who, reason, action],
    ).rowcount
    if done:
        audit.append(connection, Event.ENABLED, who, detail={"action": action, "reason": reason})
    return bool(done)

"""Incidents in Postgres: which event is news, which incident it belongs to, and whether a message is due.

Every decision is made in one transaction behind one advisory lock, so that thirty processes that fail at the same
moment agree on one incident and one message. All of it takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from include.operations.alerts import message as messages
from include.operations.alerts import outbox
from include.operations.alerts.desk import Desk, Row, exclusively
from include.operations.alerts.outbox import Outgoing
from include.operations.alerts.problem import ENDED_BY_RUNS, OF_A_RUN, Kind, Problem, Severity
from include.operations.alerts.schedule import next_reminder

_KEYS: Final = 100
SLACK, EMAIL, SENTRY = "slack", "email", "sentry"
_ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    Severity.P1: (SLACK, EMAIL, SENTRY),
    Severity.P2: (SLACK, SENTRY),
    Severity.P3: (SLACK,),
    Severity.P4: (EMAIL, SLACK),
}


def record(desk: Desk, problem: Problem, *, told: bool = False) -> list[Outgoing]:
    """Take an event in and return the messages to send now; none when it is known, silenced or not due.

    With `told` its message has left already, without the store's help.
    """
    exclusively(desk)
    if not _is_new(desk, problem):
        return []
    key = problem.incident_key(desk.settings.environment)
    incident = _open_incident(desk, problem, key)
    if incident is None:
        incident, due = _opened(desk, problem, key), True
    else:
        due = _occurred_again(desk, incident, problem, key)
    desk.run(
        "update ops.alert_event set incident_id = %(incident)s where (dag_id, run_id, task_id, map_index, try_number,"
        " kind) = (%(dag)s, %(run)s, %(task)s, %(map)s, %(try)s, %(kind)s)",
        incident=incident["id"],
        **_event(problem),
    )
    if not due or _is_silenced(desk, problem):
        return []
    if told:
        _count_message(desk, incident["id"], incident["opened_at"], problem.severity)
        return []
    return _tell(desk, incident["id"])


def succeeded(desk: Desk, dag_id: str, run_id: str) -> bool:
    """Note when a DAG last succeeded; whether it has an open incident that good runs can end."""
    desk.run(
        "insert into ops.last_success values (%(dag)s, %(run)s, %(now)s) on conflict (dag_id) do update"
        " set run_id = excluded.run_id, succeeded_at = greatest(last_success.succeeded_at, excluded.succeeded_at)",
        dag=dag_id,
        run=run_id,
    )
    found = desk.one(
        "select 1 from ops.incident where dag_id = %(dag)s and kind = any(%(kinds)s) and recovered_at is null limit 1",
        dag=dag_id,
        kinds=list(ENDED_BY_RUNS),
    )
    return found is not None


def good_run(desk: Desk, dag_id: str, run_id: str, clear_number: int = 0) -> list[Outgoing]:
    """Count a run that succeeded for the DAG's open incidents; returns the recoveries to tell."""
    exclusively(desk)
    mark = Problem("run_succeeded", "", dag_id=dag_id, run_id=run_id, try_number=clear_number)
    if not _is_new(desk, mark):
        return []
    # A run that lost data succeeds all the same: it is no proof that the loss is over.
    counted = desk.rows(
        "update ops.incident i set good_runs = good_runs + 1 where dag_id = %(dag)s and kind = any(%(kinds)s)"
        " and recovered_at is null and not exists (select 1 from ops.alert_event e where e.incident_id = i.id"
        " and e.dag_id = %(dag)s and e.run_id = %(run)s and e.kind = 'data_lost') returning i.*",
        dag=dag_id,
        run=run_id,
        kinds=list(ENDED_BY_RUNS),
    )
    told: list[Outgoing] = []
    for incident in counted:
        if incident["good_runs"] >= desk.settings.good_runs:
            told += recover(desk, incident, f"{incident['good_runs']} good runs in a row.")
    return told


def resolve(desk: Desk, incident_key: str, note: str) -> list[Outgoing]:
    """End the open incident of this key, if there is one; returns the recoveries to tell."""
    exclusively(desk)
    found = desk.rows(
        "select * from ops.incident where recovered_at is null and %(key)s = any(keys) for update", key=incident_key
    )
    return [each for incident in found for each in recover(desk, incident, note)]


def recover(desk: Desk, incident: Row, note: str) -> list[Outgoing]:
    """End one incident: a recovery goes wherever its own messages went, and into its roll-up."""
    desk.run("update ops.incident set recovered_at = %(now)s where id = %(id)s", id=incident["id"])
    problem = Problem.from_dict(incident["detail"])
    told = outbox.told_by(desk, incident["id"])
    message = messages.of_recovery(problem, outbox.facts_of(desk, incident), note=note, settings=desk.settings)
    sent = [each for channel in told for each in outbox.put(desk, channel, message, incident["id"])]
    if incident["rollup_id"] is not None:
        sent += outbox.member_recovered(desk, incident["rollup_id"], message)
    return sent


def once_today(desk: Desk, mark: str) -> bool:
    """Whether this is the first time today that this is to be said, by anybody."""
    return _is_new(desk, Problem("mark", "", run_id=f"{desk.now:%Y-%m-%d}", task_id=mark))


def routes(configured: Collection[str], *, severity: str, kind: str, problem: Problem | None = None) -> tuple[str, ...]:
    """The configured channels a message goes to. Without Slack everything goes by e-mail."""
    wanted = list(_ROUTES[Severity(severity)])
    if SLACK not in configured and EMAIL not in wanted:
        wanted.append(EMAIL)
    # Sentry counts causes by itself. Rows that were refused are the data's fault, not the code's.
    if kind != "alert" or problem is None or problem.error_class == "VALIDATION" or problem.kind == Kind.WARNING:
        wanted = [name for name in wanted if name != SENTRY]
    return tuple(name for name in wanted if name in configured)


# --- one event ---------------------------------------------------------------------------------------------------
def _event(problem: Problem) -> dict[str, Any]:
    return dict(zip(("dag", "run", "task", "map", "try", "kind"), problem.event_key, strict=True))


def _is_new(desk: Desk, problem: Problem) -> bool:
    """Write the event down; False when it is there, because Airflow called back twice."""
    row = desk.one(
        "insert into ops.alert_event (dag_id, run_id, task_id, map_index, try_number, kind, incident_key, created_at)"
        " values (%(dag)s, %(run)s, %(task)s, %(map)s, %(try)s, %(kind)s, %(key)s, %(now)s)"
        " on conflict do nothing returning kind",
        key=problem.incident_key(desk.settings.environment),
        **_event(problem),
    )
    return row is not None


def _open_incident(desk: Desk, problem: Problem, key: str) -> Row | None:
    """The open incident that has this key, or one of whose failures was in the same run.

    What only passes on the failure of another run belongs to that run's incident. Of a run that failed the key says
    little: all of a DAG share it. It belongs to what its own tasks have told.
    """
    passed_on = any(problem.cause) and _incident_of(desk, problem, "", problem.cause)
    return passed_on or _incident_of(desk, problem, key, (problem.dag_id, problem.run_id))


def _incident_of(desk: Desk, problem: Problem, key: str, run: tuple[str, str]) -> Row | None:
    return desk.one(
        "select i.* from ops.incident i, lateral (select %(key)s = any(i.keys) as by_key, %(of_a_run)s"
        " and i.kind = any(%(kinds)s) and exists (select 1 from ops.alert_event e where"
        " e.dag_id = %(dag)s and e.run_id = %(run)s and e.incident_id = i.id) as by_run) m"
        " where i.recovered_at is null and i.kind <> 'rollup' and (by_key or by_run)"
        " order by case when %(the_run)s then by_run else by_key end desc, i.id limit 1 for update of i",
        key=key,
        of_a_run=problem.kind in OF_A_RUN,
        the_run=problem.kind == Kind.RUN_FAILED,
        kinds=list(OF_A_RUN),
        dag=run[0],
        run=run[1],
    )


def _opened(desk: Desk, problem: Problem, key: str) -> Row:
    row = desk.one(
        "insert into ops.incident (incident_key, keys, kind, dag_id, task_id, error_class, severity, title, detail,"
        " opened_at, last_at) values (%(key)s, array[%(key)s], %(kind)s, %(dag)s, %(task)s, %(class)s, %(severity)s,"
        " %(title)s, %(detail)s, %(now)s, %(now)s) returning *",
        key=key,
        kind=problem.kind,
        dag=problem.dag_id,
        task=problem.task_id,
        severity=problem.severity,
        title=problem.title,
        detail=outbox.json_value(problem.to_dict()),
        **{"class": problem.error_class},
    )
    assert row is not None  # noqa: S101 - INSERT .. RETURNING returns its row
    return row


def _occurred_again(desk: Desk, incident: Row, problem: Problem, key: str) -> bool:
    """Add an event to its incident; returns whether it is to be told (again)."""
    known_run = desk.one(
        "select 1 from ops.alert_event where (dag_id, run_id) in ((%(dag)s, %(run)s), (%(cause_dag)s, %(cause_run)s))"
        " and incident_id = %(id)s limit 1",
        dag=problem.dag_id,
        run=problem.run_id,
        cause_dag=problem.cause[0],
        cause_run=problem.cause[1],
        id=incident["id"],
    )
    worse = problem.severity < incident["severity"]
    # The run's own failure says less than that of its task, which came first.
    newer = problem.kind != Kind.RUN_FAILED or incident["detail"].get("kind") == Kind.RUN_FAILED
    keys = incident["keys"] if key in incident["keys"] else [*incident["keys"], key][:_KEYS]
    desk.run(
        "update ops.incident set keys = %(keys)s, occurrences = occurrences + %(more)s, last_at = %(now)s,"
        " good_runs = 0, severity = least(severity, %(severity)s),"
        " title = case when %(newer)s then %(title)s else title end,"
        " detail = case when %(newer)s then %(detail)s else detail end where id = %(id)s",
        keys=keys,
        more=0 if known_run else 1,
        severity=problem.severity,
        newer=worse or (newer and not known_run),
        title=problem.title,
        detail=outbox.json_value(problem.to_dict()),
        id=incident["id"],
    )
    if worse or not incident["messages"]:
        return True
    at = incident["next_message_at"]
    return at is not None and at <= desk.now


def _is_silenced(desk: Desk, problem: Problem) -> bool:
    row = desk.one(
        "select 1 from ops.silence where until > %(now)s and created_at <= %(now)s"
        " and coalesce(dag_id, %(dag)s) = %(dag)s and coalesce(task_id, %(task)s) = %(task)s"
        " and coalesce(error_class, %(class)s) = %(class)s limit 1",
        dag=problem.dag_id,
        task=problem.task_id,
        **{"class": problem.error_class},
    )
    return row is not None


# --- telling -------------------------------------------------------------------------------------------------------
def _tell(desk: Desk, number: int) -> list[Outgoing]:
    """Tell an incident that is due: by itself, or in a roll-up when too much is told already."""
    incident = desk.one("select * from ops.incident where id = %(id)s", id=number)
    assert incident is not None  # noqa: S101 - locked by this transaction
    problem = Problem.from_dict({**incident["detail"], "severity": incident["severity"]})
    gathered = _gathering(desk, problem.severity)
    if gathered is not None:
        names = routes(desk.channels, severity=problem.severity, kind="rollup")
        sent = outbox.join_rollup(desk, incident, names, *gathered)
    else:
        kind = "alert" if incident["messages"] == 0 else "reminder"
        names = routes(desk.channels, severity=problem.severity, kind=kind, problem=problem)
        said = messages.of_problem(problem, outbox.facts_of(desk, incident), kind=kind, settings=desk.settings)
        # A reminder of what could not be said yet would be a second message at the same moment.
        new = [name for name in names if kind == "alert" or not outbox.renew(desk, name, said, number)]
        sent = [each for name in new for each in outbox.put(desk, name, said, number)]
    if names:
        _count_message(desk, number, incident["opened_at"], problem.severity)
    return sent


def _count_message(desk: Desk, number: int, opened_at: datetime, severity: str) -> None:
    # A warning is told once and ends with one recovery.
    again = None if severity >= Severity.P3 else next_reminder(opened_at, desk.now)
    desk.run(
        "update ops.incident set messages = messages + 1, next_message_at = %(again)s where id = %(id)s",
        id=number,
        again=again,
    )


def _gathering(desk: Desk, severity: str) -> tuple[str, timedelta] | None:
    """Whether a message of this severity has to share a roll-up: why, and how long that one stays open."""
    settings = desk.settings
    if severity >= Severity.P3:
        return ("hour", settings.group_p3) if settings.group_p3 else None
    # A P1 is not held up by what hurts less.
    found = desk.one(
        "select max(n) as most, max(newest) as newest, (select max(window_until) from ops.incident where"
        " kind = 'rollup' and recovered_at is null and window_until > %(now)s and severity <= %(severity)s) as until"
        " from (select count(*) as n, max(created_at) filter (where severity <= %(severity)s) as newest"
        " from ops.alert_outbox where kind in ('alert', 'reminder', 'rollup') and channel <> 'sentry'"
        " and created_at > %(now)s - interval '1 hour' group by channel) s",
        severity=severity,
    )
    if found is None:
        return None
    if found["until"] is not None:
        return "burst", settings.burst
    if (found["most"] or 0) >= settings.cap_per_hour:
        return "cap", timedelta(hours=1)
    if found["newest"] is not None and found["newest"] > desk.now - settings.burst:
        return "burst", settings.burst
    return None

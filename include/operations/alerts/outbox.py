"""The outbox: every message is written here before it is sent, and stays until a channel has taken it.

Whoever sends a message holds it for LEASE; if that process dies, the next flush sends it. A channel that took a
message whose answer was lost gets it again: delivery is at least once, and each copy names its incident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.alerts import message as messages
from include.operations.alerts.message import LISTED, Facts, Member, Message
from include.operations.alerts.problem import Problem, Severity
from include.operations.alerts.schedule import next_try

if TYPE_CHECKING:
    from include.operations.alerts.desk import Desk, Row

LEASE: Final = timedelta(seconds=60)
# A roll-up is edited no more often than this; channels limit edits, too.
EDIT_EVERY: Final = timedelta(seconds=5)
# Where nothing can be edited, a roll-up waits for the end of its window, but no longer than this.
_GATHER: Final = timedelta(minutes=5)
# A message that left later than this says so.
_LATE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message in the hands of this process, to be sent until the lease is over."""

    id: int
    channel: str
    message: Message
    incident_id: int | None
    version: int
    """Of a roll-up: what it held when it was read. More may have joined since."""
    place: Mapping[str, Any]
    """Where the incident's first message is; empty when there is none."""
    edits: bool
    """Whether the message at `place` is replaced, not answered."""
    tries: int = 0


# A recovery must not overtake an alert that still waits: the incident is not told on that channel yet.
_COMES_LATER: Final = (
    "exists (select 1 from ops.alert_outbox earlier join ops.incident i on i.id = earlier.incident_id"
    " where earlier.incident_id = o.incident_id and earlier.channel = o.channel and earlier.id < o.id"
    " and earlier.sent_at is null and not i.thread ? o.channel)"
)


def json_value(value: object) -> Any:
    """Wrap a value for a JSON column."""
    from psycopg.types.json import Jsonb

    return Jsonb(value)


def renew(desk: Desk, channel: str, message: Message, incident_id: int) -> bool:
    """Let a message of the incident that still waits say this instead; False when none waits."""
    done = desk.run(
        "update ops.alert_outbox set payload = %(payload)s where sent_at is null and incident_id = %(incident)s"
        " and channel = %(channel)s and kind in ('alert', 'reminder')",
        incident=incident_id,
        channel=channel,
        payload=json_value({"message": message.to_dict(), "version": 1}),
    )
    return done > 0


def put(
    desk: Desk, channel: str, message: Message, incident_id: int | None, *, dedupe_key: str | None = None
) -> list[Outgoing]:
    """Write a message down and take it into hand, unless an earlier one of its incident has to go first."""
    values = {
        "incident": incident_id,
        "channel": channel,
        "kind": message.kind,
        "severity": message.severity,
        "payload": json_value({"message": message.to_dict(), "version": 1}),
        "held": desk.now + LEASE,
        "dedupe": dedupe_key,
    }
    row = desk.one(
        "insert into ops.alert_outbox (incident_id, channel, kind, severity, dedupe_key, payload, created_at,"
        " next_try_at) values (%(incident)s, %(channel)s, %(kind)s, %(severity)s, %(dedupe)s, %(payload)s,"
        " %(now)s, %(held)s) returning *",
        **values,
    )
    assert row is not None  # noqa: S101 - INSERT .. RETURNING returns its row
    if desk.one(f"select 1 from ops.alert_outbox o where o.id = %(id)s and {_COMES_LATER}", id=row["id"]) is None:  # noqa: S608
        return [_in_hand(desk, row)]
    desk.run("update ops.alert_outbox set next_try_at = %(now)s where id = %(id)s", id=row["id"])
    return []


def known(desk: Desk, dedupe_key: str) -> set[str]:
    """The channels for which a message of this key was written down before."""
    rows = desk.rows("select channel from ops.alert_outbox where dedupe_key = %(key)s", key=dedupe_key)
    return {row["channel"] for row in rows}


def told_by(desk: Desk, incident_id: int) -> list[str]:
    """The channels that tell this incident by itself and are still there; Sentry hears of no recovery."""
    rows = desk.rows(
        "select distinct channel from ops.alert_outbox where incident_id = %(id)s and channel <> 'sentry' order by 1",
        id=incident_id,
    )
    return [row["channel"] for row in rows if row["channel"] in desk.channels]


# --- roll-ups --------------------------------------------------------------------------------------------------------
def join_rollup(desk: Desk, incident: Row, channels: Sequence[str], reason: str, window: timedelta) -> list[Outgoing]:
    """Add an incident to the roll-up that is open for its severity, or open one."""
    severity = incident["severity"]
    rollup = desk.one(
        "select * from ops.incident where kind = 'rollup' and recovered_at is null and window_until > %(now)s"
        " and severity <= %(severity)s and (severity = 'P3') = (%(severity)s = 'P3')"
        " order by id desc limit 1 for update",
        severity=severity,
    ) or desk.one(
        "insert into ops.incident (incident_key, keys, kind, dag_id, error_class, severity, title, detail, opened_at,"
        " last_at, messages, window_until) values (%(key)s, '{}', 'rollup', '', 'UNKNOWN', %(severity)s, %(reason)s,"
        " %(detail)s, %(now)s, %(now)s, 1, %(now)s + %(window)s) returning *",
        key=f"rollup|{reason}|{severity}|{desk.now.isoformat()}",
        severity=severity,
        reason=reason,
        detail=json_value({"reason": reason}),
        window=window,
    )
    assert rollup is not None  # noqa: S101 - INSERT .. RETURNING returns its row
    desk.run("update ops.incident set rollup_id = %(rollup)s where id = %(id)s", rollup=rollup["id"], id=incident["id"])
    sent = [_renewed(desk, channel, rollup) for channel in channels]
    return [each for each in sent if each is not None]


def member_recovered(desk: Desk, rollup_id: int, recovery: Message) -> list[Outgoing]:
    """Show in the roll-up that one of its incidents is over; when all are, tell it as a recovery."""
    rollup = desk.one("select * from ops.incident where id = %(id)s for update", id=rollup_id)
    if rollup is None:
        return []
    names = told_by(desk, rollup_id)
    sent = [each for name in names if desk.channels.get(name) and (each := _renewed(desk, name, rollup)) is not None]
    left = desk.one(
        "select count(*) as n, count(*) filter (where recovered_at is null) as open from ops.incident"
        " where rollup_id = %(id)s",
        id=rollup_id,
    )
    if left is None or left["open"] or rollup["recovered_at"] is not None:
        return sent
    desk.run("update ops.incident set recovered_at = %(now)s where id = %(id)s", id=rollup_id)
    if left["n"] > 1:
        recovery = replace(recovery, title=f"Recovered: all {left['n']} incidents of this roll-up", facts={})
    return sent + [each for name in names for each in put(desk, name, recovery, rollup_id)]


def _renewed(desk: Desk, channel: str, rollup: Row) -> Outgoing | None:
    """Have a roll-up sent (again): now, or later when it was sent a moment ago or cannot be edited."""
    row = desk.one(
        "select * from ops.alert_outbox where incident_id = %(id)s and channel = %(channel)s and kind = 'rollup'"
        " for update",
        id=rollup["id"],
        channel=channel,
    )
    if row is None:
        first_at = _first_at(desk, channel, rollup)
        row = desk.one(
            "insert into ops.alert_outbox (incident_id, channel, kind, severity, payload, created_at, next_try_at)"
            " values (%(id)s, %(channel)s, 'rollup', %(severity)s, %(payload)s, %(now)s, %(at)s) returning *",
            id=rollup["id"],
            channel=channel,
            severity=rollup["severity"],
            payload=json_value({"version": 1}),
            at=first_at or desk.now + LEASE,
        )
        assert row is not None  # noqa: S101 - INSERT .. RETURNING returns its row
        return _in_hand(desk, row) if first_at is None else None
    at = row["next_try_at"]
    if row["sent_at"] is not None:
        at = row["sent_at"] + EDIT_EVERY if desk.channels.get(channel) else max(rollup["window_until"], desk.now)
    due = row["sent_at"] is not None and at <= desk.now
    row = desk.one(
        "update ops.alert_outbox set sent_at = null, next_try_at = %(at)s, payload = jsonb_set(payload, '{version}',"
        " to_jsonb((payload->>'version')::int + 1)) where id = %(id)s returning *",
        at=desk.now + LEASE if due else at,
        id=row["id"],
    )
    return _in_hand(desk, row) if due and row is not None else None


def _first_at(desk: Desk, channel: str, rollup: Row) -> datetime | None:
    """When a new roll-up is sent first; None: now, because it can be edited or nothing was told just before it."""
    if desk.channels.get(channel) or rollup["detail"]["reason"] == "hour":
        return None
    until: datetime = rollup["window_until"]
    return min(until, desk.now + _GATHER)


def facts_of(desk: Desk, incident: Row) -> Facts:
    """Count what a message says of an incident."""
    found = desk.one(
        "select count(distinct run_id) as runs, (select succeeded_at from ops.last_success where dag_id = %(dag)s)"
        " from ops.alert_event where incident_id = %(id)s and created_at > %(now)s - interval '24 hours'",
        id=incident["id"],
        dag=incident["dag_id"],
    )
    runs, success = (found["runs"], found["succeeded_at"]) if found else (0, None)
    return Facts(incident["id"], incident["opened_at"], desk.now, incident["occurrences"], max(runs, 1), success)


def _rolled_up(desk: Desk, rollup: Row) -> Message:
    """What a roll-up says at this moment; of a single incident, all there is."""
    members = desk.rows(
        "select *, count(*) over () as n from ops.incident where rollup_id = %(id)s"
        " order by severity, recovered_at is not null, id limit %(listed)s",
        id=rollup["id"],
        listed=LISTED,
    )
    if len(members) == 1:
        (only,) = members
        problem = Problem.from_dict({**only["detail"], "severity": only["severity"]})
        said = messages.of_problem(problem, facts_of(desk, only), kind="rollup", settings=desk.settings)
        if only["recovered_at"] is None:
            return said
        ended = messages.clock(only["recovered_at"], desk.now)
        return replace(said, title=f"[recovered {ended}] {said.title}"[:150], ping=False)
    listed = tuple(
        Member(m["severity"], m["title"], _best_link(m["detail"].get("links") or {}), m["recovered_at"] is not None)
        for m in members
    )
    count = members[0]["n"] if members else 0
    dashboard = next((url for m in members if (url := (m["detail"].get("links") or {}).get("Dashboard"))), "")
    return messages.of_rollup(
        rollup["severity"],
        rollup["detail"]["reason"],
        listed,
        count,
        settings=desk.settings,
        number=rollup["id"],
        url=dashboard,
    )


def _best_link(links: Mapping[str, str]) -> str:
    return next((links[label] for label in ("Log", "Run", "Dashboard") if links.get(label)), "")


# --- sending ----------------------------------------------------------------------------------------------------
def claim(desk: Desk, channels: Sequence[str]) -> Outgoing | None:
    """Take the oldest message that is due on one of these channels into hand."""
    row = desk.one(
        "update ops.alert_outbox set next_try_at = %(held)s where id = (select o.id from ops.alert_outbox o"  # noqa: S608
        f" where o.sent_at is null and o.next_try_at <= %(now)s and o.channel = any(%(channels)s)"
        f" and not {_COMES_LATER}"
        " order by o.id limit 1 for update of o skip locked) returning *",
        held=desk.now + LEASE,
        channels=list(channels),
    )
    return None if row is None else _in_hand(desk, row)


def sent(desk: Desk, outgoing: Outgoing, place: Mapping[str, Any]) -> None:
    """Note that a channel took the message, and where it is."""
    desk.run(
        "update ops.alert_outbox set sent_at = case when (payload->>'version')::int = %(version)s then %(now)s end,"
        " next_try_at = %(again)s, last_error = null where id = %(id)s",
        id=outgoing.id,
        version=outgoing.version,
        again=desk.now + EDIT_EVERY,
    )
    if outgoing.incident_id is None:
        return
    desk.run(
        "update ops.incident set thread = %(place)s || thread where id = %(id)s",
        place=json_value({outgoing.channel: dict(place)}),
        id=outgoing.incident_id,
    )
    desk.run(
        "update ops.alert_event set sent_at = %(now)s where sent_at is null and incident_id in"
        " (select id from ops.incident where id = %(id)s or rollup_id = %(id)s)",
        id=outgoing.incident_id,
    )


def refused(desk: Desk, outgoing: Outgoing, code: str, retry_after: timedelta | None) -> None:
    """Note that a channel did not take the message, and when it is tried again."""
    desk.run(
        "update ops.alert_outbox set tries = tries + 1, last_error = %(code)s, next_try_at = %(again)s"
        " where id = %(id)s and sent_at is null",
        id=outgoing.id,
        code=code[:100],
        again=next_try(outgoing.tries + 1, desk.now, retry_after),
    )


def by_email_instead(desk: Desk, outgoing: Outgoing) -> list[Outgoing]:
    """Slack did not take a P1 or P2: write it down for e-mail, once, unless e-mail has it anyway."""
    kind, number = outgoing.message.kind, outgoing.incident_id
    if kind not in ("alert", "reminder", "rollup") or number is None or outgoing.message.severity > Severity.P2:
        return []
    there = desk.one(
        "select 1 from ops.alert_outbox where incident_id = %(id)s and channel = 'email' and created_at >="
        " (select created_at from ops.alert_outbox where id = %(mine)s) limit 1",
        id=number,
        mine=outgoing.id,
    )
    if there is not None:
        return []
    if kind == "rollup":
        rollup = desk.one("select * from ops.incident where id = %(id)s for update", id=number)
        renewed = None if rollup is None else _renewed(desk, "email", rollup)
        return [] if renewed is None else [renewed]
    notes = (*outgoing.message.notes, "Sent by e-mail because Slack did not take it.")
    return put(desk, "email", replace(outgoing.message, notes=notes), number)


def _in_hand(desk: Desk, row: Row) -> Outgoing:
    place: Mapping[str, Any] = {}
    incident: Row = {}
    if row["incident_id"] is not None:
        incident = desk.one("select * from ops.incident where id = %(id)s", id=row["incident_id"]) or {}
        place = incident["thread"].get(row["channel"]) or {}
        message = (
            _rolled_up(desk, incident) if row["kind"] == "rollup" else Message.from_dict(row["payload"]["message"])
        )
    else:
        message = Message.from_dict(row["payload"]["message"])
    return Outgoing(
        id=row["id"],
        channel=row["channel"],
        message=_marked_late(message, row["created_at"], desk.now),
        incident_id=row["incident_id"],
        version=row["payload"]["version"],
        place=place,
        edits=row["kind"] == "rollup" and bool(place) and bool(desk.channels.get(row["channel"])),
        tries=row["tries"],
    )


def _marked_late(message: Message, created_at: datetime, now: datetime) -> Message:
    if message.kind == "rollup" or now - created_at < _LATE:
        return message
    return replace(message, notes=(*message.notes, f"Sent late: this is of {messages.clock(created_at, now)}."))

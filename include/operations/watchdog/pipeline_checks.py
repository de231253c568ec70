"""What the pipelines' own servers say: the stream, how old the data are, orphans, alerts that wait, backups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import InputRejected
from include.operations.watchdog.episodes import Reading
from include.operations.watchdog.thresholds import THRESHOLDS, Fault, limit_from
from include.vms.registry import objects as sync_objects

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class FreshObject:
    """Something people look at, and how old it may be.

    `WATCHDOG_FRESHNESS_<NAME>` overrides the objective.
    """

    name: str
    objective: timedelta
    dag_id: str
    """The DAG that makes it fresh."""
    query: str
    """On the warehouse: when its data were last known to be up to date; null: never. No row: not in use here."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"{THRESHOLDS['freshness'].variable}_{self.name.upper()}"


def _synced(name: str) -> FreshObject:
    """A Salesforce sync runs every hour; two that fail in a row are still within the objective.

    Where no sync has ever begun, Salesforce is not in use. Where one has, all are expected.
    """
    query = (
        f"select max(succeeded_at) filter (where object = '{name}')"  # noqa: S608 - name of our own module
        " from ops.sync_state having count(*) > 0"
    )
    return FreshObject(f"vms_{name}", timedelta(hours=3), f"vms_sync_{name}", query)


# Whoever builds a pipeline adds its objects here; each Salesforce sync is one by itself.
FRESHNESS: Final = (
    FreshObject(
        "people_graph",
        timedelta(minutes=15),
        "organism_incremental_update",
        "select (select finished_at from ops.graph_update where finished_at is not null"
        " order by created_at desc limit 1)",
    ),
    *(_synced(name) for name in sync_objects()),
)


@dataclass(frozen=True, slots=True)
class Warehouse:
    """An open look at the warehouse at one moment."""

    connection: psycopg.Connection
    now: datetime

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query; `%(now)s` is the moment."""
        return self.connection.execute(query, {"now": self.now}).fetchall()


def freshness(look: Warehouse) -> Iterator[Reading]:
    """Age of each object's data. What was never loaded counts from when it was first missed."""
    for each in FRESHNESS:
        minutes = each.objective / timedelta(minutes=1)
        limit = limit_from(each.variable, minutes, os.environ)
        if isinstance(limit, Fault):
            raise InputRejected(limit.text, what_to_do=f"correct the variable {each.variable}")
        rows = look.rows(each.query)
        if not rows:
            continue
        at = rows[0][0]
        yield Reading(
            "freshness",
            each.name,
            None if at is None else (look.now - at) / timedelta(minutes=1),
            normal=f"at most {minutes:g} min",
            detail=("it was never loaded",) if at is None else (f"made fresh by {each.dag_id}",),
            since=at,
            limit=limit,
            dag_id=each.dag_id,
        )


_OUTBOX = """
select channel, count(*), min(created_at), (array_agg(last_error order by created_at))[1]
from ops.alert_outbox where sent_at is null and created_at <= %(now)s group by channel order by channel
"""


def outbox(look: Warehouse) -> Iterator[Reading]:
    """Alerts that were written and did not leave, by channel: age of the oldest."""
    for channel, n, oldest, error in look.rows(_OUTBOX):
        detail = (f"{n} messages wait for {channel}" + (f", refused with {error}" if error else ""),)
        yield Reading("outbox", channel, (look.now - oldest) / timedelta(minutes=1), detail=detail, since=oldest)


_ORPHANS = """
select object, count(*), min(orphaned_at) from vms.pending_link
where resolved_at is null and orphaned_at > %(now)s - interval '24 hours' group by object
"""


def orphans(look: Warehouse) -> Iterator[Reading]:
    """References that were given up in the last 24 hours, by sync: a few are bad data, many are a missing object."""
    found = {name: (count, oldest) for name, count, oldest in look.rows(_ORPHANS)}
    for name in sync_objects():
        count, oldest = found.get(name, (0, None))
        detail = (f"{count} references have no parent after 10 runs",) if count else ()
        yield Reading("orphans", name, float(count), detail=detail, since=oldest, dag_id=f"vms_sync_{name}")


# A dump nobody has restored is a hope, not a backup.
_BACKUPS = """
select source, max(started_at) filter (where checked_at is not null), max(started_at) from ops.backup
where removed_at is null group by source
"""
BACKUP_SOURCES: Final = ("metadata", "warehouse", "graph")


def backups(look: Warehouse) -> Iterator[Reading]:
    """Age of the newest backup of each source that could be restored."""
    found = {source: (good, newest) for source, good, newest in look.rows(_BACKUPS)}
    for source in BACKUP_SOURCES:
        good, newest = found.get(source, (None, None))
        if newest is None:
            detail = ("there is none",)
        elif good is None:
            detail = (f"made at {newest:%Y-%m-%d %H:%M} UTC, but none could be restored",)
        else:
            detail = (f"newest one that could be restored: {good:%Y-%m-%d %H:%M} UTC",)
        age = None if good is None else (look.now - good) / timedelta(hours=1)
        yield Reading("backup_age", source, age, detail=detail, since=good, dag_id="ops_housekeeping")


def stream() -> Iterator[Reading]:
    """The interaction stream, by Redis's own clock: what waits, and since when the oldest of it does."""
    from include.connections import redis_client
    from include.organism.settings import Settings
    from include.organism.stream import InteractionStream

    settings = Settings.from_env()
    with redis_client() as client:
        stream = InteractionStream(client, settings)
        state, now = stream.state(), stream.time_ms()
        unread = state.unread if state.unread is not None else state.lag
        if unread is None:
            unread = stream.count_unread(state.delivered_id, int(THRESHOLDS["stream_backlog"].limit) * 2)
        pending = stream.oldest_pending_ms() if state.group_exists else None
        oldest = [ms for ms in (pending, stream.oldest_unread_ms(state.delivered_id)) if ms is not None]
    detail: tuple[str, ...] = (f"{unread:,} unread and {state.pending:,} pending entries",)
    if not state.group_exists and unread:
        detail += (f"there is no group {settings.group}: nothing has drained this stream yet",)
    dag = "organism_incremental_update"
    yield Reading("stream_backlog", settings.stream, float(unread + state.pending), detail=detail, dag_id=dag)
    age = (now - min(oldest)) / 60_000 if oldest else 0.0
    yield Reading("stream_age", settings.stream, age, detail=detail, dag_id=dag)


WAREHOUSE_CHECKS: Final[Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    "freshness": (freshness, ("freshness",)),
    "orphans": (orphans, ("orphans",)),
    "outbox": (outbox, ("outbox",)),
    "backups": (backups, ("backup_age",)),
}

"""References between records, resolved late: everything lands first, in whatever order the syncs run.

A record table keeps the parent's id as Salesforce says (`raw`); the columns beside it are foreign keys, set here once
the parent is in one of their tables. The first load of a table sets those that it finds by itself, by the same rules
(`merge_sql.insert`). What waits is in `vms.pending_link`. Nothing depends on what an earlier run has seen: each
statement goes by what stands in the tables, so a run that died in between is made good by the next one.

A parent that is deleted keeps its row, marked, and so the link; one that changes its table (an organisation becomes a
school) takes the links along.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from psycopg import sql

from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import merges, registry, state
from include.vms.contracts import Mode
from include.vms.merge_sql import target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import Reference, SyncObject, Table

log = logging.getLogger(__name__)

# So many runs of the child's sync may miss a parent before it is reported as one that does not come. Only runs that are
# so far apart count: somebody who syncs ten times in a row gives it no time to come.
ORPHAN_AFTER: Final = 10
_APART: Final = timedelta(minutes=30)
# Two syncs that link at once could lock rows of the same tables in opposite order.
_LOCK: Final = 4_017_723_990


@dataclass(frozen=True)
class Place:
    """A reference, where it stands, and under whose name its pending links are kept."""

    owner: str
    table: Table
    reference: Reference

    @property
    def name(self) -> str:
        """As in `vms.pending_link.reference`."""
        return f"{self.table.name}.{self.reference.raw}"

    @property
    def open(self) -> sql.Composed:
        """Condition on `t`: there is an id and nothing resolved."""
        nothing = sql.SQL(" AND ").join(sql.SQL("t.{} IS NULL").format(sql.Identifier(c)) for c in self.columns)
        return sql.SQL("(t.{} IS NOT NULL AND {})").format(sql.Identifier(self.reference.raw), nothing)

    @property
    def columns(self) -> list[str]:
        """The foreign keys."""
        return [column for column, _ in self.reference.candidates]


def resolve(connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    """Set the references of this object's records, and everybody's to them; one transaction.

    Raises:
        LeaseLost: another run has taken over.
    """
    if manifest.dry_run:
        return manifest
    fault_point("vms.links.begun")
    with connect() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        state.fence(connection, spec.name, manifest.epoch)
        own, others = _places(spec)
        # A merge may have turned references anywhere.
        merged = merges.waiting(connection)
        rest = [each for each in (places() if merged else others) if each not in own]
        rest = [each for each in rest if merged or _waits(connection, each)]
        _lock(connection, list(merges.tables()) if merged else [each.table for each in (*own, *rest)])
        turned = merges.apply(connection) if merged else 0
        wrong = sum(_unset(connection, each) for each in own) if manifest.mode == Mode.FULL else 0
        linked = sum(_link(connection, each, own=True) for each in own)
        linked += sum(_link(connection, each, own=False) for each in rest)
        for each in own:
            _try(connection, each)
        if linked or turned or wrong:
            state.changed(connection, spec.name)
        pending, orphaned, fresh = _count(connection, spec)
        connection.execute(
            "UPDATE ops.sync_run SET pending = %s, orphaned = %s WHERE object = %s AND run_id = %s",
            [pending, orphaned, manifest.object, manifest.run],
        )
        fault_point("vms.links.in_transaction")
    # Those that the merge has set are in the manifest.
    linked += manifest.counts.get("linked", 0)
    manifest.counts |= {"linked": linked, "turned": turned, "pending": pending, "orphaned": orphaned}
    if wrong:
        manifest.notes.append(f"{wrong} foreign keys named another record than Salesforce and were taken back.")
    if fresh:
        manifest.notes.append(f"{fresh} references have no parent after {ORPHAN_AFTER} runs; see vms.pending_link.")
        log_event(log, "vms_orphans", level=logging.WARNING, object=spec.name, found=fresh, all=orphaned)
    return manifest


def places() -> Iterator[Place]:
    """Every reference once; of a shared table under the first sync that declares it."""
    seen: set[str] = set()
    for one in registry.objects().values():
        for table in one.tables:
            if table.name not in seen:
                seen.add(table.name)
                yield from (Place(one.name, table, reference) for reference in table.references)


def _places(spec: SyncObject) -> tuple[list[Place], list[Place]]:
    """References of this object's tables, and those of other tables to them."""
    names = {table.name for table in spec.tables}
    own = [each for each in places() if each.table.name in names]
    others = [each for each in places() if each not in own and names & {name for _, name in each.reference.candidates}]
    return own, others


def _lock(connection: psycopg.Connection, tables: Iterable[Table]) -> None:
    """Take the tables' locks in the order in which a merge takes them, so that neither waits for the other for ever."""
    names = sorted({table.name for table in tables})
    if names:
        targets = sql.SQL(", ").join(sql.Identifier("vms", name) for name in names)
        connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(targets))


def _link(connection: psycopg.Connection, place: Place, *, own: bool) -> int:
    """Set what can be set and close what no longer waits; returns the references set."""
    if own:
        merges.follow(connection, place.table, place.reference.raw, place.open)
    linked = sum(connection.execute(_set(place, number)).rowcount for number in range(len(place.columns)))
    linked += _move(connection, place)
    connection.execute(_close(place), [place.owner, place.name])
    return linked


def _unset(connection: psycopg.Connection, place: Place) -> int:
    """Empty foreign keys that are not the id that Salesforce says; returns their number.

    No sync leaves such a key behind: somebody has changed the table by hand. To find it takes a scan.
    """
    return sum(
        connection.execute(
            sql.SQL(
                "UPDATE {target} SET {column} = NULL, synced_at = now()"
                " WHERE {column} IS NOT NULL AND {column} IS DISTINCT FROM {raw}"
            ).format(target=target(place.table), column=sql.Identifier(column), raw=sql.Identifier(place.reference.raw))
        ).rowcount
        for column in place.columns
    )


def _waits(connection: psycopg.Connection, place: Place) -> bool:
    """Whether a reference of another object has open links at all, or may have to move."""
    found = connection.execute(
        "SELECT FROM vms.pending_link WHERE object = %s AND reference = %s AND resolved_at IS NULL LIMIT 1",
        [place.owner, place.name],
    ).fetchone()
    return found is not None or len(place.columns) > 1


def _set(place: Place, number: int) -> sql.Composed:
    """Link the open rows to one candidate's table; a deleted parent only when no other table has the id."""
    column, parent = place.reference.candidates[number]
    better = [
        sql.SQL("EXISTS (SELECT FROM vms.{} AS q WHERE q.salesforce_id = p.salesforce_id{})").format(
            # Behind it only an active one is better; those before it have been tried.
            sql.Identifier(name),
            sql.SQL(" AND q.deleted_at IS NULL"),
        )
        for _, name in place.reference.candidates[number + 1 :]
    ]
    alive = sql.SQL(" AND (p.deleted_at IS NULL OR NOT ({}))").format(sql.SQL(" OR ").join(better))
    return sql.SQL(
        "UPDATE {target} AS t SET {column} = p.salesforce_id, synced_at = now() FROM vms.{parent} AS p"
        " WHERE p.salesforce_id = t.{raw} AND {open}{alive}"
    ).format(
        target=target(place.table),
        column=sql.Identifier(column),
        parent=sql.Identifier(parent),
        raw=sql.Identifier(place.reference.raw),
        open=place.open,
        alive=alive if better else sql.SQL(""),
    )


def _move(connection: psycopg.Connection, place: Place) -> int:
    """Let links follow a parent whose id stands in several tables: to the first where it is active, else the first."""
    if len(place.columns) < 2:
        return 0
    homes = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT salesforce_id AS id, deleted_at IS NOT NULL AS gone, {} AS place FROM vms.{}").format(
            sql.Literal(number), sql.Identifier(name)
        )
        for number, (_, name) in enumerate(place.reference.candidates)
    )
    connection.execute("DROP TABLE IF EXISTS pg_temp.vms_home")
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE vms_home ON COMMIT DROP AS"
            " SELECT id, (array_agg(place ORDER BY gone, place))[1] AS place FROM ({}) AS each"
            " GROUP BY id HAVING count(*) > 1"
        ).format(homes)
    )
    moved = 0
    for number, column in enumerate(place.columns):
        settings = sql.SQL(", ").join(
            sql.SQL("{} = CASE WHEN h.place = {} THEN h.id END").format(sql.Identifier(name), sql.Literal(other))
            for other, name in enumerate(place.columns)
        )
        moved += connection.execute(
            sql.SQL(
                "UPDATE {} AS t SET {}, synced_at = now() FROM pg_temp.vms_home AS h"
                " WHERE t.{} = h.id AND h.place <> {}"
            ).format(target(place.table), settings, sql.Identifier(column), sql.Literal(number))
        ).rowcount
    return moved


def _close(place: Place) -> sql.Composed:
    """Links that wait no longer: resolved, or the reference or its record is gone."""
    return sql.SQL(
        "UPDATE vms.pending_link AS l SET resolved_at = now() WHERE l.object = %s AND l.reference = %s"
        " AND l.resolved_at IS NULL AND NOT EXISTS (SELECT FROM {target} AS t WHERE t.salesforce_id = l.record_id"
        " AND t.{raw} = l.target_id AND t.deleted_at IS NULL AND {open})"
    ).format(target=target(place.table), raw=sql.Identifier(place.reference.raw), open=place.open)


def _try(connection: psycopg.Connection, place: Place) -> None:
    """Count the references that found no parent, at most once in half an hour; an orphan stays as it is."""
    connection.execute(
        sql.SQL(
            "INSERT INTO vms.pending_link AS l (object, record_id, reference, target_id, tries, last_try_at)"
            " SELECT {owner}, t.salesforce_id, {name}, t.{raw}, 1, now() FROM {target} AS t"
            " WHERE {open} AND t.deleted_at IS NULL"
            " ON CONFLICT (object, record_id, reference) DO UPDATE SET"
            " tries = CASE WHEN {same} THEN l.tries + 1 ELSE 1 END, last_try_at = now(),"
            " first_seen_at = CASE WHEN {same} THEN l.first_seen_at ELSE now() END,"
            " orphaned_at = CASE WHEN {same} AND l.tries + 1 >= {limit} THEN now() END,"
            " target_id = excluded.target_id, resolved_at = NULL"
            " WHERE NOT ({same} AND (l.orphaned_at IS NOT NULL OR l.last_try_at > now() - {apart}))"
        ).format(
            owner=sql.Literal(place.owner),
            name=sql.Literal(place.name),
            raw=sql.Identifier(place.reference.raw),
            target=target(place.table),
            open=place.open,
            same=sql.SQL("(l.resolved_at IS NULL AND l.target_id = excluded.target_id)"),
            limit=sql.Literal(ORPHAN_AFTER),
            apart=sql.Literal(_APART),
        )
    )


def _count(connection: psycopg.Connection, spec: SyncObject) -> tuple[int, int, int]:
    """Open links of this object, orphans among them, and those that became it in this transaction."""
    found = connection.execute(
        "SELECT count(*), count(orphaned_at), count(*) FILTER (WHERE orphaned_at = now()) FROM vms.pending_link"
        " WHERE object = %s AND resolved_at IS NULL",
        [spec.name],
    ).fetchone()
    return found or (0, 0, 0)

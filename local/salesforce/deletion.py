"""Recycle bin, purge and merge: each also touches the records that belong to the deleted one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence

from local.salesforce.database import quote
from local.salesforce.errors import ApiError
from local.salesforce.metadata import Catalog, ObjectMeta

_IN_LIST = "IN (SELECT value FROM json_each(?))"
# A merge has one winner and at most two losers.
_MOST_LOSERS = 2


def delete(db: sqlite3.Connection, catalog: Catalog, meta: ObjectMeta, record_ids: Sequence[str], now: str) -> None:
    """Mark records as deleted, and those that cascade; the log remembers which one was the cause."""
    for cause in record_ids:
        for each, found in _family(db, catalog, meta, [cause], alive_only=True):
            _log(db, each, found, now, cause)
            if not each.soft_delete:
                _remove(db, each, found)
                continue
            statement = (
                f"UPDATE {quote(each.name)} SET IsDeleted = 1, LastModifiedDate = ?, "  # noqa: S608 - checked names
                f"SystemModstamp = ? WHERE Id {_IN_LIST}"
            )
            db.execute(statement, (now, now, json.dumps(found)))


def undelete(db: sqlite3.Connection, catalog: Catalog, meta: ObjectMeta, record_ids: Sequence[str], now: str) -> None:
    """Bring records back that lie in the recycle bin, with everything their deletion took along."""
    if not meta.undeletable:
        raise ApiError("UNDELETE_FAILED", f"{meta.name} cannot be undeleted")
    for cause in record_ids:
        in_bin = f"SELECT 1 FROM {quote(meta.name)} WHERE Id = ? AND IsDeleted = 1"  # noqa: S608 - checked names
        if db.execute(in_bin, (cause,)).fetchone() is None:
            raise ApiError("UNDELETE_FAILED", "Entity is not in the recycle bin")
        taken = db.execute("SELECT object, id FROM _deleted WHERE cause = ?", (cause,)).fetchall()
        for name, record_id in {(meta.name, cause), *taken}:
            each = catalog[name]
            merged = ", MasterRecordId = NULL" if each.mergeable else ""
            statement = (
                f"UPDATE {quote(name)} SET IsDeleted = 0, LastModifiedDate = ?, "  # noqa: S608 - checked names
                f"SystemModstamp = ? {merged} WHERE Id = ?"
            )
            db.execute(statement, (now, now, record_id))
            db.execute("DELETE FROM _deleted WHERE object = ? AND id = ?", (name, record_id))


def purge(
    db: sqlite3.Connection,
    catalog: Catalog,
    meta: ObjectMeta,
    record_ids: Sequence[str],
    now: str,
    *,
    logged: bool,
) -> None:
    """Remove records, and those that cascade, whether they lie in the recycle bin or not."""
    for each, found in _family(db, catalog, meta, record_ids, alive_only=False):
        _remove(db, each, found)
        if logged:
            _log(db, each, found, now, record_ids[0])
        else:
            db.execute(f"DELETE FROM _deleted WHERE object = ? AND id {_IN_LIST}", (each.name, json.dumps(found)))  # noqa: S608


def merge(
    db: sqlite3.Connection, catalog: Catalog, meta: ObjectMeta, winner: str, losers: Sequence[str], now: str
) -> None:
    """Put the losers into the recycle bin with the winner's id, and let everything point to the winner."""
    if not meta.mergeable or not losers or len(losers) > _MOST_LOSERS or winner in losers:
        raise ApiError("INVALID_OPERATION", f"{meta.name}: one or two other records can be merged into one")
    lost = json.dumps(list(losers))
    for child, reference in catalog.children(meta.name):
        column = quote(reference.name)
        statement = f"UPDATE {quote(child.name)} SET {column} = ? WHERE {column} {_IN_LIST}"  # noqa: S608 - checked names
        db.execute(statement, (winner, lost))
    statement = (
        f"UPDATE {quote(meta.name)} SET IsDeleted = 1, MasterRecordId = ?, "  # noqa: S608 - checked names
        f"LastModifiedDate = ?, SystemModstamp = ? WHERE Id {_IN_LIST}"
    )
    db.execute(statement, (winner, now, now, lost))
    for loser in losers:
        _log(db, meta, [loser], now, loser)


def _family(
    db: sqlite3.Connection, catalog: Catalog, meta: ObjectMeta, record_ids: Sequence[str], *, alive_only: bool
) -> Iterator[tuple[ObjectMeta, list[str]]]:
    """Return the records, then level by level what is deleted with them; each record once."""
    seen: set[str] = set()
    level = [(meta, list(record_ids))]
    while level:
        following = []
        for each, found in level:
            fresh = [i for i in found if i not in seen]
            seen.update(fresh)
            if not fresh:
                continue
            for child, reference in catalog.children(each.name):
                if reference.cascade_delete:
                    alive = "AND IsDeleted = 0" if alive_only else ""
                    statement = (
                        f"SELECT Id FROM {quote(child.name)} "  # noqa: S608 - checked names
                        f"WHERE {quote(reference.name)} {_IN_LIST} {alive}"
                    )
                    members = [i for (i,) in db.execute(statement, (json.dumps(fresh),))]
                    following.append((child, members))
            yield each, fresh
        level = following


def _remove(db: sqlite3.Connection, meta: ObjectMeta, record_ids: Sequence[str]) -> None:
    statement = f"DELETE FROM {quote(meta.name)} WHERE Id {_IN_LIST}"  # noqa: S608 - checked names
    db.execute(statement, (json.dumps(list(record_ids)),))


def _log(db: sqlite3.Connection, meta: ObjectMeta, record_ids: Sequence[str], now: str, cause: str) -> None:
    # A record that went through the recycle bin keeps the time at which it went in.
    db.executemany(
        "INSERT OR IGNORE INTO _deleted VALUES (?, ?, ?, ?)", [(meta.name, each, now, cause) for each in record_ids]
    )

"""Recycle bin, purge and merge: each also touches the records that belong to the deleted one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from local.salesforce.database import quote
from local.salesforce.errors import ApiError
from local.salesforce.metadata import Catalog, ObjectMeta

_IN_LIST = "IN (SELECT value FROM json_each(?))"
# A merge has one winner and at most two losers.
_MOST_LOSERS = 2
# Makes earlier changes of records visible; without ids, of all records of the object.
Settle = Callable[[ObjectMeta, Sequence[str] | None], None]


class Deletion:
    """What deletes, within one transaction."""

    def __init__(self, db: sqlite3.Connection, catalog: Catalog, settle: Settle) -> None:
        self._db, self._catalog, self._settle = db, catalog, settle

    def delete(self, meta: ObjectMeta, record_ids: Sequence[str], now: str) -> None:
        """Mark records as deleted, and those that cascade; the log remembers which one was the cause.

        A record that was changed while its deletion was under way keeps the later stamp: none ever goes back.
        """
        for cause in record_ids:
            for each, found in self._family(meta, [cause], alive_only=True):
                later = f"SELECT Id, max(SystemModstamp, ?) FROM {quote(each.name)} WHERE Id {_IN_LIST}"  # noqa: S608
                for record_id, at in self._db.execute(later, (now, json.dumps(found))).fetchall():
                    self._log(each, [record_id], at, cause)
                if not each.soft_delete:
                    self._remove(each, found)
                    continue
                statement = (
                    f"UPDATE {quote(each.name)} SET IsDeleted = 1, "  # noqa: S608 - checked names
                    "LastModifiedDate = max(LastModifiedDate, ?), SystemModstamp = max(SystemModstamp, ?) "
                    f"WHERE Id {_IN_LIST}"
                )
                self._db.execute(statement, (now, now, json.dumps(found)))

    def undelete(self, meta: ObjectMeta, record_ids: Sequence[str], now: str) -> None:
        """Bring records back that lie in the recycle bin, with everything their deletion took along."""
        if not meta.undeletable:
            raise ApiError("UNDELETE_FAILED", f"{meta.name} cannot be undeleted")
        for cause in record_ids:
            self._settle(meta, [cause])
            in_bin = f"SELECT 1 FROM {quote(meta.name)} WHERE Id = ? AND IsDeleted = 1"  # noqa: S608 - checked names
            if self._db.execute(in_bin, (cause,)).fetchone() is None:
                raise ApiError("UNDELETE_FAILED", "Entity is not in the recycle bin")
            taken = self._db.execute("SELECT object, id FROM _deleted WHERE cause = ?", (cause,)).fetchall()
            for name, record_id in {(meta.name, cause), *taken}:
                merged = ", MasterRecordId = NULL" if self._catalog[name].mergeable else ""
                statement = (
                    f"UPDATE {quote(name)} SET IsDeleted = 0, LastModifiedDate = ?, "  # noqa: S608 - checked names
                    f"SystemModstamp = ? {merged} WHERE Id = ?"
                )
                self._db.execute(statement, (now, now, record_id))
                self._db.execute("DELETE FROM _deleted WHERE object = ? AND id = ?", (name, record_id))

    def purge(self, meta: ObjectMeta, record_ids: Sequence[str], now: str, *, logged: bool) -> None:
        """Remove records, and those that cascade, whether they lie in the recycle bin or not."""
        for each, found in self._family(meta, record_ids, alive_only=False):
            self._remove(each, found)
            if logged:
                self._log(each, found, now, record_ids[0])
            else:
                statement = f"DELETE FROM _deleted WHERE object = ? AND id {_IN_LIST}"  # noqa: S608 - a constant
                self._db.execute(statement, (each.name, json.dumps(found)))

    def merge(self, meta: ObjectMeta, winner: str, losers: Sequence[str], now: str) -> None:
        """Put the losers into the recycle bin with the winner's id, and let everything point to the winner."""
        if not meta.mergeable or not losers or len(losers) > _MOST_LOSERS or winner in losers:
            raise ApiError("INVALID_OPERATION", f"{meta.name}: one or two other records can be merged into one")
        lost = json.dumps(list(losers))
        for child, reference in self._catalog.children(meta.name):
            self._settle(child, None)
            column = quote(reference.name)
            statement = f"UPDATE {quote(child.name)} SET {column} = ? WHERE {column} {_IN_LIST}"  # noqa: S608
            self._db.execute(statement, (winner, lost))
            if child.name == meta.name:
                # The winner belonged to a loser: nothing belongs to itself.
                statement = f"UPDATE {quote(child.name)} SET {column} = NULL WHERE Id = ? AND {column} = ?"  # noqa: S608
                self._db.execute(statement, (winner, winner))
        statement = (
            f"UPDATE {quote(meta.name)} SET IsDeleted = 1, MasterRecordId = ?, "  # noqa: S608 - checked names
            f"LastModifiedDate = ?, SystemModstamp = ? WHERE Id {_IN_LIST}"
        )
        self._db.execute(statement, (winner, now, now, lost))
        for loser in losers:
            self._log(meta, [loser], now, loser)

    def _family(
        self, meta: ObjectMeta, record_ids: Sequence[str], *, alive_only: bool
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
                self._settle(each, fresh)
                following += [
                    (child, self._members(child, column, fresh, alive_only)) for child, column in self._cascades(each)
                ]
                yield each, fresh
            level = following

    def _cascades(self, meta: ObjectMeta) -> list[tuple[ObjectMeta, str]]:
        return [(child, ref.name) for child, ref in self._catalog.children(meta.name) if ref.cascade_delete]

    def _members(self, child: ObjectMeta, column: str, parents: Sequence[str], alive_only: bool) -> list[str]:
        alive = "AND IsDeleted = 0" if alive_only else ""
        statement = f"SELECT Id FROM {quote(child.name)} WHERE {quote(column)} {_IN_LIST} {alive}"  # noqa: S608
        return [i for (i,) in self._db.execute(statement, (json.dumps(list(parents)),))]

    def _remove(self, meta: ObjectMeta, record_ids: Sequence[str]) -> None:
        statement = f"DELETE FROM {quote(meta.name)} WHERE Id {_IN_LIST}"  # noqa: S608 - checked names
        self._db.execute(statement, (json.dumps(list(record_ids)),))

    def _log(self, meta: ObjectMeta, record_ids: Sequence[str], now: str, cause: str) -> None:
        # A record that went through the recycle bin keeps the time at which it went in.
        self._db.executemany(
            "INSERT OR IGNORE INTO _deleted VALUES (?, ?, ?, ?)", [(meta.name, each, now, cause) for each in record_ids]
        )

"""The organisation's records: what a user, an integration or a background job of Salesforce does to them.

Every change stamps LastModifiedDate and SystemModstamp with the organisation's clock, in whole seconds as Salesforce
does: ties are common. `stamps` says otherwise: "system" moves only SystemModstamp (a bounced e-mail), "none" neither
(a formula whose inputs lie in another object). `late_by` seconds makes a change visible only that much later, with
the stamps of now: what a long transaction does; `told=False`: replication does not hold back for it, which is what an
index that lags behind does.
Thread-safe; readers in other threads see a snapshot and never wait.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from local.salesforce import ids, schema
from local.salesforce.clock import Clock, stamp
from local.salesforce.database import Database, quote
from local.salesforce.deletion import Deletion
from local.salesforce.errors import ApiError
from local.salesforce.metadata import SYSTEM_NAMES, Catalog, FieldMeta, ObjectMeta, standard_catalog
from local.salesforce.values import Stored, name_of, stored

Stamps = Literal["user", "system", "none"]
Row = Mapping[str, Any]
_CHUNK = 5000
_STAMPED = {"user": ("LastModifiedDate", "SystemModstamp"), "system": ("SystemModstamp",), "none": ()}


class Store:
    """Records below a directory (kept), or in a temporary one (gone with `close`)."""

    def __init__(
        self, directory: Path | None = None, *, catalog: Catalog | None = None, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self._standard = catalog or standard_catalog()
        self._database = Database(directory)
        # When the fields of an object changed last, as far as this process knows.
        self._opened = self.clock.now()
        self._schema_changes: dict[str, datetime] = {}
        with self._database.write() as db:
            self.catalog = schema.open_catalog(db, self._standard)
            self._next_visible = _first_pending(db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes within the block one: others see all of them or none."""
        with self._writing():
            yield

    @property
    def directory(self) -> Path:
        """Where the file lies; spooled results may lie there as well."""
        return self._database.directory

    def close(self) -> None:
        """Close the file; a temporary one is removed."""
        self._database.close()

    def reset(self) -> None:
        """Forget all records and schema changes."""
        with self._database.write() as db:
            schema.drop_all(db, self.catalog)
            self.catalog = schema.open_catalog(db, self._standard)
            self._next_visible = None
            self._schema_changes.clear()
            self._opened = self.clock.now()

    # --- reading -----------------------------------------------------------------------------------
    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection of this thread on a snapshot of what is visible now."""
        self.reveal()
        with self._database.read() as db:
            yield db

    def object(self, name: str) -> ObjectMeta:
        """Return an object by its name in any case. Raises ApiError."""
        found = self.catalog.find(name)
        if found is None:
            raise ApiError("NOT_FOUND", "The requested resource does not exist")
        return found

    def rows(self, name: str) -> Iterator[dict[str, Stored]]:
        """Return all records, deleted ones and hidden system fields included, by id, as they are stored."""
        meta = self.object(name)
        columns = ", ".join(quote(c) for c in meta.columns)
        with self.read() as db:
            for row in db.execute(f"SELECT {columns} FROM {quote(meta.name)} ORDER BY Id"):  # noqa: S608 - checked names
                yield dict(zip(meta.columns, row, strict=True))

    def get(self, name: str, record_id: str) -> dict[str, Stored] | None:
        """Return one record as it is stored, deleted or not."""
        meta = self.object(name)
        columns = ", ".join(quote(c) for c in meta.columns)
        with self.read() as db:
            statement = f"SELECT {columns} FROM {quote(meta.name)} WHERE Id = ?"  # noqa: S608 - checked names
            row = db.execute(statement, (record_id,)).fetchone()
        return None if row is None else dict(zip(meta.columns, row, strict=True))

    def count(self, name: str, *, deleted: bool = False) -> int:
        """Return how many records there are; deleted ones only when asked."""
        where = "" if deleted else "WHERE IsDeleted = 0"
        with self.read() as db:
            found = db.execute(f"SELECT count(*) FROM {quote(self.object(name).name)} {where}").fetchone()  # noqa: S608
        return int(found[0])

    def deleted_between(self, name: str, start: str, end: str) -> list[tuple[str, str]]:
        """Return id and time of what was deleted in `[start, end)`, by time, as the delete log remembers it."""
        with self.read() as db:
            return db.execute(
                "SELECT id, at FROM _deleted WHERE object = ? AND at >= ? AND at < ? ORDER BY at, id",
                (self.object(name).name, start, end),
            ).fetchall()

    def oldest_pending(self) -> str | None:
        """Return the stamp of the oldest change on its way that is told of; replication covers only up to it."""
        with self.read() as db:
            (found,) = db.execute(
                "SELECT min(json_extract(change, '$.at')) FROM _pending WHERE json_extract(change, '$.told')"
            ).fetchone()
        return None if found is None else str(found)

    # --- writing -----------------------------------------------------------------------------------
    def insert(self, name: str, values: Row, *, late_by: float = 0, told: bool = True) -> str:
        """Create a record and return its id."""
        return self.insert_many(name, [values], late_by=late_by, told=told)[0]

    def insert_many(self, name: str, rows: Iterable[Row], *, late_by: float = 0, told: bool = True) -> list[str]:
        """Create records and return their ids. A row may bring its own Id, stamps and IsDeleted.

        Values have the field's type; what a user could not have entered (too long, unknown label, no required value)
        is kept. All or nothing. Raises ApiError.
        """
        meta, now = self.object(name), self.clock.stamp()
        made: list[str] = []
        with self._writing() as db:
            builder = _RowBuilder(db, meta, now)
            pending = iter(rows)
            statement = (
                f"INSERT INTO {quote(meta.name)} ({', '.join(map(quote, meta.columns))}) "  # noqa: S608 - checked names
                f"VALUES ({', '.join('?' * len(meta.columns))})"
            )
            while chunk := [builder.build(row) for row in islice(pending, _CHUNK)]:
                made += [str(values[0]) for values in chunk]
                if late_by:
                    changes = (dict(zip(meta.columns, values, strict=True)) for values in chunk)
                    self._delay(db, meta, {str(c["Id"]): {"insert": c} for c in changes}, now, late_by, told=told)
                    continue
                try:
                    db.executemany(statement, chunk)
                except sqlite3.IntegrityError as error:
                    raise ApiError("DUPLICATE_VALUE", f"{meta.name}: duplicate value found: Id") from error
            builder.finish()
        return made

    def update(
        self,
        name: str,
        record_id: str,
        values: Row,
        *,
        stamps: Stamps = "user",
        late_by: float = 0,
        told: bool = True,
    ) -> None:
        """Change fields of one record."""
        self.update_many(name, [{**values, "Id": record_id}], stamps=stamps, late_by=late_by, told=told)

    def update_many(
        self, name: str, rows: Iterable[Row], *, stamps: Stamps = "user", late_by: float = 0, told: bool = True
    ) -> None:
        """Change fields of existing, not deleted records, each named by its `Id`. All or nothing. Raises ApiError."""
        meta, now = self.object(name), self.clock.stamp()
        with self._writing() as db:
            for row in rows:
                values = _stored_row(meta, row)
                record_id = str(values.pop("Id", ""))
                self._settle(db, meta, [record_id])
                _must_be_alive(db, meta, [record_id])
                values = {**dict.fromkeys(_STAMPED[stamps], now), **values}
                values |= _renamed(db, meta, record_id, values)
                if late_by:
                    self._delay(db, meta, {record_id: {"update": values}}, now, late_by, told=told)
                else:
                    self._apply(db, meta, record_id, {"update": values})

    def delete(self, name: str, record_ids: Sequence[str], *, late_by: float = 0, told: bool = True) -> None:
        """Put records, and what goes with them, into the recycle bin. Raises ApiError."""
        meta, now = self.object(name), self.clock.stamp()
        with self._writing() as db:
            self._settle(db, meta, record_ids)
            _must_be_alive(db, meta, record_ids)
            if late_by:
                self._delay(db, meta, {each: {"delete": now} for each in record_ids}, now, late_by, told=told)
            else:
                self._deletion(db).delete(meta, record_ids, now)

    def undelete(self, name: str, record_ids: Sequence[str]) -> None:
        """Take records, and what went with them, out of the recycle bin. Raises ApiError."""
        with self._writing() as db:
            self._deletion(db).undelete(self.object(name), record_ids, self.clock.stamp())

    def hard_delete(self, name: str, record_ids: Sequence[str], *, logged: bool = True) -> None:
        """Remove records for good. `logged=False`: the delete log has been purged, getDeleted does not know them."""
        with self._writing() as db:
            self._deletion(db).purge(self.object(name), record_ids, self.clock.stamp(), logged=logged)

    def merge(self, name: str, winner: str, losers: Sequence[str], values: Row | None = None) -> None:
        """Merge up to two records into another one: what refers to them refers to it, without new stamps."""
        meta, now = self.object(name), self.clock.stamp()
        with self._writing() as db:
            self._settle(db, meta, [winner, *losers])
            _must_be_alive(db, meta, [winner, *losers])
            self._deletion(db).merge(meta, winner, losers, now)
            self.update(name, winner, values or {})

    # --- schema ------------------------------------------------------------------------------------
    def add_field(self, name: str, new: FieldMeta) -> None:
        """Add a field to an object. Raises ApiError."""
        self._change_schema(name, lambda db, meta: schema.add_field(db, meta, new))

    def remove_field(self, name: str, field_name: str) -> None:
        """Remove a field and its values. Raises ApiError."""
        self._change_schema(name, lambda db, meta: schema.remove_field(db, meta, field_name))

    def change_field(self, name: str, field_name: str, new: FieldMeta) -> None:
        """Rename or retype a field. Raises ApiError."""
        self._change_schema(name, lambda db, meta: schema.change_field(db, meta, field_name, new))

    def schema_changed(self, name: str) -> datetime:
        """Return when the fields of an object changed last; when nobody changed them, when this store was opened."""
        return self._schema_changes.get(self.object(name).name, self._opened)

    def _change_schema(self, name: str, work: Callable[[sqlite3.Connection, ObjectMeta], ObjectMeta]) -> None:
        with self._writing() as db:
            changed = work(db, self.object(name))
            self.catalog.put(changed)
            self._schema_changes[changed.name] = self.clock.now()

    # --- late changes ------------------------------------------------------------------------------
    def reveal(self) -> None:
        """Make visible what is due by now."""
        if self._next_visible is not None and self._next_visible <= self.clock.stamp():
            with self._database.write() as db:
                due = db.execute(
                    "SELECT n, object, id, change FROM _pending WHERE visible_at <= ? ORDER BY n", (self.clock.stamp(),)
                ).fetchall()
                self._apply_pending(db, due)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self.reveal()
        with self._database.write() as db:
            yield db

    def _settle(self, db: sqlite3.Connection, meta: ObjectMeta, record_ids: Sequence[str] | None = None) -> None:
        """Make changes of these records (None: of all of the object) visible that were committed before.

        A later change of the same record waits for them, and would be undone if they came after it.
        """
        if self._next_visible is None:
            return
        statement = "SELECT n, object, id, change FROM _pending WHERE object = ?"
        if record_ids is None:
            found = db.execute(f"{statement} ORDER BY n", (meta.name,))
        else:
            chosen = f"{statement} AND id IN (SELECT value FROM json_each(?)) ORDER BY n"  # noqa: S608 - constants
            found = db.execute(chosen, (meta.name, json.dumps(list(record_ids))))
        self._apply_pending(db, found.fetchall())

    def _deletion(self, db: sqlite3.Connection) -> Deletion:
        return Deletion(db, self.catalog, partial(self._settle, db))

    def _delay(
        self,
        db: sqlite3.Connection,
        meta: ObjectMeta,
        changes: Mapping[str, Row],
        now: str,
        late_by: float,
        *,
        told: bool,
    ) -> None:
        visible_at = stamp(self.clock.now() + timedelta(seconds=late_by))
        db.executemany(
            "INSERT INTO _pending (visible_at, object, id, change) VALUES (?, ?, ?, ?)",
            [
                (visible_at, meta.name, key, json.dumps({**change, "at": now, "told": told}))
                for key, change in changes.items()
            ],
        )
        self._next_visible = _first_pending(db)

    def _apply_pending(self, db: sqlite3.Connection, due: Sequence[tuple[int, str, str, str]]) -> None:
        for n, name, record_id, change in due:
            # Another one, whose turn it was first, may have settled this one.
            if db.execute("DELETE FROM _pending WHERE n = ?", (n,)).rowcount:
                self._apply(db, self.catalog[name], record_id, json.loads(change))
        if due:
            self._next_visible = _first_pending(db)

    def _apply(self, db: sqlite3.Connection, meta: ObjectMeta, record_id: str, change: Row) -> None:
        if "delete" in change:
            self._deletion(db).delete(meta, [record_id], change["delete"])
            return
        # A field may have been removed while the change was on its way.
        values = {k: v for k, v in (change.get("insert") or change["update"]).items() if k in meta.columns}
        names = [quote(name) for name in values]
        table = quote(meta.name)
        if "insert" in change:
            marks = ", ".join("?" * len(names))
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - checked names
            db.execute(statement, tuple(values.values()))
        elif names:
            sets = ", ".join(f"{name} = ?" for name in names)
            statement = f"UPDATE {table} SET {sets} WHERE Id = ?"  # noqa: S608 - checked names
            db.execute(statement, (*values.values(), record_id))


class _RowBuilder:
    """Turns given rows into tuples in the order of the table's columns."""

    def __init__(self, db: sqlite3.Connection, meta: ObjectMeta, now: str) -> None:
        self._db, self._meta = db, meta
        found = db.execute("SELECT number FROM _next WHERE object = ?", (meta.name,)).fetchone()
        self._number = found[0] if found else 0
        self._places = {name: (n, meta.find(name) or _hidden(name)) for n, name in enumerate(meta.columns)}
        self._blank: list[Stored] = [None] * len(meta.columns)
        for n, each in self._places.values():
            self._blank[n] = 0 if each.type == "boolean" and not each.default else stored(each, each.default)
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            self._blank[self._places[name][0]] = now
        self._name = self._places["Name"][0] if _has_person_name(meta) else None

    def build(self, row: Row) -> tuple[Stored, ...]:
        values = self._blank.copy()
        for name, value in row.items():
            place = self._places.get(name)
            if place is None:
                place = self._places[_known(self._meta, name).name]
            n, each = place
            given = stored(each, value) if not isinstance(value, str) or not value or not each.is_text else value
            values[n] = values[n] if given is None and each.type == "boolean" else given
        if values[0] is None:
            values[0] = ids.make_id(self._meta.key_prefix, self._number)
            self._number += 1
        elif ids.is_ours(str(values[0])):
            self._number = max(self._number, ids.number_of(str(values[0])) + 1)
        if self._name is not None and values[self._name] is None:
            values[self._name] = name_of(row)
        return tuple(values)

    def finish(self) -> None:
        self._db.execute("INSERT OR REPLACE INTO _next VALUES (?, ?)", (self._meta.name, self._number))


def _hidden(name: str) -> FieldMeta:
    return FieldMeta(name=name, type="boolean" if name == "IsDeleted" else "datetime")


def _known(meta: ObjectMeta, name: str) -> FieldMeta:
    found = meta.find(name)
    if found is None and name in SYSTEM_NAMES:
        return _hidden(name)
    if found is None or found.is_derived:
        raise ApiError("INVALID_FIELD", f"No such column '{name}' on sobject of type {meta.name}")
    return found


def _stored_row(meta: ObjectMeta, row: Row) -> dict[str, Stored]:
    found = ((_known(meta, name), value) for name, value in row.items())
    return {each.name: _never_null(each, stored(each, value)) for each, value in found}


def _never_null(meta: FieldMeta, value: Stored) -> Stored:
    return 0 if value is None and meta.type == "boolean" else value


def _has_person_name(meta: ObjectMeta) -> bool:
    return bool(meta.find("Name") and meta.components("Name"))


def _renamed(db: sqlite3.Connection, meta: ObjectMeta, record_id: str, values: Row) -> Row:
    """Return the new Name when a part of it changes."""
    parts = [f.name for f in meta.components("Name")] if _has_person_name(meta) else []
    if "Name" in values or not any(part in values for part in parts):
        return {}
    columns = ", ".join(map(quote, parts))
    statement = f"SELECT {columns} FROM {quote(meta.name)} WHERE Id = ?"  # noqa: S608 - checked names
    now = dict(zip(parts, db.execute(statement, (record_id,)).fetchone(), strict=True))
    return {"Name": name_of(now | dict(values))}


def _must_be_alive(db: sqlite3.Connection, meta: ObjectMeta, record_ids: Sequence[str]) -> None:
    statement = f"SELECT IsDeleted FROM {quote(meta.name)} WHERE Id = ?"  # noqa: S608 - checked names
    for record_id in record_ids:
        found = db.execute(statement, (record_id,)).fetchone()
        if found is None:
            raise ApiError("NOT_FOUND", "The requested resource does not exist")
        if found[0]:
            raise ApiError("ENTITY_IS_DELETED", "entity is deleted")


def _first_pending(db: sqlite3.Connection) -> str | None:
    found: str | None = db.execute("SELECT min(visible_at) FROM _pending").fetchone()[0]
    return found

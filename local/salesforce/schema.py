"""Tables of the store: one for each object, kept in step with the catalog, which the file remembers."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

from local.salesforce.database import quote
from local.salesforce.errors import ApiError
from local.salesforce.metadata import IDS, NUMBERS, Catalog, FieldMeta, ObjectMeta
from local.salesforce.values import ValueFormatError, stored

_BOOKKEEPING = (
    "CREATE TABLE IF NOT EXISTS _schema (object TEXT PRIMARY KEY, meta TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _next (object TEXT PRIMARY KEY, number INTEGER NOT NULL)",
    # What getDeleted answers with. `cause`: the record whose deletion took this one along.
    """CREATE TABLE IF NOT EXISTS _deleted (object TEXT, id TEXT, at TEXT NOT NULL, cause TEXT NOT NULL,
       PRIMARY KEY (object, id))""",
    "CREATE INDEX IF NOT EXISTS _deleted_at ON _deleted (object, at)",
    # Changes that are committed and not yet visible to others.
    """CREATE TABLE IF NOT EXISTS _pending (n INTEGER PRIMARY KEY, visible_at TEXT NOT NULL, object TEXT NOT NULL,
       id TEXT NOT NULL, change TEXT NOT NULL)""",
)


def open_catalog(db: sqlite3.Connection, catalog: Catalog) -> Catalog:
    """Return the catalog the file remembers, widened by what `catalog` knows in addition; make missing tables."""
    for statement in _BOOKKEEPING:
        db.execute(statement)
    kept = Catalog(ObjectMeta.from_json(json.loads(meta)) for (meta,) in db.execute("SELECT meta FROM _schema"))
    for wanted in catalog:
        found = kept.find(wanted.name)
        if found is None:
            create(db, wanted)
            kept.put(wanted)
            continue
        for each in wanted.fields:
            if found.find(each.name) is None:
                found = add_field(db, found, each)
        kept.put(found)
    return kept


def create(db: sqlite3.Connection, meta: ObjectMeta) -> None:
    """Make the table of an object."""
    columns = ", ".join(_column(meta, name) for name in meta.columns)
    db.execute(f"CREATE TABLE {quote(meta.name)} ({columns})")
    for name in meta.columns:
        _index(db, meta, name)
    _remember(db, meta)


def drop_all(db: sqlite3.Connection, catalog: Catalog) -> None:
    """Forget all objects with their records."""
    for meta in catalog:
        db.execute(f"DROP TABLE {quote(meta.name)}")
    for table in ("_schema", "_next", "_deleted", "_pending"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names


def add_field(db: sqlite3.Connection, meta: ObjectMeta, new: FieldMeta) -> ObjectMeta:
    """Add a field; existing records have its default, or nothing. Nothing else about them changes."""
    if meta.find(new.name) is not None:
        raise ApiError("DUPLICATE_DEVELOPER_NAME", f"{meta.name} has a field {new.name}")
    changed = replace(meta, fields=(*meta.fields, new))
    if not new.is_derived:
        db.execute(f"ALTER TABLE {quote(meta.name)} ADD COLUMN {_column(changed, new.name)}")
        if new.default is not None:
            statement = f"UPDATE {quote(meta.name)} SET {quote(new.name)} = ?"  # noqa: S608 - checked names
            db.execute(statement, (stored(new, new.default),))
        _index(db, changed, new.name)
    _remember(db, changed)
    return changed


def remove_field(db: sqlite3.Connection, meta: ObjectMeta, name: str) -> ObjectMeta:
    """Remove a field with its values."""
    gone = _own(meta, name)
    changed = replace(meta, fields=tuple(f for f in meta.fields if f != gone))
    if not gone.is_derived:
        db.execute(f"DROP INDEX IF EXISTS {_index_name(meta, gone.name)}")
        db.execute(f"ALTER TABLE {quote(meta.name)} DROP COLUMN {quote(gone.name)}")
    _remember(db, changed)
    return changed


def change_field(db: sqlite3.Connection, meta: ObjectMeta, name: str, new: FieldMeta) -> ObjectMeta:
    """Rename or retype a field, or both. Values that the new type cannot hold are lost, as in Salesforce."""
    old = _own(meta, name)
    if old.is_derived or new.is_derived:
        raise ApiError("INVALID_FIELD", f"{meta.name}.{name}: an address field cannot be changed")
    if new.name.lower() != old.name.lower() and meta.find(new.name) is not None:
        raise ApiError("DUPLICATE_DEVELOPER_NAME", f"{meta.name} has a field {new.name}")
    table, changed = quote(meta.name), replace(meta, fields=tuple(new if f == old else f for f in meta.fields))
    db.execute(f"DROP INDEX IF EXISTS {_index_name(meta, old.name)}")
    if old.type == new.type:
        if old.name != new.name:
            db.execute(f"ALTER TABLE {table} RENAME COLUMN {quote(old.name)} TO {quote(new.name)}")
    else:
        values = db.execute(f"SELECT Id, {quote(old.name)} FROM {table}").fetchall()  # noqa: S608 - checked names
        db.execute(f"ALTER TABLE {table} DROP COLUMN {quote(old.name)}")
        db.execute(f"ALTER TABLE {table} ADD COLUMN {_column(changed, new.name)}")
        statement = f"UPDATE {table} SET {quote(new.name)} = ? WHERE Id = ?"  # noqa: S608 - checked names
        db.executemany(statement, [(_converted(new, value), key) for key, value in values])
    _index(db, changed, new.name)
    _remember(db, changed)
    return changed


def _own(meta: ObjectMeta, name: str) -> FieldMeta:
    found = meta.find(name)
    if found is None or found not in meta.fields:
        raise ApiError("INVALID_FIELD", f"No such column '{name}' on entity '{meta.name}'")
    return found


def _converted(meta: FieldMeta, value: object) -> object:
    try:
        return stored(meta, value)
    except ValueFormatError:
        return stored(meta, meta.default)


def _column(meta: ObjectMeta, name: str) -> str:
    if name == "Id":
        return '"Id" TEXT PRIMARY KEY'
    found = meta.find(name)
    kind = "boolean" if name == "IsDeleted" else found.type if found else "datetime"
    if kind == "boolean":
        return f"{quote(name)} INTEGER NOT NULL DEFAULT 0"
    sql_type = "INTEGER" if kind == "int" else "REAL" if kind in NUMBERS else "TEXT"
    return f"{quote(name)} {sql_type}"


def _index(db: sqlite3.Connection, meta: ObjectMeta, name: str) -> None:
    found = meta.find(name)
    if name == "SystemModstamp" or (found is not None and name != "Id" and found.type in IDS):
        db.execute(f"CREATE INDEX {_index_name(meta, name)} ON {quote(meta.name)} ({quote(name)})")


def _index_name(meta: ObjectMeta, name: str) -> str:
    return quote(f"{meta.name}.{name}")


def _remember(db: sqlite3.Connection, meta: ObjectMeta) -> None:
    db.execute("INSERT OR REPLACE INTO _schema VALUES (?, ?)", (meta.name, json.dumps(meta.to_json())))

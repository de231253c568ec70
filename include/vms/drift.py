"""The source's schema against what we know of it: an addition is taken in, a change that could lose data is refused.

A field that is new and custom gets a column in the object's own table by itself: `formulas` adds the column, fills it
for the rows that are here, and from then on the field is selected (`effective`). Its values count as personal. A field
that we need and that is gone, of another type or shorter, stops the run before anything is read; what is in the tables
stays. Everything else is a note in the run's row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import InputRejected
from include.operations.log import log_event
from include.vms.contracts import Accept
from include.vms.spec import SYSTEM_COLUMNS, SYSTEM_FIELDS, Action, Column, Field, Kind, Pii

if TYPE_CHECKING:
    import psycopg

    from include.vms.contracts import Manifest
    from include.vms.salesforce.rest import Describe
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)

_KINDS: Final = {
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "datetime": Kind.TIMESTAMP,
    "int": Kind.NUMBER,
    "long": Kind.NUMBER,
    "double": Kind.NUMBER,
    "currency": Kind.NUMBER,
    "percent": Kind.NUMBER,
}
# All of them are texts to us: one may become the other.
_TEXTS: Final = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "combobox", "email", "phone", "url", "encryptedstring"}
)
_NO_COLUMN: Final = frozenset({"address", "location", "base64", "complexvalue", "anyType"})
_LONGEST_NAME: Final = 63
_NAMED: Final = 10


class SchemaDrift(InputRejected):
    """The source has changed a field that the sync needs in a way that could lose data; nothing was read."""

    code = "SCHEMA_DRIFT"


@dataclass(frozen=True)
class Known:
    """A field as last described: a row of `ops.source_field`."""

    field: str
    type: str
    length: int
    scale: int
    calculated: bool
    picklist: list[str] | None = None
    added_column: str | None = None
    filled: bool = False

    @property
    def family(self) -> str:
        """Types of one family are read alike."""
        return "text" if self.type in _TEXTS else self.type


def check(conn: psycopg.Connection[Any], spec: SyncObject, described: Describe, manifest: Manifest) -> None:
    """Compare the source's fields with those of the last run and remember them; part of the caller's transaction.

    Args:
        conn: to the warehouse.
        spec: the object, with the columns that were added (`effective`).
        described: what the source says now.
        manifest: of the run: gets the notes; its `accept` may allow a change.

    Raises:
        SchemaDrift: a field that is needed is gone, or has changed in a way that was not accepted.
    """
    now = {name: _known(one) for name, one in described.fields.items() if not one.get("deprecatedAndHidden")}
    known = _load(conn, spec)
    added = {one.field for one in known.values() if one.added_column}
    needed = [name for name in spec.select if name not in SYSTEM_FIELDS and name not in added]
    # Also when the source is as it was: the code may have come to need more.
    _refuse_missing(spec, needed, described, known)
    seen = _hash(now)
    if seen == _last_hash(conn, spec):
        return
    changed = [
        text for name in {*needed, *added} & known.keys() & now.keys() if (text := _narrowed(known[name], now[name]))
    ]
    if changed and Accept.SCHEMA_CHANGE not in manifest.accept:
        raise SchemaDrift(
            f"{spec.name}: of {spec.sobject} {'; '.join(sorted(changed)[:_NAMED])}. Nothing was read; the tables "
            "are as they were.",
            what_to_do=f"Look whether include/vms/objects/{spec.name}.py still fits, or have the change taken back; "
            "run once with accept=schema_change if it does.",
        )
    columns = _new_columns(conn, spec, [one for name, one in now.items() if known and name not in known], described)
    notes = [*sorted(changed), *_notes(spec, known, now, columns)]
    if not manifest.dry_run:
        _store(conn, spec, known, now, columns, seen)
    for note in notes:
        log_event(log, "vms_schema_changed", level=logging.WARNING, object=spec.name, change=note)
    manifest.notes += [f"Schema of {spec.sobject}: {note}." for note in notes]


def effective(conn: psycopg.Connection[Any], spec: SyncObject) -> SyncObject:
    """The object with the fields that it got by itself; each step of a sync begins with it."""
    return with_added(spec, [one for one in _load(conn, spec).values() if one.filled])


def with_added(spec: SyncObject, fields: list[Known]) -> SyncObject:
    """The object with more fields, each with a column of its own table."""
    more = [one for one in fields if one.added_column and one.field not in spec.by_name]
    if not more:
        return spec
    kinds = {one.field: _KINDS.get(one.type, Kind.TEXT) for one in more}
    table = replace(
        spec.table,
        columns=(
            *spec.table.columns,
            *(Column(str(one.added_column), kinds[one.field], one.field, comment_of(one)) for one in more),
        ),
    )
    return replace(
        spec,
        fields=(
            *spec.fields,
            *(Field(one.field, kinds[one.field], pii=Pii.PERSONAL, on_bad_kind=Action.FLAG) for one in more),
        ),
        tables=(table, *spec.tables[1:]),
    )


def comment_of(field: Known) -> str:
    """Comment of a column that was added."""
    return f"{field.field} of Salesforce, added by the sync when it appeared there; personal"


def fields_of(conn: psycopg.Connection[Any], spec: SyncObject) -> dict[str, Known]:
    """All fields of the source as last described."""
    return _load(conn, spec)


def _known(one: Mapping[str, Any]) -> Known:
    number = int(one.get("precision") or 0) or int(one.get("digits") or 0)
    values = one.get("picklistValues") or None
    return Known(
        field=str(one["name"]),
        type=str(one["type"]),
        length=int(one.get("length") or 0) or number,
        scale=int(one.get("scale") or 0),
        calculated=bool(one.get("calculated")),
        picklist=sorted(str(each["value"]) for each in values if each.get("active", True)) if values else None,
    )


def _hash(fields: Mapping[str, Known]) -> str:
    said = [[one.field, one.type, one.length, one.scale, one.calculated, one.picklist] for one in fields.values()]
    return hashlib.sha256(json.dumps(sorted(said, key=lambda each: str(each[0]))).encode()).hexdigest()[:32]


def _last_hash(conn: psycopg.Connection[Any], spec: SyncObject) -> str | None:
    found = conn.execute("SELECT describe_hash FROM ops.sync_state WHERE object = %s", [spec.name]).fetchone()
    return None if found is None or found[0] is None else str(found[0])


def _load(conn: psycopg.Connection[Any], spec: SyncObject) -> dict[str, Known]:
    rows = conn.execute(
        "SELECT field, type, length, scale, calculated, picklist, added_column, backfilled_at IS NOT NULL"
        " FROM ops.source_field WHERE object = %s ORDER BY field",
        [spec.name],
    ).fetchall()
    return {row[0]: Known(*row) for row in rows}


def missing(names: Iterable[str], described: Describe) -> list[str]:
    """Those of some fields that the object does not have, or does not show to the user."""
    relations = {one.get("relationshipName") for one in described.fields.values()}
    # Of a field of a parent only the way there is known.
    return [
        name for name in names if (name.partition(".")[0] not in relations if "." in name else not described.has(name))
    ]


def _refuse_missing(spec: SyncObject, needed: list[str], described: Describe, known: Mapping[str, Known]) -> None:
    gone = missing(needed, described)
    if not gone:
        return
    # What no run has seen there is rather a slip in the module.
    never = [name for name in gone if (name not in known and "." not in name) or not known]
    lost = sorted(set(gone) - set(never))
    said = [f"no longer has {', '.join(lost[:_NAMED])}: removed, renamed, or hidden from the integration user"]
    told = [f"has no {', '.join(sorted(never)[:_NAMED])}: misspelt, not made yet, or hidden from the integration user"]
    raise SchemaDrift(
        f"{spec.name}: {spec.sobject} {'; it '.join((said if lost else []) + (told if never else []))}. Nothing was"
        " read; the tables are as they were.",
        what_to_do="Give the field back, or the user the right to see it (field-level security); if it is gone "
        f"for good, or has another name, change include/vms/objects/{spec.name}.py.",
    )


def _narrowed(old: Known, new: Known) -> str:
    """What of a change could lose data; empty when nothing could."""
    if old.family != new.family:
        return f"{new.field} was {old.type} and is {new.type}"
    if new.length < old.length:
        return f"{new.field} held {old.length} characters and holds {new.length}"
    if new.scale < old.scale:
        return f"{new.field} had {old.scale} digits after the point and has {new.scale}"
    return ""


def _new_columns(
    conn: psycopg.Connection[Any], spec: SyncObject, fields: list[Known], described: Describe
) -> dict[str, str]:
    """Names of the columns that new fields get; only custom ones, and only what a column can hold."""
    taken = {
        row[0]
        for row in conn.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'vms' AND table_name = %s",
            [spec.table.name],
        )
    } | set(SYSTEM_COLUMNS)
    found: dict[str, str] = {}
    for one in fields:
        if not described.fields[one.field].get("custom") or one.type in _NO_COLUMN or one.field in spec.by_name:
            continue
        base = re.sub(r"[^a-z0-9]+", "_", one.field.removesuffix("__c").lower()).strip("_")[: _LONGEST_NAME - 3]
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        found[one.field] = name
    return found


def _notes(
    spec: SyncObject, known: Mapping[str, Known], now: Mapping[str, Known], columns: Mapping[str, str]
) -> list[str]:
    if not known:
        return []
    notes = [
        f"{name} is new; it gets the column {spec.table.name}.{columns[name]}"
        if name in columns
        else f"{name} is new and not synced"
        for name in sorted(now.keys() - known.keys())
        if name not in spec.by_name
    ]
    notes += [
        f"{name} is gone"
        + (f"; the column {known[name].added_column} keeps its values" if known[name].added_column else "")
        for name in sorted(known.keys() - now.keys())
    ]
    for name in sorted(known.keys() & now.keys()):
        if name not in spec.by_name:
            continue
        old, new = set(known[name].picklist or ()), set(now[name].picklist or ())
        if old != new:
            told = [f"offers {value!r}" for value in sorted(new - old)] + [
                f"no longer offers {value!r}" for value in sorted(old - new)
            ]
            notes.append(f"{name} {', '.join(told[:_NAMED])}")
        if now[name].calculated and not known[name].calculated:
            notes.append(f"{name} is a formula now and is refreshed as one")
    return notes


def _store(
    conn: psycopg.Connection[Any],
    spec: SyncObject,
    known: Mapping[str, Known],
    now: Mapping[str, Known],
    columns: Mapping[str, str],
    seen: str,
) -> None:
    from psycopg.types.json import Jsonb

    conn.execute("DELETE FROM ops.source_field WHERE object = %s AND NOT field = ANY (%s)", [spec.name, list(now)])
    changed = [one for name, one in now.items() if name not in known or _described(known[name]) != one]
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ops.source_field (object, field, type, length, scale, calculated, picklist, added_column)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (object, field) DO UPDATE SET type = excluded.type,"
            " length = excluded.length, scale = excluded.scale, calculated = excluded.calculated,"
            " picklist = excluded.picklist",
            [
                (
                    spec.name,
                    one.field,
                    one.type,
                    one.length,
                    one.scale,
                    one.calculated,
                    None if one.picklist is None else Jsonb(one.picklist),
                    columns.get(one.field),
                )
                for one in changed
            ],
        )
    conn.execute("UPDATE ops.sync_state SET describe_hash = %s WHERE object = %s", [seen, spec.name])


def _described(one: Known) -> Known:
    """Without what is ours."""
    return replace(one, added_column=None, filled=False)

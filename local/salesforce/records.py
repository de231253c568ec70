"""Single records and collections of them, with Salesforce's checks of what users enter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local.salesforce import ids
from local.salesforce.answer import Answer, Call
from local.salesforce.errors import ApiError, not_found
from local.salesforce.metadata import ObjectMeta
from local.salesforce.soql import compile_query
from local.salesforce.store import Store

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+\Z")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_.]*\Z")
_MOST_RECORDS = 200


class Records:
    """`sobjects/NAME[/ID]` and `composite/sobjects`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- one record --------------------------------------------------------------------------------
    def create(self, call: Call, name: str) -> Answer:
        """Create a record."""
        made = self._create(self._store.object(name), call.object())
        return Answer(201, {"id": made, "success": True, "errors": []})

    def retrieve(self, call: Call, name: str, record_id: str) -> Answer:
        """Show a record that is not deleted; `fields` chooses what of it."""
        meta, key = self._store.object(name), _key(record_id)
        wanted = _listed(call.query.get("fields", "")) or [f.name for f in meta.all_fields]
        found = self._records(meta, wanted, [key], call.version)
        if not found:
            raise not_found()
        return Answer(body=found[0])

    def update(self, call: Call, name: str, record_id: str) -> Answer:
        """Change a record."""
        self._update(self._store.object(name), _key(record_id), call.object())
        return Answer(204)

    def delete(self, name: str, record_id: str) -> Answer:
        """Put a record into the recycle bin."""
        self._store.delete(name, [_key(record_id)])
        return Answer(204)

    # --- collections -------------------------------------------------------------------------------
    def create_many(self, call: Call) -> Answer:
        """Create up to 200 records, of any objects."""
        return self._each(call, self._create)

    def update_many(self, call: Call) -> Answer:
        """Change up to 200 records, each with its id."""

        def one(meta: ObjectMeta, values: dict[str, Any]) -> str:
            key = _key(str(values.pop("id", values.pop("Id", ""))))
            self._update(meta, key, values)
            return key

        return self._each(call, one)

    def delete_many(self, call: Call) -> Answer:
        """Delete up to 200 records named in `ids`."""
        outcomes = []
        for record_id in _listed(call.query.get("ids", "")):
            meta = self._store.catalog.of_id(record_id)
            outcomes.append(_outcome(lambda m=meta, i=record_id: self._delete(m, i)))
        return Answer(body=outcomes)

    def retrieve_many(self, call: Call, name: str) -> Answer:
        """Show records by id, in the order asked for; null for those that are not there."""
        body = call.object() if call.method == "POST" else {}
        keys = body.get("ids") or _listed(call.query.get("ids", ""))
        wanted = body.get("fields") or _listed(call.query.get("fields", ""))
        found = self._records(self._store.object(name), wanted, [_key(k) for k in keys], call.version)
        by_id = {record["attributes"]["url"].rpartition("/")[2]: record for record in found}
        return Answer(body=[by_id.get(_key(k)) for k in keys])

    # --- what they share ---------------------------------------------------------------------------
    def _create(self, meta: ObjectMeta, values: Mapping[str, Any]) -> str:
        given = _checked(meta, values, new=True)
        return self._store.insert(meta.name, given)

    def _update(self, meta: ObjectMeta, key: str, values: Mapping[str, Any]) -> None:
        self._store.update(meta.name, key, _checked(meta, values, new=False))

    def _delete(self, meta: ObjectMeta | None, record_id: str) -> str:
        if meta is None:
            raise not_found()
        self._store.delete(meta.name, [_key(record_id)])
        return record_id

    def _each(self, call: Call, work: Any) -> Answer:
        body = call.object()
        records = body.get("records")
        if not isinstance(records, list) or len(records) > _MOST_RECORDS:
            raise ApiError("INVALID_INPUT", f"records: a list of up to {_MOST_RECORDS} is expected")
        outcomes = []
        for record in records:
            values = dict(record)
            name = str(values.pop("attributes", {}).get("type", ""))
            outcomes.append(_outcome(lambda n=name, v=values: work(self._store.object(n), v)))
        return Answer(body=outcomes)

    def _records(self, meta: ObjectMeta, fields: list[str], keys: list[str], version: str) -> list[dict[str, Any]]:
        if not keys:
            return []
        wanted = ", ".join(_field_path(each) for each in fields)
        listed = ", ".join(f"'{key}'" for key in keys)
        soql = f"SELECT {wanted} FROM {meta.name} WHERE Id IN ({listed})"  # noqa: S608 - checked ids and names
        plan = compile_query(soql, self._store.catalog, self._store.clock.now())
        with self._store.read() as db:
            return [plan.record(row, version) for row in db.execute(plan.sql, plan.parameters)]


def _field_path(text: str) -> str:
    if not _PATH.match(text):
        raise ApiError("INVALID_FIELD", f"No such column '{text}'")
    return text


def _key(record_id: str) -> str:
    try:
        return ids.to_18(record_id)
    except ValueError:
        raise ApiError("NOT_FOUND", "Provided external ID field does not exist or is not accessible") from None


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _outcome(work: Any) -> dict[str, Any]:
    try:
        return {"id": work(), "success": True, "errors": []}
    except ApiError as error:
        problem = {"statusCode": error.code, "message": error.message, "fields": list(error.fields or ())}
        return {"success": False, "errors": [problem]}


def _checked(meta: ObjectMeta, values: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    """Refuse what Salesforce refuses when somebody enters it."""
    given = {}
    for name, value in values.items():
        if name == "attributes":
            continue
        found = meta.find(name)
        if found is None:
            message = f"No such column '{name}' on sobject of type {meta.name}"
            raise ApiError("INVALID_FIELD", message, fields=())
        if found.calculated or found.is_derived or not (found.createable if new else found.updateable):
            message = f"Unable to create/update fields: {found.name}. Please check the security settings of this field."
            raise ApiError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=(found.name,))
        text = value if isinstance(value, str) else ""
        if found.most_characters and len(text) > found.most_characters and found.is_text:
            message = f"{found.name}: data value too large (max length={found.most_characters})"
            raise ApiError("STRING_TOO_LONG", message, fields=(found.name,))
        if found.type == "email" and text and not _EMAIL.match(text):
            raise ApiError("INVALID_EMAIL_ADDRESS", f"{found.name}: invalid email address", fields=(found.name,))
        if found.restricted_picklist and text and text not in found.picklist:
            message = f"{found.name}: bad value for restricted picklist field"
            raise ApiError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=(found.name,))
        given[found.name] = value
    required = [f for f in meta.fields if not f.nillable and f.createable and f.default is None and f.type != "boolean"]
    missing = [f.name for f in required if (new or f.name in given) and given.get(f.name) in (None, "")]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError("REQUIRED_FIELD_MISSING", message, fields=tuple(missing))
    return given

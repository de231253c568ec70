"""Changes of records as JSON describes them: what admin routes and scripts take."""

from __future__ import annotations

from typing import Any

from local.salesforce.store import Store


def change(store: Store, op: str, object: str, **given: Any) -> Any:  # noqa: A002 - the word that JSON uses
    """Do one change of records: `insert` and `update` take `rows`, `delete`, `undelete` and `hard_delete` take `ids`.

    `merge` takes `winner`, `losers` and perhaps `values`. Further options are those of the store's methods:
    `stamps`, `late_by`, `told`, `logged`. Returns the new ids of an insert. Raises ApiError, ValueError, TypeError.
    """
    match op:
        case "insert":
            return store.insert_many(object, **given)
        case "update":
            return store.update_many(object, **given)
        case "delete":
            return store.delete(object, given.pop("ids"), **given)
        case "undelete":
            return store.undelete(object, given.pop("ids"), **given)
        case "hard_delete":
            return store.hard_delete(object, given.pop("ids"), **given)
        case "merge":
            return store.merge(object, **given)
        case _:
            raise ValueError(f"{op}: insert, update, delete, undelete, hard_delete or merge")

"""A compiled query: the SQL, and how its rows become records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.salesforce.metadata import FieldMeta, ObjectMeta
from local.salesforce.values import Stored, shown


@dataclass(frozen=True)
class Selected:
    """One selected field. `index`: its place in a row of the SQL; of a compound field the places of its parts."""

    path: tuple[str, ...]
    field: FieldMeta
    index: int
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """The heading in a CSV: `Account.Name`."""
        return ".".join(self.path)


@dataclass(frozen=True)
class Plan:
    """SQL with its parameters. Row values 0..n-1 are the n `columns` (compound ones null); more may follow.

    `count_alias`: None for records, "" for COUNT(), else the alias of COUNT(field); such SQL has one row, one column.
    `parents`: of each selected relationship its object, and where in a row the parent's id is.
    """

    sql: str
    parameters: tuple[Stored, ...]
    entity: ObjectMeta
    columns: tuple[Selected, ...]
    parents: Mapping[tuple[str, ...], tuple[ObjectMeta, int]]
    count_alias: str | None
    ordered: bool
    limited: bool
    has_offset: bool

    def record(self, row: Sequence[Any], version: str) -> dict[str, Any]:
        """Return one row as a record of a JSON answer."""
        id_index = next((c.index for c in self.columns if c.path == ("Id",)), None)
        known_id = None if id_index is None else row[id_index]
        record: dict[str, Any] = _attributes(self.entity, known_id or row[-1], version)
        for column in self.columns:
            target = self._parent(record, column.path[:-1], row, version) if len(column.path) > 1 else record
            if target is not None:
                value = _address(column, row) if column.parts else shown(column.field, row[column.index])
                target[column.path[-1]] = value
        return record

    def _parent(
        self, record: dict[str, Any], path: tuple[str, ...], row: Sequence[Any], version: str
    ) -> dict[str, Any] | None:
        target: dict[str, Any] | None = record
        for n, name in enumerate(path, start=1):
            if target is None:
                return None
            if name not in target:
                entity, index = self.parents[path[:n]]
                target[name] = None if row[index] is None else _attributes(entity, row[index], version)
            target = target[name]
        return target


def _attributes(entity: ObjectMeta, record_id: str, version: str) -> dict[str, Any]:
    url = f"/services/data/v{version}/sobjects/{entity.name}/{record_id}"
    return {"attributes": {"type": entity.name, "url": url}}


def _address(column: Selected, row: Sequence[Any]) -> dict[str, Any] | None:
    parts = {key: row[index] if index >= 0 else None for key, index in column.parts}
    return parts if any(value is not None for value in parts.values()) else None

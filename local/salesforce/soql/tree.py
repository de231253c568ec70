"""What a query says, after parsing and before anything of it is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE"]
LiteralKind = Literal["string", "number", "boolean", "null", "date", "datetime", "days"]


@dataclass(frozen=True)
class Path:
    """A field, perhaps of a parent: names as written, and where they stand."""

    names: tuple[str, ...]
    position: int


@dataclass(frozen=True)
class Value:
    """A literal as written (strings without quotes, escapes still in them), and where it stands."""

    kind: LiteralKind
    text: str
    position: int


@dataclass(frozen=True)
class Comparison:
    """A field against one value."""

    path: Path
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Membership:
    """A field against a list of values."""

    path: Path
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class Connection:
    """Conditions of which all, or any, must hold."""

    word: Literal["AND", "OR"]
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Negation:
    """A condition that must not hold."""

    part: Condition


Condition = Comparison | Membership | Connection | Negation


@dataclass(frozen=True)
class Order:
    """One column to sort by. Nulls come first unless the query says otherwise."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Count:
    """COUNT() when there is no path, else COUNT(path) alias."""

    path: Path | None
    alias: str


@dataclass(frozen=True)
class Query:
    """A whole query; `text` is what was sent, for error messages."""

    text: str
    fields: tuple[Path, ...]
    count: Count | None
    entity: str
    entity_position: int
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int | None
    offset_position: int

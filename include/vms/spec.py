"""What a module of `include/vms/objects/` declares of a Salesforce object: fields, rules, target tables, references.

Everything else follows from it: SOQL, staging table, typed upsert, quarantine, links, DAG, data dictionary, migration.

Expressions are SQL written in the object modules, never anything from outside. In them `{Field}` stands for the value
of a selected field in the type of its kind, trimmed, with empty text as null: `vms.school_level({Name})`. In a column's
source `{old.column}` stands for what the stored row has, null when there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z][A-Za-z0-9_.]*)\}")
# What is already stored of a record: `{old.status}`.
OLD: Final = "old."
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
# Selected of every object, whatever its module names: identity, order, tombstone.
SYSTEM_FIELDS: Final = ("Id", "SystemModstamp", "CreatedDate", "LastModifiedDate", "IsDeleted")
# Present in every record table, whatever its module names.
SYSTEM_COLUMNS: Final = (
    "salesforce_id",
    "created_at",
    "last_modified_at",
    "system_modstamp",
    "deleted_at",
    "synced_at",
)


class Kind(StrEnum):
    """Type of a field's value, and so of the column that holds it."""

    TEXT = "text"
    ID = "id"  # 18 characters; 15 are completed by their checksum
    INTEGER = "integer"  # `3`, `3.0`: Salesforce has only decimals
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # with time zone, UTC

    @property
    def sql_type(self) -> str:
        """Type of its columns in PostgreSQL."""
        return _SQL_TYPES[self]


_SQL_TYPES: Final = {
    Kind.TEXT: "text",
    Kind.ID: "text",
    Kind.INTEGER: "bigint",
    Kind.NUMBER: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamptz",
}


class Pii(StrEnum):
    """How a value may be shown outside its table: in quarantine rows, samples of a dry run, the data dictionary."""

    NONE = "none"  # as it is
    PERSONAL = "personal"  # masked: names, addresses, phones, free text about people
    SENSITIVE = "sensitive"  # never: birth dates, race, gender, everything about minors


class Rule(StrEnum):
    """Checks beyond the kind's own; include/vms/rules.py holds their SQL and their polars form."""

    REQUIRED = "required"  # MISSING_REQUIRED_FIELD
    EMAIL = "email"  # INVALID_EMAIL
    PHONE = "phone"  # INVALID_PHONE
    NOT_NEGATIVE = "not_negative"  # OUT_OF_RANGE


class Action(StrEnum):
    """What a broken rule does to its row."""

    REJECT = "reject"  # the row goes to quarantine
    FLAG = "flag"  # the value is dropped (null), the row goes on, a data-quality flag says so


@dataclass(frozen=True, slots=True)
class Check:
    """One rule on one field."""

    rule: Rule
    action: Action = Action.REJECT


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the SOQL query.

    Args:
        name: API name; one parent may be named with a dot, `npe5__Contact__r.Contact_Type__c`.
        kind: of its value. A value that is not of the kind is INVALID_DATE, INVALID_NUMBER..., with `on_bad_kind`.
        checks: rules its value must pass.
        pii: how its value may be shown.
        max_length: characters a TEXT may have; longer ones are cut and flagged `truncated`.
        on_bad_kind: what a value that is not of the kind does to the row.
    """

    name: str
    kind: Kind = Kind.TEXT
    checks: tuple[Check, ...] = ()
    pii: Pii = Pii.NONE
    max_length: int | None = None
    on_bad_kind: Action = Action.REJECT


@dataclass(frozen=True, slots=True)
class Flag:
    """A data-quality flag for good rows: something a person should look at, in the row's own words.

    `when` is an expression that is true for such a row; `field` names what it is about.
    """

    issue_type: str
    field: str
    when: str
    text: str
    severity: str = "warning"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a target table.

    Args:
        name: of the column.
        kind: its type.
        source: a field's name, or an expression with `{Field}` (and `{old.column}`) in it; empty: not from Salesforce
            (filled by links).
        comment: for the data dictionary and the table's own comment.
        keep: leave the old value when the new one is null.
        pii: when it is not that of its source field.
    """

    name: str
    kind: Kind
    source: str
    comment: str
    nullable: bool = True
    keep: bool = False
    pii: Pii | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A record this one points at, resolved late.

    The id Salesforce gave stays in `raw`; `resolved` is a foreign key, null until the parent is there. Of several
    candidates (an affiliation's organisation can be a school) the first whose table has the id is set.

    Args:
        raw: column that holds the parent's id as Salesforce says.
        candidates: (column to set, table it points at), in order.
        required: a row without it is of no use to reports; said in the data dictionary.
    """

    raw: str
    candidates: tuple[tuple[str, str], ...]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A record table of schema `vms`: a row per Salesforce record, key `salesforce_id`, SYSTEM_COLUMNS besides its own.

    `shared` tables belong to several objects (`person`): a record that leaves this object's filter keeps its row there.
    A row of a `role_of` table extends the row of that name's table with the same id (`volunteer`: `person`).
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    references: tuple[Reference, ...] = ()
    shared: bool = False
    role_of: str = ""


@dataclass(frozen=True, slots=True)
class ChildSet:
    """Rows that belong to a record and are replaced as a set: e-mails, skills, aliases.

    Args:
        name: table in schema `vms`: `parent_id` references `parent`.salesforce_id, and the columns below.
        parent: record table it hangs on.
        key: columns that, with `parent_id`, identify a row.
        columns: name, kind, comment; `source` is not used.
        rows: a SELECT body with `{Field}` placeholders, giving `key` and `columns` in order, that is run LATERAL for
            each good record; rows with a null in `key` are left out by it.
        owned_where: SQL condition on the child table `t`: only such rows are replaced. Others, e.g. aliases that a
            person has added, stay. Empty: all.
    """

    name: str
    parent: str
    comment: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: str
    owned_where: str = ""


@dataclass(frozen=True)
class SyncObject:
    """One sync: a Salesforce object, or the part of it that a filter takes, into its tables.

    Args:
        name: of the sync, e.g. `schools`; the DAG is `vms_sync_schools`.
        sobject: API name of the Salesforce object.
        description: one sentence for DAG, docs and data dictionary.
        fields: selected besides SYSTEM_FIELDS.
        tables: the record tables; the first is the object's own, whose rows are counted and reconciled.
        filter_soql: condition of the SOQL query, empty for all rows.
        filter_sql: the same on a staged row, an expression: a changed record for which it is not true has left.
        children: sets of rows that hang on the tables.
        flags: data-quality flags for good rows.
        after: syncs whose tables this one refers to; gives the order of a full sync.
        caches: patterns of Redis keys that a change makes stale.
        use_bulk: False keeps it on REST (an object Bulk 2.0 refuses is noticed without this).
        lookback_s, lag_s: how far the window reaches back behind the watermark, and how far it ends before now.
        sweep_days, formula_hours: how often all ids and the calculated fields are read again.
        max_rejected_share, max_deleted_share: above it a run stops before it publishes anything.
    """

    name: str
    sobject: str
    description: str
    fields: tuple[Field, ...]
    tables: tuple[Table, ...]
    filter_soql: str = ""
    filter_sql: str = ""
    children: tuple[ChildSet, ...] = ()
    flags: tuple[Flag, ...] = ()
    after: tuple[str, ...] = ()
    caches: tuple[str, ...] = field(default=("vms:report:*",))
    use_bulk: bool = True
    lookback_s: float = 600.0
    lag_s: float = 60.0
    sweep_days: float = 7.0
    formula_hours: float = 24.0
    max_rejected_share: float = 0.20
    max_deleted_share: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a declaration that contradicts itself, at import, with the place named."""
        names = [*SYSTEM_FIELDS, *(one.name for one in self.fields)]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: a field is named twice")
        if bool(self.filter_soql) != bool(self.filter_sql):
            raise ValueError(f"{self.name}: filter_soql and filter_sql belong together")
        columns = [(f"{table.name}.{column.name}", column.source) for table in self.tables for column in table.columns]
        for place, source in columns:
            if _FIELD.fullmatch(source) and source not in names:
                raise ValueError(f"{self.name}, {place}: {source} is not selected")
        used = list(columns)
        used += [(child.name, child.rows) for child in self.children]
        used += [(flag.issue_type, flag.when) for flag in self.flags]
        for place, text in [*used, ("filter_sql", self.filter_sql)]:
            unknown = {name for name in placeholders(text) if not name.startswith(OLD)} - set(names)
            if unknown:
                raise ValueError(f"{self.name}, {place}: {sorted(unknown)} is not selected")
        for table in self.tables:
            stored = {OLD + column.name for column in table.columns}
            for column in table.columns:
                if unknown := {name for name in placeholders(column.source) if name.startswith(OLD)} - stored:
                    raise ValueError(f"{self.name}, {table.name}.{column.name}: the table has no {sorted(unknown)}")

    @property
    def table(self) -> Table:
        """The object's own record table."""
        return self.tables[0]

    @cached_property
    def select(self) -> tuple[str, ...]:
        """API names in the order of the query, and so of the CSV columns."""
        return (*SYSTEM_FIELDS, *(one.name for one in self.fields))

    def shown(self, column: Column) -> Pii:
        """How a column's value may be shown: as it says itself, else as the most protected of the fields it is from."""
        if column.pii is not None:
            return column.pii
        order = list(Pii)
        return max((one.pii for one in self.sources(column)), key=order.index, default=Pii.NONE)

    def sources(self, column: Column) -> tuple[Field, ...]:
        """Fields that a column's value is made of."""
        names = [column.source] if column.source in self.by_name else placeholders(column.source)
        return tuple(self.by_name[name] for name in dict.fromkeys(names) if not name.startswith(OLD))

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by API name, the system's among them."""
        system = (
            Field("Id", Kind.ID, (Check(Rule.REQUIRED),)),
            Field("SystemModstamp", Kind.TIMESTAMP, (Check(Rule.REQUIRED),)),
            Field("CreatedDate", Kind.TIMESTAMP),
            Field("LastModifiedDate", Kind.TIMESTAMP),
            Field("IsDeleted", Kind.BOOLEAN),
        )
        return {one.name: one for one in (*system, *self.fields)}


def placeholders(expression: str) -> list[str]:
    """Names of the fields in an expression; a bare field name is none."""
    return _PLACEHOLDER.findall(expression)

"""From what the object modules declare to tables: SQLAlchemy's description, what a database lacks, its migration.

Only people who add or change an object need this; a sync never makes a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from include.vms.spec import ChildSet, Column, Kind, SyncObject, Table

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.operations.ops import MigrationScript, OpContainer
    from sqlalchemy import Connection

SCHEMA: Final = "vms"
KEY: Final = "salesforce_id"
PARENT: Final = "parent_id"
# Every record table has these; name, kind, nullable, comment.
SYSTEM: Final = (
    (KEY, Kind.ID, False, "id at Salesforce, 18 characters"),
    ("created_at", Kind.TIMESTAMP, True, "when the record was made at Salesforce"),
    ("last_modified_at", Kind.TIMESTAMP, True, "last change by a person at Salesforce"),
    ("system_modstamp", Kind.TIMESTAMP, False, "last change of any kind at Salesforce: the version stored here"),
    ("deleted_at", Kind.TIMESTAMP, True, "when it was deleted there, or left the filter; null: it is there"),
    ("synced_at", Kind.TIMESTAMP, False, "when this row was last written"),
)

_TEMPLATE: Final = '''"""{title}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"


def upgrade() -> None:
    """Make and change the tables."""
    {up}


def downgrade() -> None:
    """Take it back."""
    {down_body}
'''


@dataclass(frozen=True)
class Migration:
    """A migration that has not been written yet."""

    revision: str
    file_name: str
    text: str


def metadata(syncs: Iterable[SyncObject]) -> sa.MetaData:
    """Return the tables of the syncs; a shared one has the columns of all who declare it."""
    import sqlalchemy as sa

    found = sa.MetaData(schema=SCHEMA)
    tables, children = _merged(syncs)
    for table, columns in tables:
        _record_table(found, table, columns)
    for child in children:
        _child_table(found, child)
    return found


def differences(connection: Connection, syncs: Iterable[SyncObject]) -> list[Any]:
    """What the database lacks, or has otherwise, of the syncs' tables; empty when all is as declared.

    Compared are tables, columns, types, null or not, foreign keys, indexes and comments. Columns that a sync added
    because the source has new fields are not counted: nobody declares them.
    """
    from alembic.autogenerate import compare_metadata

    wanted = metadata(syncs)
    return list(compare_metadata(_context(connection, wanted), wanted))


def migration(connection: Connection, syncs: Iterable[SyncObject], name: str, revision: str, down: str) -> Migration:
    """Return the migration that brings the database to what the syncs declare.

    Args:
        connection: to a database with all migrations so far.
        syncs: all of them.
        name: what it is called, e.g. the sync it is for.
        revision: its number.
        down: number of the one before.

    Raises:
        ValueError: there is nothing to change, or a table that can have rows would get a column that must not be null.
    """
    from alembic.autogenerate import produce_migrations, render_python_code

    wanted = metadata(syncs)
    script: MigrationScript = produce_migrations(_context(connection, wanted), wanted)
    if script.upgrade_ops is None or script.downgrade_ops is None or script.upgrade_ops.is_empty():
        raise ValueError("the database has all that the objects declare: there is nothing to migrate")
    _adopt(script.upgrade_ops)
    text = _TEMPLATE.format(
        title=f"Tables of the sync {name}",
        revision=revision,
        down=down,
        up=_body(render_python_code(script.upgrade_ops)),
        down_body=_body(render_python_code(script.downgrade_ops)),
    )
    return Migration(revision, f"{revision}_{name}.py", text)


def _adopt(operations: OpContainer) -> None:
    """Let a declared column be there already: the sync adds a column by itself when the source has a new field."""
    from alembic.operations.ops import AddColumnOp, OpContainer

    for one in operations.ops:
        if isinstance(one, OpContainer):
            _adopt(one)
        elif isinstance(one, AddColumnOp):
            if not one.column.nullable:
                raise ValueError(
                    f"{one.table_name}.{one.column.name} must be nullable: rows that are there have no value for it"
                )
            one.if_not_exists = True


def _body(rendered: str) -> str:
    lines = [line for line in rendered.splitlines() if not line.strip().startswith("#")]
    return "\n".join(lines).strip()


def _context(connection: Connection, wanted: sa.MetaData) -> Any:
    from alembic.runtime.migration import MigrationContext

    def ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:  # noqa: ARG001
        if kind == "table":
            return f"{SCHEMA}.{name}" in wanted.tables
        # A column that is only in the database was added by a sync.
        return kind != "column" or not (reflected and other is None)

    options = {"include_schemas": True, "include_object": ours, "compare_type": True, "compare_server_default": True}
    return MigrationContext.configure(connection, opts=options)


def _merged(syncs: Iterable[SyncObject]) -> tuple[list[tuple[Table, tuple[Column, ...]]], list[ChildSet]]:
    tables: dict[str, Table] = {}
    columns: dict[str, dict[str, Column]] = {}
    children: dict[str, ChildSet] = {}
    for one in syncs:
        for table in one.tables:
            tables.setdefault(table.name, table)
            known = columns.setdefault(table.name, {})
            for column in table.columns:
                known.setdefault(column.name, column)
        for child in one.children:
            children.setdefault(child.name, child)
    return [(table, tuple(columns[name].values())) for name, table in tables.items()], list(children.values())


def _record_table(found: sa.MetaData, table: Table, columns: tuple[Column, ...]) -> None:
    import sqlalchemy as sa

    resolved = [candidate for reference in table.references for candidate in reference.candidates]
    parts: list[Any] = [_column(*SYSTEM[0], primary_key=True)]
    parts += [_column(column.name, column.kind, column.nullable, column.comment) for column in columns]
    parts += [_column(*each) for each in SYSTEM[1:-1]]
    parts += [_column(*SYSTEM[-1], server_default=sa.func.now())]
    parts += [
        sa.ForeignKeyConstraint([name], [f"{SCHEMA}.{target}.{KEY}"], name=f"{table.name}_{name}_fkey")
        for name, target in resolved
    ]
    if table.role_of:
        # Both rows are written in one transaction, in whatever order.
        parts.append(
            sa.ForeignKeyConstraint(
                [KEY],
                [f"{SCHEMA}.{table.role_of}.{KEY}"],
                name=f"{table.name}_role_fkey",
                deferrable=True,
                initially="DEFERRED",
            )
        )
    made = sa.Table(table.name, found, *parts, comment=table.comment)
    for name, _ in resolved:
        sa.Index(f"{table.name}_{name}", made.c[name])


def _child_table(found: sa.MetaData, child: ChildSet) -> None:
    import sqlalchemy as sa

    parent = _column(PARENT, Kind.ID, False, f"{child.parent} it belongs to", primary_key=True)
    columns = [
        _column(each.name, each.kind, each.nullable and not in_key, each.comment, primary_key=in_key)
        for each in child.columns
        for in_key in [each.name in child.key]
    ]
    target = f"{SCHEMA}.{child.parent}.{KEY}"
    key = sa.ForeignKeyConstraint([PARENT], [target], name=f"{child.name}_{PARENT}_fkey")
    sa.Table(child.name, found, parent, *columns, key, comment=child.comment)


def _column(name: str, kind: Kind, nullable: bool, comment: str, **more: Any) -> sa.Column[Any]:
    import sqlalchemy as sa

    types: dict[str, sa.types.TypeEngine[Any]] = {
        "text": sa.Text(),
        "bigint": sa.BigInteger(),
        "numeric": sa.Numeric(),
        "boolean": sa.Boolean(),
        "date": sa.Date(),
        "timestamptz": sa.DateTime(timezone=True),
    }
    return sa.Column(name, types[kind.sql_type], nullable=nullable, comment=comment, **more)

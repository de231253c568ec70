"""Foreign keys and indexes of a table without rows: set aside while it gets its first ones, and made anew behind them.

Kept up row by row they take more than half of a first load. All of it happens in the transaction of the merge: who
looks meanwhile waits, and a run that dies has changed nothing.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from include.operations.log import log_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

log = logging.getLogger(__name__)

# Below it, making them anew costs as much as it saves.
WORTH_ROWS: Final = 20_000
# Somebody who reads the parents for longer, e.g. a backup, is not waited for. An autovacuum gives way after a second.
_PATIENCE: Final = "3s"

_KEYS: Final = """
SELECT conname, pg_get_constraintdef(oid), confrelid::regclass::text FROM pg_constraint
WHERE conrelid = %s::regclass AND contype = 'f' ORDER BY conname
"""
_INDEXES: Final = """
SELECT n.nspname, c.relname, pg_get_indexdef(c.oid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indrelid = %s::regclass AND NOT i.indisunique AND NOT i.indisexclusion ORDER BY c.relname
"""


@contextmanager
def unhindered(connection: psycopg.Connection, table: sql.Identifier, rows: int) -> Iterator[None]:
    """Within it, foreign keys and plain indexes of a table without rows do not exist; unique ones stay.

    With few rows, without the right to it, or while others use the table or its parents, nothing is changed: the load
    is slower, and the same.

    Args:
        connection: the transaction of the load.
        table: without rows.
        rows: about to be written.
    """
    again = _set_aside(connection, table) if rows >= WORTH_ROWS else []
    yield
    for statement in again:
        connection.execute(statement)


def _set_aside(connection: psycopg.Connection, table: sql.Identifier) -> list[sql.Composed]:
    """Drop them; returns the statements that make them anew."""
    name = table.as_string(connection)
    keys = connection.execute(_KEYS, [name]).fetchall()
    indexes = connection.execute(_INDEXES, [name]).fetchall()
    locked = [table, *(sql.SQL(parent) for parent in sorted({parent for *_, parent in keys}))]
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_PATIENCE)))
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(locked)))
            connection.execute("SET LOCAL lock_timeout = DEFAULT")
            drops = [sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(key)) for key, *_ in keys]
            if drops:
                connection.execute(sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(drops)))
            for index in indexes:
                connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(*index[:2])))
    except (errors.LockNotAvailable, errors.DeadlockDetected, errors.InsufficientPrivilege) as error:
        log_event(log, "vms_first_load_with_indexes", table=name, sqlstate=error.sqlstate)
        return []
    adds = [sql.SQL("ADD CONSTRAINT {} {}").format(sql.Identifier(key), sql.SQL(text)) for key, text, _ in keys]
    altered = [sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(adds))] if adds else []
    return [*(sql.Composed([sql.SQL(text)]) for *_, text in indexes), *altered]

"""The restore check: a dump goes into a scratch database of its own and must come out equal, table by table.

The scratch database is made on the server of the connection `backup_scratch`, whose role may create databases and
nothing else. It holds personal data for a moment, so nobody else may connect to it, and it is dropped at the end; what
a killed check has left, the next one drops.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from include.operations.backup.digest import differences, digest
from include.operations.backup.errors import BackupDiffers
from include.operations.backup.postgres import Postgres
from include.operations.backup.store import Manifest, Store
from include.operations.faults import fault_point

if TYPE_CHECKING:
    import psycopg

CONN_ID: Final = "backup_scratch"
_PREFIX: Final = "restore_check_"
# Any number that no other program on this server uses for the same purpose.
_LOCK: Final = 4_017_723_995
_LEFT_BEHIND: Final = """
select d.datname from pg_database d join pg_roles r on r.oid = d.datdba
where d.datname like %s and r.rolname = current_user
"""
_NAMED: Final = 3


def check(store: Store, manifest: Manifest, server: Postgres) -> float:
    """Restore a dump and compare; returns the seconds that the restore took.

    Raises:
        BackupDamaged, BackupKeyWrong: the file cannot be read.
        BackupDiffers: rows or values are missing, new or other ones.
        ToolFailed: it cannot be restored.
    """
    data = store.read(manifest)
    with _database(server) as database:
        begun = time.monotonic()
        # The database is dropped after an error, so a transaction around it all would only take locks.
        database.restore(data, at_once=False, extensions=manifest.extensions)
        seconds = time.monotonic() - begun
        fault_point("backup.in_check")
        with database.connect() as connection:
            found = differences(manifest.rows, digest(connection))
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise BackupDiffers(
            f"{manifest.name} restores to something else: {'; '.join(found[:_NAMED])}{more}",
            what_to_do="do not rely on this backup: make another one, and look at disk and memory of the machine",
        )
    return seconds


@contextmanager
def _database(server: Postgres) -> Iterator[Postgres]:
    """A new empty database; one check at a time, so that what else is there was left by a killed one."""
    name = f"{_PREFIX}{secrets.token_hex(6)}"
    with server.connect(autocommit=True) as connection:
        # This session does nothing while the restore runs.
        connection.execute("select set_config('idle_session_timeout', '0', false)")
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        for (left,) in connection.execute(_LEFT_BEHIND, [_PREFIX.replace("_", r"\_") + "%"]).fetchall():
            _drop(connection, left)
        _execute(connection, "create database {} template template0 encoding 'UTF8'", name)
        try:
            _execute(connection, "revoke all on database {} from public", name)
            yield server.other(name)
        finally:
            _drop(connection, name)


def _drop(connection: psycopg.Connection, name: str) -> None:
    _execute(connection, "drop database if exists {} with (force)", name)


def _execute(connection: psycopg.Connection, statement: str, name: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

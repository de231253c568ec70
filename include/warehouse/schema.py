"""The warehouse's schema: Alembic migrations, applied in one transaction and one at a time.

Concurrent upgrades wait for each other on an advisory lock; whoever comes second finds nothing left to do. The
version table is `ops.alembic_version`, apart from Airflow's own when both share a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from include.connections import WAREHOUSE, warehouse_arguments
from include.operations.errors import ServerUnsupported

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

VERSION_SCHEMA = "ops"
# Any number that no other program on this database uses for the same purpose.
_LOCK = 4_017_723_991
# Also bounds how long a migration may queue behind a query, and so everyone else behind the migration.
_LOCK_TIMEOUT = "30s"
_CONNECT_S = 5


class Upgrade(NamedTuple):
    """Revision before (None: an empty database) and after an upgrade."""

    before: str | None
    after: str


def upgrade(conn_id: str = WAREHOUSE) -> Upgrade:
    """Bring the schema to the newest revision; nothing is changed when it is there or when a step fails.

    Raises:
        ServerUnsupported: the schema is newer than this code.
        sqlalchemy.exc.SQLAlchemyError: the server cannot be reached, refuses, or a lock was not free in 30 s.
    """
    from alembic import command

    with _connection(conn_id) as connection:
        _exclusively(connection)
        ensure_schema(connection, VERSION_SCHEMA)
        before = _revision(connection)
        if before is not None and not _is_known(before):
            raise ServerUnsupported(
                f"the warehouse's schema is at revision {before}, which this code does not know",
                what_to_do="deploy the newer code that made it",
            )
        command.upgrade(alembic_config(connection), "head")
    return Upgrade(before, head())


def current(conn_id: str = WAREHOUSE) -> str | None:
    """Revision of the schema; None when it has never been upgraded."""
    with _connection(conn_id) as connection:
        return _revision(connection)


def head() -> str:
    """Newest revision this code knows."""
    from alembic.script import ScriptDirectory

    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if newest is None:
        raise RuntimeError("the repository holds no migration")
    return newest


def ensure_schema(connection: Connection, name: str) -> None:
    """Create a schema unless it is there.

    IF NOT EXISTS would ask for the right to create schemas even when an administrator has made it before.
    """
    from sqlalchemy import text
    from sqlalchemy.schema import CreateSchema

    there = connection.execute(text("select 1 from pg_namespace where nspname = :name"), {"name": name})
    if there.first() is None:
        connection.execute(CreateSchema(name))


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; `connection`, with its transaction, is what the migrations run in."""
    from alembic.config import Config

    config = Config()
    # Alembic's parser reads % as the start of a reference.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connection(conn_id: str) -> Iterator[Connection]:
    """One connection and one transaction, committed at the end."""
    from sqlalchemy import NullPool, create_engine

    engine = create_engine(
        "postgresql+psycopg://",
        connect_args={
            **warehouse_arguments(conn_id),
            "connect_timeout": _CONNECT_S,
            "application_name": "pipelines-schema",
        },
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        yield connection


def _exclusively(connection: Connection) -> None:
    from sqlalchemy import text

    connection.execute(text("select set_config('lock_timeout', :limit, true)"), {"limit": _LOCK_TIMEOUT})
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"version_table_schema": VERSION_SCHEMA})
    return context.get_current_revision()


def _is_known(revision: str) -> bool:
    from alembic.script import ScriptDirectory

    known = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return revision in {script.revision for script in known}

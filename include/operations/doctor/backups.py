"""Backups: the connections and programs they need, the key, and when each source was last proven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.doctor.finding import Finding, fail, failed, ok, some, warn

if TYPE_CHECKING:
    import psycopg

AREA: Final = "backups"
_GRANTS: Final = "run the statements of docs/backup.md as the owner of Airflow's tables"
# A night that was missed is no alarm yet; the second one is.
_STALE: Final = timedelta(hours=50)
_UNREADABLE: Final = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p', 'S') and not has_table_privilege(c.oid, 'select') order by 1
"""
_UNDELETABLE: Final = """
select name from unnest(%s::text[]) name
where to_regclass(quote_ident(name)) is not null and not has_table_privilege(to_regclass(quote_ident(name)), 'delete')
order by 1
"""
_MAY: Final = "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user"
_PROVEN: Final = "select source, max(started_at) from ops.backup where checked_at is not null group by 1"


def check(now: datetime | None = None) -> Iterator[Finding]:
    """Whether tonight's backups can be made and proven, and whether the last ones were."""
    from include.operations.backup import scratch, service
    from include.operations.backup.settings import BackupSettings

    settings = BackupSettings.from_env()
    for conn_id, look in ((service.METADATA, _upkeep), (scratch.CONN_ID, _scratch)):
        if _is_configured(conn_id):
            try:
                yield from look(conn_id, settings)
            except Exception as error:  # noqa: BLE001 - an error is what the doctor is asked to find
                yield failed(conn_id, error)
        else:
            fix = f"export AIRFLOW_CONN_{conn_id.upper()} (docs/backup.md)"
            yield warn(conn_id, "not configured: ops_housekeeping fails without it", fix)
    if settings.key is None:
        yield warn(AREA, "not encrypted, and they hold personal data", "set BACKUP_KEY_FILE: `openssl rand -base64 32`")
    yield from _proven(now or datetime.now(UTC))


def _is_configured(conn_id: str) -> bool:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        Connection.get(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def _upkeep(conn_id: str, settings: Any) -> Iterator[Finding]:
    """The role that backs the metadata up and cleans them, and pg_dump for that server."""
    from include.operations.backup.postgres import Postgres
    from include.operations.housekeeping.metadata import CLEANED

    database = Postgres.of(conn_id, settings.pg_bin)
    with database.connect() as connection:
        superuser, *_ = _row(connection, _MAY)
        unreadable = [name for (name,) in connection.execute(_UNREADABLE)]
        undeletable = [name for (name,) in connection.execute(_UNDELETABLE, [list(CLEANED)])]
        (creates,) = _row(connection, "select has_schema_privilege('public', 'create')")
    if superuser:
        yield fail(conn_id, "the role is a superuser", "make the role airflow_upkeep (docs/backup.md) and use that one")
        return
    if unreadable:
        yield fail(conn_id, f"no right to read {some(unreadable)}, so no backup is made", _GRANTS)
    if undeletable:
        yield fail(conn_id, f"may not delete rows of {some(undeletable)}", _GRANTS)
    if not creates:
        yield fail(conn_id, "cannot make the tables that `airflow db clean` needs", _GRANTS)
    database.examine()
    if not unreadable and not undeletable and creates:
        yield ok(conn_id, "reached; may read all, delete what is old, and change nothing")


def _scratch(conn_id: str, settings: Any) -> Iterator[Finding]:
    """The server where backups are tried."""
    from include.operations.backup.postgres import Postgres

    database = Postgres.of(conn_id, settings.pg_bin)
    with database.connect() as connection:
        superuser, creates, roles = _row(connection, _MAY)
    database.examine()
    if not creates and not superuser:
        yield fail(conn_id, "the role cannot create databases", "`alter role ... createdb`")
    elif superuser or roles:
        fix = "use a role that may create databases and nothing else"
        yield warn(conn_id, "the role may do more than create databases", fix)
    else:
        yield ok(conn_id, "reached; may create databases")


def _proven(now: datetime) -> Iterator[Finding]:
    from include.connections import warehouse
    from include.operations.backup.store import SOURCES

    with warehouse() as connection:
        last: dict[str, datetime] = dict(connection.execute(_PROVEN).fetchall())
    for source in SOURCES:
        if source not in last:
            yield warn(AREA, f"{source}: none was ever proven", "`trigger ops_housekeeping --wait`")
        elif now - last[source] > _STALE:
            hours = (now - last[source]) / timedelta(hours=1)
            yield fail(AREA, f"{source}: the last proven one is {hours:,.0f} h old", "see why ops_housekeeping fails")
        else:
            yield ok(AREA, f"{source}: proven, of {last[source]:%Y-%m-%d %H:%M} UTC")


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    return connection.execute(query.encode()).fetchone() or ()

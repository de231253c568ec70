"""Read-only access to Airflow's metadata database, which tasks cannot reach by Airflow's own means.

Airflow 3 rewrites a task's `sql_alchemy_conn`, so run statistics and the watchdog use a connection of their own,
`airflow_metadata`, with a role that may read the columns in `READABLE` and nothing else: no password store
(`connection`, `variable`), no run configuration, no XCom, no rendered templates. `docs/statistics.md` has the grants.

The tables are Airflow's private business. What is read here was checked on 3.3.2; `missing_rights` names the column
that another version lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from include.connections import METADATA, warehouse_arguments
from include.operations.errors import ErrorClass, PipelineError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

ROLE: Final = "airflow_reader"
STATEMENT_TIMEOUT: Final = timedelta(seconds=30)
_IDLE_TIMEOUT: Final = timedelta(seconds=60)
_CONNECTIONS: Final = 10
_CONNECT_S: Final = 5

_TRY: Final = (
    *("dag_id", "task_id", "run_id", "map_index", "try_number", "max_tries", "state", "start_date", "end_date"),
    *("duration", "hostname", "pool", "pool_slots", "queue", "priority_weight", "operator", "queued_dttm"),
    *("scheduled_dttm", "queued_by_job_id", "updated_at", "task_display_name", "retry_delay_override", "retry_reason"),
)
# Left out on purpose: what users and tasks put in (conf, executor_config, next_kwargs, rendered values, extra texts).
READABLE: Final[dict[str, tuple[str, ...]]] = {
    "dag": (
        *("dag_id", "is_paused", "is_stale", "last_parsed_time", "last_parse_duration", "relative_fileloc", "owners"),
        *("dag_display_name", "timetable_type", "timetable_summary", "max_active_tasks", "max_active_runs"),
        *("has_import_errors", "next_dagrun", "next_dagrun_data_interval_start", "next_dagrun_data_interval_end"),
        *("next_dagrun_create_after",),
    ),
    "dag_run": (
        *("id", "dag_id", "run_id", "run_type", "state", "queued_at", "logical_date", "start_date", "end_date"),
        *("data_interval_start", "data_interval_end", "run_after", "last_scheduling_decision", "created_at"),
        *("updated_at", "clear_number", "triggered_by", "creating_job_id"),
    ),
    "task_instance": ("id", *_TRY, "last_heartbeat_at", "trigger_id", "pid"),
    "task_instance_history": ("task_instance_id", *_TRY),
    "log": ("id", "dttm", "dag_id", "task_id", "map_index", "event", "logical_date", "run_id", "try_number"),
    "job": ("id", "dag_id", "state", "job_type", "start_date", "end_date", "latest_heartbeat", "hostname"),
    "slot_pool": ("id", "pool", "slots", "include_deferred"),
    "import_error": ("id", "timestamp", "filename", "bundle_name"),
    "alembic_version": ("version_num",),
}
# Read by nobody here: encrypted passwords and whatever people keep in variables.
_PRIVATE: Final = ("connection", "variable", "xcom")


class RightsTooWide(PipelineError):  # noqa: N818 - named for what was found
    """The role of a connection may do far more than the connection is for."""

    error_class = ErrorClass.AUTH
    code = "RIGHTS_TOO_WIDE"


@contextmanager
def metadata(
    conn_id: str = METADATA, *, statement_timeout: timedelta = STATEMENT_TIMEOUT
) -> Iterator[psycopg.Connection]:
    """One read-only transaction on the metadata database; all its queries see the same moment.

    Raises:
        RightsTooWide: the role is a superuser, for which "read-only" is only a wish.
        psycopg.Error: the server cannot be reached, refuses, or a statement took longer than `statement_timeout`.
    """
    import psycopg

    from include.postgres_connect import connect

    with connect(
        **warehouse_arguments(conn_id), connect_timeout=_CONNECT_S, application_name="pipelines-metadata"
    ) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for name, limit in (
            ("statement_timeout", statement_timeout),
            ("idle_in_transaction_session_timeout", _IDLE_TIMEOUT),
        ):
            milliseconds = str(round(limit / timedelta(milliseconds=1)))
            connection.execute("select set_config(%s, %s, true)", [name, milliseconds])
        if _flag(connection, "rolsuper"):
            raise RightsTooWide(
                f"The role of the connection {conn_id} is a superuser.",
                what_to_do=f"Make the role {ROLE} by `stats make-reader` (docs/statistics.md) and use that one.",
            )
        yield connection


def ensure_reader(owner: psycopg.Connection, password: str, role: str = ROLE) -> None:
    """Make the read-only role, or bring the one that is there up to date; harmless to repeat.

    Args:
        owner: a connection to the metadata database whose role may make roles and owns Airflow's tables.
        password: of the role from now on.
        role: its name.
    """
    ensure_login(owner, password, role)
    for statement in (*role_settings(role), *grants(role)):
        owner.execute(statement)


def ensure_login(owner: psycopg.Connection, password: str, role: str) -> None:
    """Make a role that may log in to this database, or give the one that is there this password.

    Args:
        owner: a connection whose role may make roles.
        password: of the role from now on.
        role: its name.
    """
    from psycopg import sql

    name = sql.Identifier(role)
    there = owner.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None
    verb = sql.SQL("alter" if there else "create")
    # As a hash, so that neither a statement log nor an error line of the server ever shows it.
    kept = owner.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    owner.execute(sql.SQL("{} role {} login password {}").format(verb, name, sql.Literal(kept)))
    database = sql.Identifier(owner.info.dbname)
    owner.execute(sql.SQL("grant connect on database {} to {}").format(database, name))


def grants(role: str = ROLE) -> list[sql.Composed]:
    """Return the statements that let a role read `READABLE` and nothing else, safe to repeat.

    To be run by the owner of Airflow's tables after every `airflow db migrate`: a migration may replace a table.
    """
    from psycopg import sql

    name = sql.Identifier(role)
    statements = [
        sql.SQL("revoke all on all tables in schema public from {}").format(name),
        sql.SQL("grant usage on schema public to {}").format(name),
    ]
    for table, columns in READABLE.items():
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        statements.append(sql.SQL("grant select ({}) on {} to {}").format(listed, sql.Identifier(table), name))
    return statements


def role_settings(role: str = ROLE) -> list[sql.Composed]:
    """Return the statements that bound a role's sessions; for whoever made the role (superuser or CREATEROLE)."""
    from psycopg import sql

    name = sql.Identifier(role)
    values = {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_TIMEOUT.seconds}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_TIMEOUT.seconds}s",
    }
    return [
        # Not sql.Literal: psycopg asks numpy about a number, and the local supervisor hides numpy to start faster.
        sql.SQL(f"alter role {{}} connection limit {_CONNECTIONS}").format(name),
        *(
            sql.SQL("alter role {} set {} = {}").format(name, sql.Identifier(key), sql.Literal(value))
            for key, value in values.items()
        ),
    ]


def missing_rights(connection: psycopg.Connection) -> list[str]:
    """Name the columns (`table.column`) that the statistics or the watchdog read and this role may not, or lack."""
    wanted = [(table, column) for table, columns in READABLE.items() for column in columns]
    # A column that is not there makes has_column_privilege fail, so ask for those that are.
    rows = connection.execute(
        """
        select w.table_name, w.column_name
        from unnest(%s::text[], %s::text[]) as w (table_name, column_name)
        left join pg_attribute a
          on a.attrelid = to_regclass(quote_ident(w.table_name)) and a.attname = w.column_name and not a.attisdropped
        where a.attrelid is null or not has_column_privilege(a.attrelid, a.attnum, 'select')
        order by 1, 2
        """,
        [[table for table, _ in wanted], [column for _, column in wanted]],
    )
    return [f"{table}.{column}" for table, column in rows]


def excess_rights(connection: psycopg.Connection) -> list[str]:
    """Say in words what this role may do that reading run statistics does not need."""
    found = [
        words
        for column, words in {
            "rolsuper": "is a superuser",
            "rolcreaterole": "may create roles",
            "rolcreatedb": "may create databases",
            "rolreplication": "may replicate",
            "rolbypassrls": "passes over row security",
        }.items()
        if _flag(connection, column)
    ]
    rows = connection.execute(
        """
        select t.name, has_table_privilege(to_regclass(quote_ident(t.name)), 'insert, update, delete, truncate'),
          t.private and has_any_column_privilege(to_regclass(quote_ident(t.name)), 'select')
        from unnest(%s::text[], %s::bool[]) as t (name, private)
        where to_regclass(quote_ident(t.name)) is not null
        """,
        [[*READABLE, *_PRIVATE], [False] * len(READABLE) + [True] * len(_PRIVATE)],
    ).fetchall()
    if writable := [name for name, writes, _ in rows if writes]:
        found.append(f"may write {', '.join(writable)}")
    if private := [name for name, _, reads in rows if reads]:
        found.append(f"may read {', '.join(private)}")
    return found


def _flag(connection: psycopg.Connection, column: str) -> bool:
    from psycopg import sql

    query = sql.SQL("select {} from pg_roles where rolname = current_user").format(sql.Identifier(column))
    row = connection.execute(query).fetchone()
    return bool(row and row[0])

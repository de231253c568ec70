"""`airflow db clean`, from a task.

Airflow takes its metadata database away from tasks. So the command runs as a program of its own, with the connection
`airflow_metadata_upkeep`, whose role may read everything, delete old rows, and make the tables that `db clean` copies
rows into before it deletes them; it can change no row.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from include.connections import warehouse_arguments
from include.operations.error_rules import ErrorClass
from include.operations.errors import PipelineError
from include.operations.metadata import RightsTooWide, ensure_login
from include.operations.statistics.rollup import OVERLAP, rolled_up_until

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

CONN_ID: Final = "airflow_metadata_upkeep"
ROLE: Final = "airflow_upkeep"
_BATCH: Final = 10_000
_ARCHIVE: Final = "_airflow_deleted__"
# What `airflow db clean` deletes from, on 3.3; rows that hang on these go with them.
CLEANED: Final = (
    *("asset_event", "callback", "connection_test_request", "dag", "dag_run", "dag_version", "deadline"),
    *("import_error", "job", "log", "partitioned_asset_key_log", "revoked_token", "task_instance"),
    *("task_instance_history", "task_reschedule", "task_state_store", "trigger", "xcom"),
)
# Every command and every click leaves a line in the audit log, so it is as old as the installation.
_ANYTHING_OLD: Final = """
select exists (select from log where dttm < %(before)s) or exists (select from dag_run where start_date < %(before)s)
"""
_LEFT_BEHIND: Final = """
select c.relname from pg_class c join pg_roles r on r.oid = c.relowner
where c.relkind = 'r' and r.rolname = current_user and starts_with(c.relname, %s)
"""


class CleanFailed(PipelineError):  # noqa: N818 - named for what happened
    """`airflow db clean` could not clean every table."""

    error_class = ErrorClass.DATABASE
    code = "DB_CLEAN_FAILED"
    transient = True


class NotRolledUp(PipelineError):  # noqa: N818 - named for what happened
    """The run statistics have never been rolled up, so nothing may be deleted that they are made of."""

    error_class = ErrorClass.VALIDATION
    code = "NOT_ROLLED_UP"


def clean_before(
    warehouse: psycopg.Connection, keep_days: float, now: datetime | None = None, conn_id: str = CONN_ID
) -> datetime | None:
    """Up to which moment rows may be deleted: old enough, and behind what the statistics still look at.

    Returns:
        None when nothing is old enough, as in a new installation.

    Raises:
        NotRolledUp: something is, but the statistics have not counted anything yet.
    """
    wanted = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    with _connect(warehouse_arguments(conn_id)) as connection:
        row = connection.execute(_ANYTHING_OLD, {"before": wanted}).fetchone()
    if row is None or not row[0]:
        return None
    rolled_up = rolled_up_until(warehouse)
    if rolled_up is None:
        raise NotRolledUp(
            "ops.workflow_stats is empty: run statistics were never made",
            what_to_do="let ops_statistics run once; then this task cleans up",
        )
    return min(wanted, rolled_up - OVERLAP)


def clean(before: datetime, conn_id: str = CONN_ID) -> list[str]:
    """Run `airflow db clean` for all tables; returns the archive tables of killed runs that were dropped.

    Raises:
        RightsTooWide: the connection's role is a superuser.
        CleanFailed: it did not clean every table. Its output is in the task's log.
    """
    arguments = warehouse_arguments(conn_id)
    dropped = _prepare(arguments)
    command = [sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure"]
    command += ["--clean-before-timestamp", before.isoformat(), "--batch-size", str(_BATCH)]
    done = subprocess.run(command, env=_environment(arguments), capture_output=True, text=True, check=False)
    # No row is printed, only tables and counts.
    print(done.stdout[-20_000:], flush=True)  # noqa: T201 - the task's log shows the command's own output
    if done.returncode != 0:
        print(done.stderr[-20_000:], flush=True)  # noqa: T201
        raise CleanFailed(
            f"`airflow db clean` ended with code {done.returncode}",
            what_to_do=f"read this task's log; see that {CONN_ID} has the grants of docs/backup.md",
        )
    return dropped


def _prepare(arguments: dict[str, Any]) -> list[str]:
    """Refuse a superuser, and drop tables that a killed `db clean` has left: the role owns only what it made."""
    from psycopg import sql

    with _connect(arguments) as connection:
        row = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        if row and row[0]:
            raise RightsTooWide(
                f"The role of the connection {CONN_ID} is a superuser.",
                what_to_do=f"Make the role {ROLE} with the statements in docs/backup.md and use that one.",
            )
        found = [name for (name,) in connection.execute(_LEFT_BEHIND, [_ARCHIVE]).fetchall()]
        for name in found:
            connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))
    return found


def _connect(arguments: dict[str, Any]) -> psycopg.Connection:
    import psycopg

    return psycopg.connect(**arguments, connect_timeout=10, application_name="pipelines-upkeep")


def _environment(arguments: dict[str, Any]) -> dict[str, str]:
    """The environment of the command: this process's, with a metadata database that it may reach."""
    given = dict(arguments)
    user, password = quote(given.pop("user") or "", safe=""), quote(given.pop("password") or "", safe="")
    place = f"{given.pop('host')}:{given.pop('port')}/{quote(given.pop('dbname'), safe='')}"
    options = f"?{urlencode(given)}" if given else ""
    dropped = ("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "_AIRFLOW_PROCESS_CONTEXT")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"postgresql+psycopg2://{user}:{password}@{place}{options}"
    return environment


def ensure_upkeep(owner: psycopg.Connection, password: str, role: str = ROLE) -> None:
    """Make the role of backup and clean-up, or bring the one that is there up to date; harmless to repeat.

    Args:
        owner: a connection to the metadata database whose role may make roles and owns Airflow's tables.
        password: of the role from now on.
        role: its name.
    """
    ensure_login(owner, password, role)
    for statement in grants(owner.info.dbname, role):
        owner.execute(statement)


def grants(database: str, role: str = ROLE) -> list[sql.Composed]:
    """Return the statements that give a role what backup and clean-up need, safe to repeat.

    To be run by the owner of Airflow's tables after every `airflow db migrate`.
    """
    from psycopg import sql

    name = sql.Identifier(role)
    tables = sql.SQL(", ").join(map(sql.Identifier, CLEANED))
    return [
        sql.SQL("grant connect on database {} to {}").format(sql.Identifier(database), name),
        sql.SQL("grant usage, create on schema public to {}").format(name),
        sql.SQL("grant select on all tables in schema public to {}").format(name),
        sql.SQL("grant select on all sequences in schema public to {}").format(name),
        sql.SQL("grant delete on {} to {}").format(tables, name),
        # The command leaves its own line in the audit log.
        sql.SQL("grant insert on log to {}").format(name),
        sql.SQL("grant usage on sequence log_id_seq to {}").format(name),
    ]

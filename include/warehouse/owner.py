"""The warehouse's own role: a plain one that owns its database, so that no task works as the server's superuser."""

from __future__ import annotations

from typing import Final

from include.connections import WAREHOUSE, warehouse_arguments

ADMIN: Final = "warehouse_admin"
_PLAIN: Final = "alter role {} nosuperuser nocreaterole nocreatedb noreplication nobypassrls"


def make_owner(conn_id: str = WAREHOUSE, admin_id: str = ADMIN) -> str:
    """Make the role of a connection, with its password, and give it the database; harmless to repeat.

    Args:
        conn_id: the connection whose role it is.
        admin_id: the same database as a superuser.

    Returns:
        The role's name.

    Raises:
        InputRejected: the connection names no role or no password, or the administrator itself.
    """
    from psycopg import sql

    from include.operations.errors import InputRejected
    from include.operations.metadata import ensure_login
    from include.postgres_connect import connect

    wanted, admin = warehouse_arguments(conn_id), warehouse_arguments(admin_id)
    role, password = wanted["user"], wanted["password"]
    if not role or not password or role == admin["user"]:
        raise InputRejected(
            f"the connection {conn_id} names no role of its own with a password",
            what_to_do=f"set AIRFLOW_CONN_{conn_id.upper()}",
        )
    name, database = sql.Identifier(role), sql.Identifier(wanted["dbname"])
    with connect(**admin | {"dbname": wanted["dbname"]}, connect_timeout=10) as connection:
        ensure_login(connection, password, role)
        for statement, names in (
            (_PLAIN, (name,)),
            ("alter database {} owner to {}", (database, name)),
            # Other roles of this server have no business in it.
            ("revoke connect, temporary on database {} from public", (database,)),
        ):
            connection.execute(sql.SQL(statement).format(*names))
    return str(role)

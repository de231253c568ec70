"""Roles in Airflow's metadata database, made as the owner of its tables (`stats make-reader`, `backup make-upkeep`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

_OWNER = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def ensure_role(conn_id: str, ensure: Callable[[psycopg.Connection, str, str], None]) -> tuple[str, str]:
    """Call `ensure(owner, password, role)` with the role that a connection names; returns role and database.

    Raises:
        InputRejected: the owner's address is missing, or the connection names no role or no password.
    """
    import psycopg

    from include.connections import warehouse_arguments
    from include.operations.errors import InputRejected

    scheme, _, address = os.environ.get(_OWNER, "").partition("://")
    if not scheme.startswith("postgresql"):
        raise InputRejected(f"{_OWNER} names no PostgreSQL", what_to_do="set it to the owner of Airflow's tables")
    wanted = warehouse_arguments(conn_id)
    role, password = wanted["user"], wanted["password"]
    if not role or not password:
        raise InputRejected(
            f"the connection {conn_id} has no user or no password", what_to_do=f"set AIRFLOW_CONN_{conn_id.upper()}"
        )
    with psycopg.connect(f"postgresql://{address}", connect_timeout=10) as owner:
        ensure(owner, password, role)
    return role, wanted["dbname"]

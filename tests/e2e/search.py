"""Everything that a running system leaves behind where people look, as texts to search: by place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from local.simulators.testing import AlertSink

_TABLES = """
select schemaname, tablename, coalesce(obj_description(format('%I.%I', schemaname, tablename)::regclass), '')
from pg_tables where schemaname <> all(%s)
"""


def log_files(state_dir: Path) -> dict[str, str]:
    """Every log of every part, those of tasks among them."""
    paths = [path for path in state_dir.rglob("*") if path.is_file() and not path.is_symlink()]
    logs = [path for path in paths if ".log" in path.name or "logs" in path.relative_to(state_dir).parts]
    return {f"file {path.relative_to(state_dir)}": path.read_text(errors="replace") for path in logs}


def tables(env: Mapping[str, str], *, restricted: bool = True) -> dict[str, str]:
    """Every row of every table of the warehouse and of Airflow's metadata, as text.

    Without `restricted` ones: those whose comment says that they hold individuals, and their partitions.
    """
    metadata = "postgresql" + env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"][len("postgresql+psycopg2") :]
    found = {}
    for url in (env["AIRFLOW_CONN_WAREHOUSE"].replace("postgres://", "postgresql://", 1), metadata):
        with psycopg.connect(url) as connection:
            there = connection.execute(_TABLES.replace("%I", "%%I"), [["pg_catalog", "information_schema"]]).fetchall()
            secret = {table for _, table, comment in there if "estricted" in comment}
            for schema, table, _ in there:
                # A partition is called after its table.
                if not restricted and any(table == name or table.startswith(f"{name}_2") for name in secret):
                    continue
                query = sql.SQL("select t::text from {} t").format(sql.Identifier(schema, table))
                found[f"table {schema}.{table}"] = "\n".join(text for (text,) in connection.execute(query))
    return found


def alerts(sink: AlertSink) -> dict[str, str]:
    """What has arrived."""
    arrived = {"slack": sink.slack_messages(deleted=True), "email": sink.emails(), "sentry": sink.sentry_items()}
    return {f"alerts {name}": json.dumps(entries, ensure_ascii=False) for name, entries in arrived.items()}

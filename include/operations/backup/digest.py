"""Rows and a checksum of every table: equal for equal content, whatever the order of the rows and the server.

The checksum is the sum, over all rows, of the first 8 bytes of SHA-256 of the row's text form. It sees a changed,
missing or doubled row, and needs no sorting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.operations.backup.store import Content

if TYPE_CHECKING:
    import psycopg

# The tables that pg_dump takes data of; partitions are tables of their own, what an extension owns comes with it.
_TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  and not exists (select from pg_depend d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1, 2
"""
_DIGEST = """
select count(*), coalesce(sum(('x' || encode(substring(sha256(convert_to(t::text, 'UTF8')), 1, 8), 'hex'))
  ::bit(64)::bigint::numeric), 0)::text from only {} t
"""
# The text form of a value depends on these.
_FORMS = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "search_path": "pg_catalog",
    # A large table takes longer than a query of a program may.
    "statement_timeout": "0",
}


def digest(connection: psycopg.Connection) -> dict[str, Content]:
    """Rows and checksum of each table, under `schema.table`, as the connection's transaction sees them."""
    from psycopg import sql

    for name, value in _FORMS.items():
        connection.execute("select set_config(%s, %s, true)", [name, value])
    found = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        row = connection.execute(sql.SQL(_DIGEST).format(sql.Identifier(schema, table))).fetchone()
        if row is None:
            raise AssertionError("an aggregate gives one row")
        found[f"{schema}.{table}"] = Content(*row)
    return found


def differences(wanted: dict[str, Content], found: dict[str, Content]) -> list[str]:
    """What differs, a short text for each table; empty: they are equal."""
    said = []
    for name in sorted(wanted.keys() | found.keys()):
        before, after = wanted.get(name), found.get(name)
        if before == after:
            continue
        if before is None or after is None:
            said.append(f"{name} is {'new' if before is None else 'missing'}")
        elif before.rows != after.rows:
            said.append(f"{name} has {after.rows:,} rows instead of {before.rows:,}")
        else:
            said.append(f"{name} has other values in its {after.rows:,} rows")
    return said

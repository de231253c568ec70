"""Sets of rows that hang on a record: replaced as a set, with only the differences written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from include.vms.expressions import cast, expression, fields_of
from include.vms.merge_sql import good

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from include.vms.spec import ChildSet, SyncObject

_NEW: Final = sql.Identifier("pg_temp", "new_children")


def replace(connection: psycopg.Connection, spec: SyncObject, child: ChildSet, *, stale: bool, marked: bool) -> None:
    """Give every published record the rows that its fields say.

    Args:
        connection: in the transaction of the merge, after the upsert of the parents.
        spec: the object.
        child: the set.
        stale: some staged rows are older than the stored ones; theirs are left as they are.
        marked: there are marks at all.
    """
    target = sql.Identifier("vms", child.name)
    columns = [column.name for column in child.columns]
    plain = [name for name in columns if name not in child.key]
    same = sql.SQL("n.parent_id = t.parent_id AND ({}) = ({})").format(_list(child.key, "n"), _list(child.key, "t"))
    owned = sql.SQL(child.owned_where or "true")
    parents = _parents(spec, child, stale=stale, marked=marked)
    connection.execute(_computed(spec, child, parents))
    if not _is_empty(connection, target):
        connection.execute(
            sql.SQL(
                "DELETE FROM {target} AS t WHERE t.parent_id IN (SELECT {id} FROM {parents}) AND ({owned})"
                " AND NOT EXISTS (SELECT FROM {new} AS n WHERE {same})"
            ).format(
                target=target,
                id=cast(spec.by_name["Id"]),
                parents=parents,
                owned=owned,
                new=_NEW,
                same=same,
            )
        )
        if plain:
            connection.execute(
                sql.SQL(
                    "UPDATE {target} AS t SET ({columns}) = ROW({values}) FROM {new} AS n WHERE {same} AND ({owned})"
                    " AND ({stored}) IS DISTINCT FROM ({values})"
                ).format(
                    target=target,
                    columns=_list(plain),
                    values=_list(plain, "n"),
                    stored=_list(plain, "t"),
                    new=_NEW,
                    same=same,
                    owned=owned,
                )
            )
    connection.execute(
        sql.SQL(
            "INSERT INTO {target} (parent_id, {columns}) SELECT parent_id, {columns} FROM {new}"
            " ON CONFLICT (parent_id, {key}) DO NOTHING"
        ).format(target=target, columns=_list(columns), new=_NEW, key=_list(child.key))
    )
    connection.execute(sql.SQL("DROP TABLE {}").format(_NEW))


def _computed(spec: SyncObject, child: ChildSet, parents: sql.Composable) -> sql.Composed:
    """The rows as they should be, in a table of this transaction."""
    return sql.SQL(
        "CREATE TEMPORARY TABLE new_children ON COMMIT DROP AS SELECT {id} AS parent_id, r.* FROM {parents}"
        " CROSS JOIN LATERAL ({rows}) AS r ({columns}) WHERE ({key}) IS NOT NULL"
    ).format(
        id=cast(spec.by_name["Id"]),
        parents=parents,
        rows=expression(spec, child.rows),
        columns=_list([column.name for column in child.columns]),
        key=_list(child.key, "r"),
    )


def _parents(spec: SyncObject, child: ChildSet, *, stale: bool, marked: bool) -> sql.Composed:
    records = good(spec, fields_of(spec, ["SystemModstamp", child.rows]), marked=marked)
    if not stale:
        return records
    return sql.SQL("{} JOIN {} AS p ON p.salesforce_id = {} AND p.system_modstamp = {}").format(
        records,
        sql.Identifier("vms", child.parent),
        cast(spec.by_name["Id"]),
        cast(spec.by_name["SystemModstamp"]),
    )


def _is_empty(connection: psycopg.Connection, table: sql.Composable) -> bool:
    return connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table)).fetchone() is None


def _list(names: Iterable[str], alias: str = "") -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names)

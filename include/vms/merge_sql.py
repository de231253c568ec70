"""The statements by which staged rows become rows of the record tables.

`good` is the staging table without the rows that `_marks` leaves out, trimmed, with values that broke a flagging rule
as null and long texts cut: everything above it may be cast. A row is written only when the source's version is not
older than the stored one and something differs, so a run that brings nothing new rewrites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import sql

from include.vms import staging
from include.vms.expressions import cast, fields_of, source, trimmed
from include.vms.rules import TRUNCATED, findings
from include.vms.spec import OLD, Action, Reference, SyncObject, Table, placeholders

_SYSTEM: Final = {
    "salesforce_id": "Id",
    "created_at": "CreatedDate",
    "last_modified_at": "LastModifiedDate",
    "system_modstamp": "SystemModstamp",
}


def good(spec: SyncObject, names: Iterable[str]) -> sql.Composed:
    """Rows to publish, as the cleaned layer `c` with the fields named."""
    wanted = {"Id", *names}
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_clean(spec, name), sql.Identifier(name)) for name in spec.select if name in wanted
    )
    return sql.SQL(
        "(SELECT s.row_no, m.problems, {columns} FROM {staged} AS s LEFT JOIN {marks} AS m USING (row_no)"
        " WHERE m.out IS NOT TRUE OFFSET 0) AS c"
    ).format(columns=columns, staged=staging.table(spec), marks=staging.table(spec, "_marks"))


def _clean(spec: SyncObject, name: str) -> sql.Composed:
    field, text = spec.by_name[name], trimmed(sql.Identifier("s", name))
    own = [one for one in findings(spec) if one.field == name and not one.flag and one.action is Action.FLAG]
    dropped = [one.number for one in own if one.keeps_out]
    cut = [one.number for one in own if one.code == TRUNCATED]
    if cut:
        text = sql.SQL("CASE WHEN {} = ANY (m.problems) THEN rtrim(left({}, {}), {}) ELSE {} END").format(
            sql.Literal(cut[0]), text, sql.Literal(field.max_length), sql.Literal(" "), text
        )
    if dropped:
        text = sql.SQL("CASE WHEN m.problems && {}::int[] THEN NULL ELSE {} END").format(sql.Literal(dropped), text)
    return text


def _values(spec: SyncObject, table: Table) -> dict[str, sql.Composable]:
    """Columns that come from Salesforce, with their expressions."""
    system = {column: cast(spec.by_name[field]) for column, field in _SYSTEM.items()}
    return system | {column.name: source(spec, column.source) for column in table.columns if column.source}


def _incoming(spec: SyncObject, table: Table) -> sql.Composed:
    names = fields_of(spec, [*_SYSTEM.values(), *(column.source for column in table.columns if column.source)])
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in _values(spec, table).items()
    )
    stored: sql.Composable = sql.SQL("")
    if any(name.startswith(OLD) for column in table.columns for name in placeholders(column.source)):
        stored = sql.SQL(" LEFT JOIN {} AS o ON o.salesforce_id = {}").format(target(table), cast(spec.by_name["Id"]))
    return sql.SQL("(SELECT {} FROM {}{})").format(columns, good(spec, names), stored)


def upsert(spec: SyncObject, table: Table) -> sql.Composed:
    """MERGE of the good rows; returns a row for each one written: merge_action() and nothing else."""
    names = list(_values(spec, table))
    differs, assignments = _changes(table, [name for name in names if name != "salesforce_id"])
    assignments += [sql.SQL("deleted_at = NULL"), sql.SQL("synced_at = now()")]
    return sql.SQL(
        "MERGE INTO {target} AS t USING {incoming} AS n ON t.salesforce_id = n.salesforce_id"
        " WHEN MATCHED AND n.system_modstamp >= t.system_modstamp AND (t.deleted_at IS NOT NULL OR {differs})"
        " THEN UPDATE SET {assignments}"
        " WHEN NOT MATCHED THEN INSERT ({columns}, synced_at) VALUES ({values}, now())"
    ).format(
        target=target(table),
        incoming=_incoming(spec, table),
        differs=differs,
        assignments=sql.SQL(", ").join(assignments),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(sql.Identifier("n", name) for name in names),
    )


def columns_only(spec: SyncObject, table: Table) -> sql.Composed:
    """UPDATE of the columns that have a source, whatever the modstamps say: a formula changes without one."""
    differs, assignments = _changes(table, [name for name in _values(spec, table) if name not in _SYSTEM])
    return sql.SQL(
        "UPDATE {target} AS t SET {assignments}, synced_at = now() FROM {incoming} AS n"
        " WHERE t.salesforce_id = n.salesforce_id AND {differs}"
    ).format(
        target=target(table),
        incoming=_incoming(spec, table),
        differs=differs,
        assignments=sql.SQL(", ").join(assignments),
    )


def _changes(table: Table, names: Sequence[str]) -> tuple[sql.Composed, list[sql.Composable]]:
    """Whether the new row `n` says something else than the stored `t`, and the assignments that take it over."""
    kept = {column.name for column in table.columns if column.keep}
    new = {
        name: sql.SQL("coalesce(n.{0}, t.{0})" if name in kept else "n.{0}").format(sql.Identifier(name))
        for name in names
    }
    differs = sql.SQL("({}) IS DISTINCT FROM ({})").format(
        sql.SQL(", ").join(sql.Identifier("t", name) for name in names), sql.SQL(", ").join(new.values())
    )
    assignments: list[sql.Composable] = [
        *(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in new.items()),
        *(each for reference in table.references if reference.raw in new for each in _unlinked(reference)),
    ]
    return differs, assignments


def stored(spec: SyncObject, table: Table) -> sql.Composed:
    """Of the good rows: how many are stored as deleted and come back, and how many are stored in a newer version."""
    return sql.SQL(
        "SELECT count(*) FILTER (WHERE t.deleted_at IS NOT NULL AND {stamp} >= t.system_modstamp),"
        " count(*) FILTER (WHERE {stamp} < t.system_modstamp) FROM {target} AS t JOIN {rows} ON t.salesforce_id = {id}"
    ).format(
        target=target(table),
        rows=good(spec, ["SystemModstamp"]),
        id=cast(spec.by_name["Id"]),
        stamp=cast(spec.by_name["SystemModstamp"]),
    )


def _unlinked(reference: Reference) -> list[sql.Composed]:
    """A reference that changed is no longer the one that was resolved."""
    return [
        sql.SQL("{0} = CASE WHEN t.{1} IS NOT DISTINCT FROM n.{1} THEN t.{0} END").format(
            sql.Identifier(resolved), sql.Identifier(reference.raw)
        )
        for resolved, _ in reference.candidates
    ]


def target(table: Table) -> sql.Identifier:
    """Qualified name of a record table."""
    return sql.Identifier("vms", table.name)


def publishing_order(spec: SyncObject) -> Sequence[Table]:
    """Shared tables first: the object's own may refer to them."""
    return sorted(spec.tables, key=lambda table: not table.shared)

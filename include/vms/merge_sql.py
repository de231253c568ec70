"""The statements by which staged rows become rows of the record tables.

`good` is the staging table without the rows that `_marks` leaves out, cleaned, with values that broke a flagging rule
as null and long texts cut: everything above it may be cast. A row is written only when the source's version is not
older than the stored one and something differs, so a run that brings nothing new rewrites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import sql

from include.vms import staging
from include.vms.expressions import cast, cleaned, fields_of, source
from include.vms.rules import TRUNCATED, findings
from include.vms.spec import OLD, Action, Reference, SyncObject, Table, placeholders

_SYSTEM: Final = {
    "salesforce_id": "Id",
    "created_at": "CreatedDate",
    "last_modified_at": "LastModifiedDate",
    "system_modstamp": "SystemModstamp",
}


def good(spec: SyncObject, names: Iterable[str], *, marked: bool = True) -> sql.Composed:
    """Rows to publish, as the cleaned layer `c` with the fields named; `marked`: there are marks at all."""
    wanted = {"Id", *names}
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_clean(spec, name, marked=marked), sql.Identifier(name))
        for name in spec.select
        if name in wanted
    )
    marks = sql.SQL("LEFT JOIN {} AS m USING (row_no) WHERE m.out IS NOT TRUE").format(staging.table(spec, "_marks"))
    return sql.SQL("(SELECT {columns} FROM {staged} AS s {marks} OFFSET 0) AS c").format(
        columns=columns, staged=staging.table(spec), marks=marks if marked else sql.SQL("")
    )


def _clean(spec: SyncObject, name: str, *, marked: bool) -> sql.Composable:
    field = spec.by_name[name]
    text = cleaned(field)
    own = [one for one in findings(spec) if marked and one.field == name and one.action is Action.FLAG and not one.flag]
    dropped = [one.number for one in own if one.keeps_out]
    cut = [one.number for one in own if one.code == TRUNCATED]
    if cut:
        text = sql.SQL("CASE WHEN {} = ANY (m.problems) THEN rtrim(left({}, {})) ELSE {} END").format(
            sql.Literal(cut[0]), text, sql.Literal(field.max_length), text
        )
    if dropped:
        text = sql.SQL("CASE WHEN m.problems && {}::int[] THEN NULL ELSE {} END").format(sql.Literal(dropped), text)
    return text


def _values(spec: SyncObject, table: Table) -> dict[str, sql.Composable]:
    """Columns that come from Salesforce, with their expressions."""
    system = {column: cast(spec.by_name[field]) for column, field in _SYSTEM.items()}
    return system | {column.name: source(spec, column.source) for column in table.columns if column.source}


def incoming(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """Rows to publish, as `n` with a table's columns."""
    names = fields_of(spec, [*_SYSTEM.values(), *(column.source for column in table.columns if column.source)])
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in _values(spec, table).items()
    )
    stored: sql.Composable = sql.SQL("")
    if any(name.startswith(OLD) for column in table.columns for name in placeholders(column.source)):
        stored = sql.SQL(" LEFT JOIN {} AS o ON o.salesforce_id = {}").format(target(table), cast(spec.by_name["Id"]))
    return sql.SQL("(SELECT {} FROM {}{}) AS n").format(columns, good(spec, names, marked=marked), stored)


def insert(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """INSERT of the good rows into a table that has none; gives the number of rows, and of references set.

    A parent that is already there is set at once: `links` would write every row anew, once for each reference.
    """
    names = list(_values(spec, table))
    joins: list[sql.Composable] = []
    linked: dict[str, sql.Composable] = {}
    for number, reference in enumerate(table.references):
        if reference.raw in names:
            joined, columns = _parents(reference, f"p{number}_")
            joins += joined
            linked |= columns
    count = sql.SQL(" + ").join(sql.SQL("count({})").format(sql.Identifier(name)) for name in linked)
    return sql.SQL(
        "WITH done AS (INSERT INTO {target} ({columns}, synced_at) SELECT {values}, now() FROM {incoming}{joins}"
        " RETURNING {returned}) SELECT count(*), {count} FROM done"
    ).format(
        target=target(table),
        columns=_list([*names, *linked]),
        values=sql.SQL(", ").join([_list(names, "n"), *linked.values()]),
        incoming=incoming(spec, table, marked=marked),
        joins=sql.SQL("").join(joins),
        returned=_list(linked) if linked else sql.SQL("1"),
        count=count if linked else sql.SQL("0"),
    )


def _parents(reference: Reference, prefix: str) -> tuple[list[sql.Composed], dict[str, sql.Composed]]:
    """Joins of `n` to the tables of a reference, and what its columns become, by the rules of `links`.

    Of several tables with the id the first where it is active, else the first. The id of a merged record is left
    alone: `links` turns it first.
    """
    aliases = [f"{prefix}{number}" for number in range(len(reference.candidates))]
    joins = [
        sql.SQL(
            " LEFT JOIN (SELECT salesforce_id, deleted_at FROM vms.{parent} AS q WHERE NOT EXISTS"
            " (SELECT FROM vms.record_alias AS a WHERE a.alias_id = q.salesforce_id)) AS {alias}"
            " ON {alias}.salesforce_id = n.{raw}"
        ).format(parent=sql.Identifier(parent), alias=sql.Identifier(alias), raw=sql.Identifier(reference.raw))
        for alias, (_, parent) in zip(aliases, reference.candidates, strict=True)
    ]
    found = [sql.SQL("{}.salesforce_id").format(sql.Identifier(alias)) for alias in aliases]
    if len(found) == 1:
        return joins, {reference.candidates[0][0]: found[0]}
    active = [
        sql.SQL("{} IS NOT NULL AND {}.deleted_at IS NULL").format(id_, sql.Identifier(alias))
        for id_, alias in zip(found, aliases, strict=True)
    ]
    tests = [*enumerate(active), *enumerate(sql.SQL("{} IS NOT NULL").format(id_) for id_ in found)]
    place = sql.SQL(" ").join(sql.SQL("WHEN {} THEN {}").format(test, sql.Literal(number)) for number, test in tests)
    return joins, {
        column: sql.SQL("CASE WHEN CASE {} END = {} THEN {} END").format(place, sql.Literal(number), found[number])
        for number, (column, _) in enumerate(reference.candidates)
    }


def upsert(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """MERGE of the good rows; gives the number of rows inserted, and of rows written."""
    names = list(_values(spec, table))
    differs, assignments = _changes(table, [name for name in names if name != "salesforce_id"])
    assignments += [sql.SQL("deleted_at = NULL"), sql.SQL("synced_at = now()")]
    return sql.SQL(
        """
        WITH done AS (
            MERGE INTO {target} AS t USING {incoming} ON t.salesforce_id = n.salesforce_id
            WHEN MATCHED AND n.system_modstamp >= t.system_modstamp AND (t.deleted_at IS NOT NULL OR {differs})
                THEN UPDATE SET {assignments}
            WHEN NOT MATCHED THEN INSERT ({columns}, synced_at) VALUES ({values}, now())
            RETURNING merge_action() AS action
        )
        SELECT count(*) FILTER (WHERE action = 'INSERT'), count(*) FROM done
        """
    ).format(
        target=target(table),
        incoming=incoming(spec, table, marked=marked),
        differs=differs,
        assignments=sql.SQL(", ").join(assignments),
        columns=_list(names),
        values=_list(names, "n"),
    )


def columns_only(spec: SyncObject, table: Table) -> sql.Composed:
    """UPDATE of the columns that have a source, whatever the modstamps say: a formula changes without one."""
    differs, assignments = _changes(table, [name for name in _values(spec, table) if name not in _SYSTEM])
    return sql.SQL(
        "UPDATE {target} AS t SET {assignments}, synced_at = now() FROM {incoming}"
        " WHERE t.salesforce_id = n.salesforce_id AND {differs}"
    ).format(
        target=target(table),
        incoming=incoming(spec, table, marked=True),
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
    differs = sql.SQL("({}) IS DISTINCT FROM ({})").format(_list(names, "t"), sql.SQL(", ").join(new.values()))
    assignments: list[sql.Composable] = [
        *(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in new.items()),
        *(each for reference in table.references if reference.raw in new for each in _unlinked(reference)),
    ]
    return differs, assignments


def stored(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """Of the good rows: how many are stored as deleted and come back, and how many are stored in a newer version."""
    return sql.SQL(
        "SELECT count(*) FILTER (WHERE t.deleted_at IS NOT NULL AND {stamp} >= t.system_modstamp),"
        " count(*) FILTER (WHERE {stamp} < t.system_modstamp) FROM {target} AS t JOIN {rows} ON t.salesforce_id = {id}"
    ).format(
        target=target(table),
        rows=good(spec, ["SystemModstamp"], marked=marked),
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


def _list(names: Iterable[str], alias: str = "") -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names)

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
from include.vms.expressions import cast, cleaned, fields_of, source, text_of
from include.vms.rules import TRUNCATED, findings
from include.vms.spec import OLD, Action, Field, Kind, Reference, SyncObject, Table, placeholders

_SYSTEM: Final = {
    "salesforce_id": "Id",
    "created_at": "CreatedDate",
    "last_modified_at": "LastModifiedDate",
    "system_modstamp": "SystemModstamp",
}
_STAMP: Final = _SYSTEM["system_modstamp"]


def good(spec: SyncObject, names: Iterable[str], *, marked: bool = True, stamp: bool = False) -> sql.Composed:
    """Rows to publish, as the cleaned layer `c` with the fields named.

    Args:
        spec: the object.
        names: of the fields.
        marked: there are marks at all.
        stamp: with SystemModstamp as a point in time, too, for `_parsed`.
    """
    wanted = {"Id", *names}
    each = {name: _clean(spec, name, marked=marked) for name in spec.select if name in wanted}
    if stamp:
        each["stamp"] = sql.SQL("{}::timestamptz").format(each[_STAMP])
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in each.items()
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
    system = {column: _parsed(spec.by_name[field]) for column, field in _SYSTEM.items()}
    return system | {column.name: source(spec, column.source, _parsed) for column in table.columns if column.source}


def _parsed(field: Field) -> sql.Composable:
    """As `cast`: the three stamps of a record are often equal, and comparing is cheaper than parsing."""
    if field.name == _STAMP:
        return sql.SQL("c.stamp")
    if field.name not in _SYSTEM.values() or field.kind is not Kind.TIMESTAMP:
        return cast(field)
    return sql.SQL("CASE WHEN {} = {} THEN c.stamp ELSE {} END").format(
        text_of(field.name), text_of(_STAMP), cast(field)
    )


def incoming(spec: SyncObject, table: Table, *, marked: bool, empty: bool = False) -> sql.Composed:
    """Rows to publish, as `n` with a table's columns; `empty`: the table has no row yet."""
    names = fields_of(spec, [*_SYSTEM.values(), *(column.source for column in table.columns if column.source)])
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in _values(spec, table).items()
    )
    old = {name for column in table.columns for name in placeholders(column.source) if name.startswith(OLD)}
    stored: sql.Composable = sql.SQL("")
    if old and empty:
        nothing = sql.SQL(", ").join(
            sql.SQL("NULL::{} AS {}").format(sql.SQL(column.kind.sql_type), sql.Identifier(column.name))
            for column in table.columns
            if OLD + column.name in old
        )
        stored = sql.SQL(" CROSS JOIN (SELECT {}) AS o").format(nothing)
    elif old:
        stored = sql.SQL(" LEFT JOIN {} AS o ON o.salesforce_id = {}").format(target(table), cast(spec.by_name["Id"]))
    return sql.SQL("(SELECT {} FROM {}{}) AS n").format(columns, good(spec, names, marked=marked, stamp=True), stored)


def insert(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """INSERT of the good rows into a table that has none.

    A parent that is already there is set at once: `links` would write every row anew, once for each reference.
    """
    names = list(_values(spec, table))
    joins: list[sql.Composable] = []
    linked: dict[str, sql.Composable] = {}
    for number, reference in enumerate(table.references):
        if reference.raw in names:
            alias = sql.Identifier(f"p{number}")
            joins.append(
                sql.SQL(" LEFT JOIN {} AS {alias} ON {alias}.id = n.{}").format(
                    _homes(reference), sql.Identifier(reference.raw), alias=alias
                )
            )
            linked |= {
                column: sql.SQL("CASE WHEN {alias}.place = {} THEN {alias}.id END").format(
                    sql.Literal(place), alias=alias
                )
                for place, (column, _) in enumerate(reference.candidates)
            }
    return sql.SQL("INSERT INTO {target} ({columns}, synced_at) SELECT {values}, now() FROM {incoming}{joins}").format(
        target=target(table),
        columns=_list([*names, *linked]),
        values=sql.SQL(", ").join([_list(names, "n"), *linked.values()]),
        incoming=incoming(spec, table, marked=marked, empty=True),
        joins=sql.SQL("").join(joins),
    )


def linked(table: Table) -> sql.Composed:
    """The number of references that are set in a table."""
    columns = [column for reference in table.references for column, _ in reference.candidates]
    counts = sql.SQL(" + ").join(sql.SQL("count({})").format(sql.Identifier(name)) for name in columns)
    return sql.SQL("SELECT {} FROM {}").format(counts if columns else sql.SQL("0"), target(table))


def _homes(reference: Reference) -> sql.Composed:
    """Ids of all parents, each with the number of the candidate it belongs to, by the rules of `links`.

    Of several tables with the id the first where it is active, else the first. The id of a merged record is left out:
    `links` turns it first.
    """
    most = sql.Literal(len(reference.candidates))
    each = sql.SQL(" UNION ALL ").join(
        sql.SQL(
            "SELECT salesforce_id, {place} + CASE WHEN deleted_at IS NULL THEN 0 ELSE {most} END AS rank"
            " FROM vms.{parent}"
        ).format(place=sql.Literal(place), most=most, parent=sql.Identifier(parent))
        for place, (_, parent) in enumerate(reference.candidates)
    )
    return sql.SQL(
        "(SELECT salesforce_id AS id, min(rank) % {most} AS place FROM ({each}) AS q WHERE NOT EXISTS"
        " (SELECT FROM vms.record_alias AS a WHERE a.alias_id = q.salesforce_id) GROUP BY salesforce_id)"
    ).format(most=most, each=each)


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


def restored(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """How many of the good rows are stored as deleted, and come back."""
    return _stored(spec, table, sql.SQL("t.deleted_at IS NOT NULL AND {} >= t.system_modstamp"), marked=marked)


def stale(spec: SyncObject, table: Table, *, marked: bool) -> sql.Composed:
    """How many of the good rows are stored in a newer version."""
    return _stored(spec, table, sql.SQL("{} < t.system_modstamp"), marked=marked)


def _stored(spec: SyncObject, table: Table, test: sql.SQL, *, marked: bool) -> sql.Composed:
    return sql.SQL("SELECT count(*) FROM {target} AS t JOIN {rows} ON t.salesforce_id = {id} WHERE {test}").format(
        target=target(table),
        rows=good(spec, ["SystemModstamp"], marked=marked),
        id=cast(spec.by_name["Id"]),
        test=test.format(cast(spec.by_name["SystemModstamp"])),
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

"""The rows of a staging table that are not simply published, in the table `_marks` beside it.

One pass finds every reason of every row; a row with nothing to say about it leaves no trace, so a run of good rows
writes nothing here.

A mark is `superseded` (an older version of a record that came more than once), `deleted`, `left` (no longer in the
object's filter), `rejected` (broke a rule), or null: the row is published, and its problems are flags.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from psycopg import sql

from include.vms import staging
from include.vms.expressions import Render, cast, cleaned, expression, fields_of, text_of
from include.vms.rules import Finding, findings
from include.vms.spec import Action

if TYPE_CHECKING:
    import psycopg

    from include.vms.spec import Field, SyncObject


def write(connection: psycopg.Connection, spec: SyncObject) -> None:
    """Fill `_marks`: older versions of a record that came more than once, then what the rules say."""
    marks, staged = staging.table(spec, "_marks"), staging.table(spec)
    connection.execute(sql.SQL("TRUNCATE {}").format(marks))
    # The first 15 characters are the record, with or without the three of the checksum.
    twice = sql.SQL('SELECT left("Id", 15) FROM {} GROUP BY 1 HAVING count(*) > 1').format(staged)
    # Not LIMIT 1: for the first row alone PostgreSQL would sort.
    found = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS twice").format(twice)).fetchone()
    if found and found[0]:
        _mark_superseded(connection, spec, twice)
    connection.execute(_marking(spec))


def _mark_superseded(connection: psycopg.Connection, spec: SyncObject, twice: sql.Composed) -> None:
    connection.execute(
        sql.SQL(
            """
            INSERT INTO {marks} (row_no, mark, problems)
            SELECT row_no, 'superseded', '{{}}' FROM (
                SELECT c.row_no, row_number() OVER (
                    PARTITION BY CASE WHEN length(c."Id") IN (15, 18) THEN left(c."Id", 15) ELSE c."Id" END
                    ORDER BY {newest} DESC NULLS LAST, c.row_no DESC
                ) AS place
                FROM {rows}
                WHERE left(c."Id", 15) IN ({twice})
            ) AS versions WHERE place > 1
            """
        ).format(
            marks=staging.table(spec, "_marks"),
            twice=twice,
            newest=_safe(spec)(spec.by_name["SystemModstamp"]),
            rows=_cleaned(spec, ("Id", "SystemModstamp")),
        )
    )


def _marking(spec: SyncObject) -> sql.Composed:
    found = findings(spec)
    conditions = [_condition(spec, one) for one in found]
    problems = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {} THEN {} END").format(condition, sql.Literal(one.number))
        for one, condition in zip(found, conditions, strict=True)
    )
    gone = sql.SQL("({0} <> 'false' AND lower({0}) IN ('true', '1'))").format(text_of("IsDeleted"))
    left = expression(spec, f"({spec.filter_sql}) IS NOT TRUE" if spec.filter_sql else "false", _safe(spec))
    system = [one.number for one in found if one.field in ("Id", "SystemModstamp")]
    rejecting = [one.number for one in found if one.action is Action.REJECT]
    return sql.SQL(
        """
        INSERT INTO {marks} (row_no, id, system_modstamp, mark, problems)
        SELECT row_no, id, system_modstamp,
            CASE
                WHEN problems && {system} THEN 'rejected'
                WHEN gone THEN 'deleted'
                WHEN outside THEN 'left'
                WHEN problems && {rejecting} THEN 'rejected'
            END,
            problems
        FROM (
            SELECT c.row_no, {id} AS id, {stamp} AS system_modstamp, coalesce({gone}, false) AS gone, {left} AS outside,
                array_remove(ARRAY[{problems}]::int[], NULL) AS problems
            FROM {rows} WHERE {gone} OR {left} OR {any}
        ) AS marked
        ON CONFLICT DO NOTHING
        """
    ).format(
        marks=staging.table(spec, "_marks"),
        system=sql.SQL("{}::int[]").format(sql.Literal(system)),
        rejecting=sql.SQL("{}::int[]").format(sql.Literal(rejecting)),
        id=_safe(spec)(spec.by_name["Id"]),
        stamp=_safe(spec)(spec.by_name["SystemModstamp"]),
        gone=gone,
        left=left,
        problems=problems,
        rows=_cleaned(spec, _used(spec)),
        any=sql.SQL(" OR ").join(sql.SQL("({})").format(one) for one in conditions),
    )


def _used(spec: SyncObject) -> list[str]:
    """Fields the marking looks at."""
    texts = [spec.filter_sql, *(flag.when for flag in spec.flags)]
    names = {one.field for one in findings(spec)} | {"Id", "SystemModstamp", "IsDeleted", *fields_of(spec, texts)}
    return [name for name in spec.select if name in names]


def _cleaned(spec: SyncObject, names: Iterable[str]) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(cleaned(spec.by_name[name]), sql.Identifier(name)) for name in names
    )
    return sql.SQL("(SELECT s.row_no, {} FROM {} AS s OFFSET 0) AS c").format(columns, staging.table(spec))


def _bad(spec: SyncObject, name: str) -> sql.Composed:
    """Whether the text of a field breaks a rule that keeps it from being used."""
    tests = [one for one in findings(spec) if one.field == name and not one.flag and one.keeps_out]
    if not tests:
        return sql.SQL("{}").format(sql.SQL("false"))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(_condition(spec, one) for one in tests))


def _condition(spec: SyncObject, one: Finding) -> sql.Composed:
    return sql.SQL("({})").format(expression(spec, one.bad, _safe(spec)) if one.flag else sql.SQL(one.bad))


def _safe(spec: SyncObject) -> Render:
    """Render a field as its value, or null when the text is bad: the row has not been judged yet."""

    def render(field: Field) -> sql.Composable:
        bad = _bad(spec, field.name)
        return sql.SQL("CASE WHEN NOT {} THEN {} END").format(bad, cast(field))

    return render

"""Staging tables of a sync: texts as Salesforce sent them, in a schema of their own, without WAL.

`vms_stage."<object>"` holds a text column for each selected field, filled by COPY from raw CSV. Beside it stand
`_ids` (every active id of the source, when a run sweeps; those of a full run are in its rows), `_deleted` (what the
source says is gone) and `_marks`: the rows that are not simply published, written by `validate`.

PostgreSQL empties these tables when it crashes; the number of rows is checked against the checkpoint before use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from include.operations.errors import ErrorClass, PipelineError

if TYPE_CHECKING:
    import psycopg

    from include.vms.spec import SyncObject

SCHEMA: Final = "vms_stage"
_SIDES: Final = ("", "_ids", "_deleted", "_marks")


class StagingLost(PipelineError):  # noqa: N818 - named for what happened
    """The staged rows are gone: PostgreSQL crashed in between. The next run reads them again."""

    error_class = ErrorClass.DATABASE
    code = "STAGING_LOST"


def table(spec: SyncObject, side: str = "") -> sql.Identifier:
    """Qualified name of the staging table, or of one beside it: `_ids`, `_deleted`, `_marks`."""
    return sql.Identifier(SCHEMA, spec.name + side)


def ids(spec: SyncObject, *, of_rows: bool) -> sql.Composable:
    """Every active id of the source with its SystemModstamp: of the staged rows after a full read, else of `_ids`."""
    if not of_rows:
        return table(spec, "_ids")
    return sql.SQL('(SELECT "Id", "SystemModstamp" FROM {} WHERE lower("IsDeleted") IS DISTINCT FROM {})').format(
        table(spec), sql.Literal("true")
    )


def create(connection: psycopg.Connection, spec: SyncObject) -> None:
    """Make the tables anew, empty; to be committed with the checkpoint that says so."""
    drop(connection, spec)
    for side in _SIDES:
        create_side(connection, spec, side)


def create_side(connection: psycopg.Connection, spec: SyncObject, side: str) -> None:
    """Make one of the tables unless it is there."""
    fields = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in spec.select)
    columns = {
        "": sql.SQL("{}, row_no bigint GENERATED ALWAYS AS IDENTITY (CACHE 1000)").format(fields),
        "_ids": sql.SQL('"Id" text, "SystemModstamp" text'),
        "_deleted": sql.SQL("id text NOT NULL, deleted_at text NOT NULL, swept boolean NOT NULL DEFAULT false"),
        # mark: superseded, deleted, left or rejected, and then `out`; null: published, with flags.
        "_marks": sql.SQL(
            "row_no bigint PRIMARY KEY, id text, system_modstamp timestamptz, mark text, problems int[] NOT NULL,"
            " out boolean GENERATED ALWAYS AS (mark IS NOT NULL) STORED"
        ),
    }
    connection.execute(sql.SQL("CREATE UNLOGGED TABLE IF NOT EXISTS {} ({})").format(table(spec, side), columns[side]))


def drop(connection: psycopg.Connection, spec: SyncObject) -> None:
    """Remove the tables."""
    names = sql.SQL(", ").join(table(spec, side) for side in _SIDES)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(names))


def check(connection: psycopg.Connection, spec: SyncObject, rows: int) -> None:
    """Make sure that what was read is there.

    Raises:
        StagingLost: it is not; publishing now would take lost rows for rows that have not changed.
    """
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table(spec))).fetchone()
    there = found[0] if found else 0
    if there != rows:
        raise StagingLost(
            f"{spec.name}: {rows} rows were staged and {there} are there; nothing was published.",
            what_to_do="Nothing: the next run reads them again. If it happens again, look at PostgreSQL's log for a"
            " crash.",
        )


def copy_statement(spec: SyncObject, side: str = "") -> sql.Composed:
    """COPY of CSV with a header row, which must name the fields in their order; empty values become null."""
    names = ("Id", "SystemModstamp") if side == "_ids" else spec.select
    fields = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER MATCH, FORCE_NULL *)").format(table(spec, side), fields)

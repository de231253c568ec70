"""Whether the warehouse has the tables that an object declares: new code may run before its migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import ErrorClass, PipelineError

if TYPE_CHECKING:
    import psycopg

    from include.vms.spec import SyncObject

_COLUMNS: Final = """
SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'vms' AND c.relname = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_NAMED: Final = 5


class MigrationMissing(PipelineError):  # noqa: N818 - named for what happened
    """The code declares a table or a column that the warehouse has not got yet; nothing was read."""

    error_class = ErrorClass.DATABASE
    code = "MIGRATION_MISSING"


def require(connection: psycopg.Connection[Any], spec: SyncObject) -> None:
    """Make sure that every table and column is there, before anything is asked of Salesforce.

    Raises:
        MigrationMissing: something is not.
    """
    declared = {one.name: [column.name for column in one.columns] for one in spec.tables}
    declared |= {one.name: [column.name for column in one.columns] for one in spec.children}
    found = set(connection.execute(_COLUMNS, [list(declared)]).fetchall())
    tables = {table for table, _ in found}
    missing = [f"table vms.{table}" for table in declared if table not in tables]
    missing += [
        f"column vms.{table}.{column}"
        for table, columns in declared.items()
        if table in tables
        for column in columns
        if (table, column) not in found
    ]
    if missing:
        raise MigrationMissing(
            f"{spec.name}: the warehouse has no {', no '.join(missing[:_NAMED])}: a migration was not applied. Nothing"
            " was read.",
            what_to_do="Run `python -m include.cli warehouse upgrade`; for an object module that is new or was changed"
            f" write its migration first: `make object-migration NAME={spec.name}`.",
        )

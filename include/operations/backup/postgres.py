"""Dumps of PostgreSQL databases, with the programs that PostgreSQL has for that: pg_dump and pg_restore.

Row counts and checksums are taken in the very snapshot that pg_dump reads, so they belong to the dump whatever is
written meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from include.connections import warehouse_arguments
from include.operations.backup.digest import digest
from include.operations.backup.errors import TargetNotEmpty, ToolFailed, ToolMissing
from include.operations.backup.sealed import CHUNK
from include.operations.backup.store import Draft
from include.operations.explain import one_line
from include.operations.faults import fault_point
from include.operations.scrub import scrub

if TYPE_CHECKING:
    import psycopg

_CONNECT_S: Final = 10
_PATIENCE_S: Final = 10
# How libpq's programs are told what a connection says; a password on the command line could be read by others.
_LIBPQ: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
_EXTENSIONS: Final = "select extname, extversion from pg_extension where extname <> 'plpgsql'"
_TIMESCALE: Final = "timescaledb"
_HOLDS_TABLES: Final = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  and not exists (select from pg_depend d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1 limit 3
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database and the programs for it.

    Attributes:
        arguments: host, port, dbname, user, password and TLS settings under libpq's names.
        tools: folder of pg_dump and pg_restore; None: they are on PATH.
    """

    arguments: dict[str, Any]
    tools: Path | None = None

    @classmethod
    def of(cls, conn_id: str, tools: Path | None = None) -> Postgres:
        """The database of an Airflow connection."""
        return cls(warehouse_arguments(conn_id), tools)

    def other(self, dbname: str) -> Postgres:
        """Another database of the same server."""
        return Postgres(self.arguments | {"dbname": dbname}, self.tools)

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
        """A connection, closed at the end."""
        import psycopg

        with psycopg.connect(
            **self.arguments, connect_timeout=_CONNECT_S, application_name="pipelines-backup", autocommit=autocommit
        ) as connection:
            yield connection

    # --- backup -----------------------------------------------------------------

    def size_bytes(self) -> int:
        """Size of the database on its server: more than a dump of it takes."""
        with self.connect() as connection:
            row = connection.execute("select pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def dump(self, draft: Draft) -> None:
        """Write a dump in pg_dump's custom format, with the rows and checksums of its snapshot.

        Raises:
            ToolMissing: pg_dump is missing or older than the server.
            ToolFailed: pg_dump could not do it.
        """
        import psycopg

        with self.connect() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            # This transaction has nothing to do while pg_dump works, and must live until it has taken the snapshot.
            connection.execute("set local idle_in_transaction_session_timeout = 0")
            version = connection.info.server_version
            row = connection.execute("select pg_export_snapshot()").fetchone()
            tool = self._tool("pg_dump", version // 10_000)
            options = ["--format=custom", f"--snapshot={row[0] if row else ''}", "--lock-wait-timeout=60s"]
            with self._run(tool, *options) as process:
                if process.stdout is None:
                    raise AssertionError("pg_dump writes into a pipe")
                while chunk := process.stdout.read(CHUNK):
                    draft.write(chunk)
                    fault_point("backup.in_dump")
            draft.rows = digest(connection)
            draft.extensions = dict(connection.execute(_EXTENSIONS).fetchall())
        draft.server = f"PostgreSQL {version // 10_000}.{version % 10_000}"

    # --- restore ----------------------------------------------------------------

    def examine(self) -> None:
        """Reach the server, and find a pg_restore that is new enough for it.

        Raises:
            ToolMissing: there is none.
        """
        with self.connect() as connection:
            self._tool("pg_restore", connection.info.server_version // 10_000)

    def require_empty(self) -> None:
        """Refuse a database that holds tables, views or sequences.

        Raises:
            TargetNotEmpty: it does.
        """
        with self.connect() as connection:
            found = [name for (name,) in connection.execute(_HOLDS_TABLES)]
        if found:
            raise TargetNotEmpty(
                f"the target database holds tables already, e.g. {', '.join(found)}",
                what_to_do="restore into an empty database, or name the target with --into and add --replace",
            )

    def restore(
        self,
        data: Iterable[bytes],
        *,
        replace: bool = False,
        at_once: bool = True,
        extensions: Collection[str] = (),
    ) -> None:
        """Restore a dump; with `replace` what it holds is dropped first.

        Owners and grants are not restored: everything belongs to the role that restores. With `at_once` it is one
        transaction: after an error nothing has changed.

        Args:
            data: the dump.
            replace: drop what the dump holds before it is restored.
            at_once: one transaction.
            extensions: those of the source; TimescaleDB wants to be told before and after a restore.

        Raises:
            ToolMissing: pg_restore is missing or older than the server.
            ToolFailed: pg_restore could not do it.
        """
        with self.connect() as connection:
            tool = self._tool("pg_restore", connection.info.server_version // 10_000)
        options = ["--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={self.arguments['dbname']}"]
        options += ["--clean", "--if-exists"] if replace else []
        options += ["--single-transaction"] if at_once else []
        with self._told(_TIMESCALE in extensions), self._run(tool, *options, feed=True) as process:
            if process.stdin is None:
                raise AssertionError("pg_restore reads from a pipe")
            try:
                for chunk in data:
                    process.stdin.write(chunk)
                process.stdin.close()
            except BrokenPipeError:
                # It has ended; its exit code and its words say why.
                process.wait(_PATIENCE_S)

    @contextmanager
    def _told(self, timescale: bool) -> Iterator[None]:
        """Between the two calls TimescaleDB takes rows into its catalogue and its chunks as they come."""
        if not timescale:
            yield
            return
        with self.connect() as connection:
            connection.execute("create extension if not exists timescaledb")
            connection.execute("select timescaledb_pre_restore()")
        try:
            yield
        finally:
            with self.connect() as connection:
                connection.execute("select timescaledb_post_restore()")

    # --- programs ---------------------------------------------------------------

    def _tool(self, name: str, server_major: int) -> str:
        found = shutil.which(name, path=str(self.tools) if self.tools else None)
        where = "in BACKUP_PG_BIN" if self.tools else "on PATH"
        fix = f"install the client programs of PostgreSQL {server_major} or newer, or set BACKUP_PG_BIN to their folder"
        if found is None:
            raise ToolMissing(f"{name} is not {where}", what_to_do=fix)
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
        version = re.search(r"\(PostgreSQL\) (\d+)", said)
        if version is None or int(version[1]) < server_major:
            shown = version[1] if version else "unknown"
            raise ToolMissing(
                f"{name} {where} is of version {shown}, the server of {server_major}: it refuses newer servers",
                what_to_do=fix,
            )
        return found

    @contextmanager
    def _run(self, tool: str, *options: str, feed: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program; it ends with the block, and its failure is an error."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment |= {_LIBPQ[key]: str(value) for key, value in self.arguments.items() if value is not None}
        environment |= {"PGCONNECT_TIMEOUT": str(_CONNECT_S), "PGAPPNAME": "pipelines-backup", "LC_ALL": "C"}
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [tool, "--no-password", *options],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if feed else subprocess.PIPE,
                stderr=said,
                env=environment,
            )
            try:
                yield process
                process.wait()
            finally:
                _end(process)
            if process.returncode != 0:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                raise ToolFailed(
                    f"{Path(tool).name} ended with code {process.returncode}: {_reason(lines)}",
                    what_to_do="see that server and role are as docs/backup.md says; nothing was kept",
                )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program if it still runs, because the block that used it has failed, and close its pipes."""
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What was not written by now is of no use to a program that has ended.
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    process.wait(_PATIENCE_S)


def _reason(lines: list[str]) -> str:
    """The first line that says what is wrong, scrubbed; the lines after it may hold a row's values."""
    errors = [line for line in lines if "error:" in line] or lines
    return scrub(one_line(errors[0])) if errors else "it gave no reason"

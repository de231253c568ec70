"""`make object-migration NAME=...`: the migration that a new or changed object module needs.

A scratch PostgreSQL gets all migrations there are; what the object modules declare beyond it becomes the next one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from include.vms import ddl, registry
from include.warehouse import schema
from local import process
from local.servers import PostgresServer

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.object_migration", description=__doc__)
    parser.add_argument("name", help="sync it is for, e.g. teachers")
    name = parser.parse_args(arguments).name
    try:
        registry.get(name)
    except (KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"object-migration: {error.args[0]}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="object-migration-", ignore_cleanup_errors=True) as directory:
        server = PostgresServer(Path(directory), usual_port=False)
        try:
            server.start()
            return write(name, server.url)
        finally:
            server.stop()


def write(name: str, url: str, versions: Path = VERSIONS) -> int:
    """Write the migration; `url` names an empty database. Returns the exit code."""
    from sqlalchemy import NullPool, create_engine

    os.environ["AIRFLOW_CONN_WAREHOUSE"] = url
    schema.upgrade()
    down = schema.head()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect() as connection:
        try:
            made = ddl.migration(connection, registry.objects().values(), name, f"{int(down) + 1:04}", down)
        except ValueError as error:
            sys.stderr.write(f"object-migration: {error}\n")
            return 1
    path = versions / made.file_name
    path.write_text(made.text, encoding="utf-8")
    for step in (["check", "--quiet", "--fix"], ["format", "--quiet"]):
        process.run([sys.executable, "-m", "ruff", *step, str(path)])
    sys.stdout.write(f"object-migration: wrote {path}: read it before you commit it\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

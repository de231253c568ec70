"""`warehouse`: the schema of the Postgres warehouse."""

from __future__ import annotations

import typer

from include.cli import airflow_log

app = typer.Typer(no_args_is_help=True, help="The warehouse's schema.")


@app.command()
def upgrade() -> None:
    """Bring the schema to the newest revision; harmless when it is there."""
    airflow_log.to_stderr()
    from include.warehouse import schema

    done = schema.upgrade()
    if done.before == done.after:
        print(f"warehouse schema: {done.after}, up to date")
    else:
        print(f"warehouse schema: {done.before or 'empty'} -> {done.after}")


@app.command("make-owner")
def make_owner() -> None:
    """Make the plain role of the connection warehouse and give it the database; harmless to repeat.

    The connection warehouse_admin names a superuser of the server; set it for this command only.
    """
    airflow_log.to_stderr()
    from include.warehouse.owner import make_owner as make

    print(f"{make()} owns the warehouse, and has no other right on its server")


@app.command()
def current() -> None:
    """Show the schema's revision; exit code 1 when it is not the newest."""
    airflow_log.to_stderr()
    from include.warehouse import schema

    found, newest = schema.current(), schema.head()
    if found == newest:
        print(f"warehouse schema: {found}, up to date")
        return
    print(f"warehouse schema: {found or 'empty'}, newest is {newest}: run `warehouse upgrade`")
    raise typer.Exit(1)

"""Run by Alembic: the migrations inside the transaction of the connection that `include.warehouse.schema` hands in."""

from __future__ import annotations

from alembic import context

from include.warehouse.schema import VERSION_SCHEMA

context.configure(connection=context.config.attributes["connection"], version_table_schema=VERSION_SCHEMA)
context.run_migrations()

"""One row a run in `ops.graph_update`. Rows are keyed by run, so that a repeated step doubles nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_COLUMNS = (
    "epoch", "watermark", "read", "written", "duplicates", "dead", "lost", "batches", "people_touched",
    "people_created", "edges_touched", "edges_created", "claimed", "drained", "acknowledged", "pending", "lag",
)  # fmt: skip

_WRITE = f"""
insert into ops.graph_update (run_id, skipped, seconds, healed, {", ".join(_COLUMNS)})
values (%(run_id)s, %(skipped)s, %(seconds)s, %(healed)s, {", ".join(f"%({name})s" for name in _COLUMNS)})
on conflict (run_id) do update set updated_at = now(), skipped = excluded.skipped, seconds = excluded.seconds,
  healed = excluded.healed, {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""  # noqa: S608 - the column names are the constants above

_AMEND = """
update ops.graph_update set acknowledged = %(acknowledged)s, pending = %(pending)s, lag = %(lag)s, updated_at = now()
where run_id = %(run_id)s
"""

_CLOSE = """
update ops.graph_update
set people_invalidated = %(people)s, keys_deleted = %(deleted)s, finished_at = now(), updated_at = now()
where run_id = %(run_id)s
"""


def write(connection: psycopg.Connection, run_id: str, result: dict[str, Any]) -> None:
    """Insert or replace the run's row with the result of `update_graph`."""
    from psycopg.types.json import Jsonb

    values = {name: result[name] for name in _COLUMNS}
    documents = {name: Jsonb(result[name]) for name in ("skipped", "seconds")}
    connection.execute(_WRITE, {"run_id": run_id, "healed": result["healed"], **values, **documents})


def amend(connection: psycopg.Connection, run_id: str, acknowledged: dict[str, Any]) -> None:
    """Add the result of `acknowledge`."""
    connection.execute(_AMEND, {"run_id": run_id, **acknowledged})


def close(connection: psycopg.Connection, run_id: str, invalidated: dict[str, Any]) -> None:
    """Add the result of `invalidate_cache`; the run is over."""
    connection.execute(_CLOSE, {"run_id": run_id, **invalidated})

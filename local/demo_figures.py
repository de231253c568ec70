"""What the graph updates of a demo came to, from the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

_NOW = "SELECT now()"
_TOTAL = """
SELECT coalesce(sum(read), 0)::bigint, coalesce(sum(written), 0)::bigint, coalesce(sum(dead), 0)::bigint
FROM ops.graph_update WHERE created_at >= %s AND run_id = ANY(%s)
"""


class Totals(NamedTuple):
    """Entries read, interactions written, entries that became dead letters."""

    read: int
    written: int
    dead: int

    @property
    def all_dead(self) -> bool:
        """Whether there were events and not one of them could be used."""
        return 0 < self.read <= self.dead


def now() -> datetime:
    """Return the warehouse's clock.

    Raises:
        psycopg.Error: the warehouse cannot be asked.
    """
    from include.connections import warehouse

    with warehouse(quick=True) as connection:
        row = connection.execute(_NOW).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    moment: datetime = row[0]
    return moment


def totals(since: datetime, run_ids: Sequence[str]) -> Totals:
    """Sum what these runs have recorded since a moment of the warehouse's clock.

    The warehouse may be shared: runs of other installations are not ours, nor are those before the demo.
    """
    from include.connections import warehouse

    with warehouse(quick=True) as connection:
        row = connection.execute(_TOTAL, [since, list(run_ids)]).fetchone()
    return Totals(*row) if row else Totals(0, 0, 0)

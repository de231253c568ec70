"""Figures of the 5-minute pipeline's runs, and rows of a roster that were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from include.warehouse.schema import ensure_schema

revision = "0001"
down_revision = None


def _count(name: str, comment: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def _time(name: str, comment: str, *, now: bool = True) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not now, server_default=default, comment=comment)


def upgrade() -> None:
    """Create both tables, and the schemas where they belong."""
    for name in ("ops", "organism"):
        ensure_schema(op.get_bind(), name)
    op.create_table(
        "graph_update",
        sa.Column("run_id", sa.Text, primary_key=True, comment="Airflow's run id"),
        _count("epoch", "fencing epoch the run wrote with"),
        sa.Column("watermark", sa.Text, nullable=False, comment="stream id up to which all entries are settled"),
        _count("read", "stream entries processed: applied, skipped, duplicate or dead"),
        _count("written", "interactions added to edges; an entry with three targets counts three times"),
        _count("duplicates", "entries whose event id had been applied before"),
        sa.Column("skipped", postgresql.JSONB, nullable=False, comment="interactions left out, by reason"),
        _count("dead", "entries sent to the dead letters"),
        _count("lost", "entries that were added to the stream and never reached us"),
        _count("batches", "committed graph transactions"),
        _count("people_touched", "people with a new interaction"),
        _count("people_created", "people that were not in the graph before"),
        _count("edges_touched", "edge rows written, one for each directed pair and transaction"),
        _count("edges_created", "edges that were not in the graph before"),
        _count("claimed", "entries taken over from other consumers"),
        sa.Column("drained", sa.Boolean, nullable=False, comment="whether the backlog was gone before the time was up"),
        _count("acknowledged", "entries acknowledged to Redis"),
        _count("pending", "delivered and unacknowledged entries at the end, of all consumers"),
        _count("lag", "unread entries at the end by Redis's estimate; null when Redis cannot tell", nullable=True),
        sa.Column("healed", sa.ARRAY(sa.Text), nullable=False, comment="what was mended, e.g. group_recreated"),
        sa.Column("seconds", postgresql.JSONB, nullable=False, comment="seconds by phase, and total"),
        _count("people_invalidated", "people whose cached figures were deleted", nullable=True),
        _count("keys_deleted", "cached values that existed and were deleted", nullable=True),
        _time("created_at", "when update_graph first ended"),
        _time("updated_at", "last change of the row"),
        _time("finished_at", "when the run's last step ended; null when it did not", now=False),
        schema="ops",
        comment="One row for each run of organism_incremental_update",
    )
    op.create_index("graph_update_created_at", "graph_update", ["created_at"], schema="ops")
    op.create_table(
        "roster_rejection",
        sa.Column("run_id", sa.Text, primary_key=True, comment="Airflow's run id"),
        sa.Column(
            "row_number",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="row of the file, the header being row 1 of a CSV; item of the list of a JSON",
        ),
        sa.Column("field", sa.Text, primary_key=True, comment="field at fault; empty: the row as a whole"),
        sa.Column("code", sa.Text, primary_key=True, comment="short reason, for counting"),
        sa.Column("reason", sa.Text, nullable=False, comment="plain sentence without any value of the row"),
        _time("created_at", "when the row was refused"),
        schema="organism",
        comment="Rows that organism_load_roster refused; no personal data, the file itself has the values",
    )


def downgrade() -> None:
    """Drop both tables. The schemas stay: `ops` holds the version table, and either may hold tables of others."""
    op.drop_table("roster_rejection", schema="organism")
    op.drop_table("graph_update", schema="ops")

"""Where mapped tasks lay out a large graph and what they worked out of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "metric_work",
        sa.Column("measured_at", sa.DateTime(timezone=True), primary_key=True, comment="logical time of the run"),
        sa.Column(
            "part",
            sa.Integer,
            primary_key=True,
            autoincrement=False,
            comment="-1: the graph as it was read; else the number of a shard",
        ),
        sa.Column("snapshot", sa.Uuid, nullable=False, comment="which reading of the graph it belongs to"),
        sa.Column("shards", sa.Integer, nullable=False, comment="lists that the sources are divided into"),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="columns of numbers, as numpy packs them"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="when it was laid out",
        ),
        schema="organism",
        comment="A large graph while it is measured; deleted at the end of the run. Individuals: restricted",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("metric_work", schema="organism")

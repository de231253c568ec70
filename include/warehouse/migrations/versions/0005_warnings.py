"""Episodes of thresholds that were crossed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "warning_episode",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        sa.Column("check_id", sa.Text, nullable=False, comment="which threshold"),
        sa.Column("subject", sa.Text, nullable=False, server_default="", comment="DAG, object, disk, ...; empty: all"),
        sa.Column("state", sa.Text, nullable=False, comment="open or over"),
        sa.Column("value", sa.Double, nullable=True, comment="newest value"),
        sa.Column("worst", sa.Double, nullable=True, comment="worst value of the episode"),
        sa.Column("threshold", sa.Double, nullable=True, comment="limit that was crossed"),
        sa.Column("normal", sa.Text, nullable=False, comment="what is usual, in words"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="when it began"),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False, comment="newest check"),
        sa.Column("good_checks", sa.Integer, nullable=False, server_default="0", comment="good checks in a row"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="null: open"),
        schema="ops",
        comment="Warnings of the watchdog, one row an episode",
    )
    op.create_index(
        "warning_episode_open",
        "warning_episode",
        ["check_id", "subject"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("ended_at is null"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("warning_episode", schema="ops")

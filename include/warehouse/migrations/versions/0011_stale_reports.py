"""Since when cached reports are stale: a run that dies after it has published leaves them to the next one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "sync_state",
        sa.Column(
            "reports_stale_since",
            sa.DateTime(timezone=True),
            comment="last change whose cached reports have not been deleted yet; null: none",
        ),
        schema="ops",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("sync_state", "reports_stale_since", schema="ops")

"""Backups, and whether they could be restored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "backup",
        sa.Column("name", sa.Text, primary_key=True, comment="folder of the backup"),
        sa.Column("source", sa.Text, nullable=False, comment="metadata, warehouse or graph"),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, comment="of the data file"),
        sa.Column("sha256", sa.Text, nullable=False, comment="of the data file"),
        sa.Column("encrypted", sa.Boolean, nullable=False, comment="whether a key is needed"),
        sa.Column(
            "rows", postgresql.JSONB, nullable=False, comment="rows and checksum by table at the time of the dump"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="start of the dump"),
        sa.Column("seconds", sa.Double, nullable=False, comment="time of the dump"),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its content was last found equal to what was backed up; null: never",
        ),
        sa.Column(
            "restore_s",
            sa.Double,
            nullable=True,
            comment="how long it took to restore it for that; null: it was only read back",
        ),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True, comment="null: it is still there"),
        schema="ops",
        comment="Backups that were made, each a folder below BACKUP_DIR",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("backup", schema="ops")

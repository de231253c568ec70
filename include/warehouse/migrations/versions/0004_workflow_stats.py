"""Roll-ups of runs by hour, day, week and month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment)


def _seconds(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=True, comment=comment)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "workflow_stats",
        sa.Column("grain", sa.Text, nullable=False, comment="hour, day, week (from Monday) or month; UTC"),
        sa.Column("bucket", sa.DateTime(timezone=True), nullable=False, comment="start of the hour, day, ..."),
        sa.Column("dag_id", sa.Text, nullable=False, comment="* : all DAGs together"),
        _count("total", "runs that ended in the bucket, successful or failed"),
        _count("ok", "successful runs"),
        _count("failed", "failed runs"),
        _count("tries", "tries of tasks that started in the bucket"),
        _count("retries", "tries with a number above 1, without those of restarts and clears"),
        _count("restarts", "tries repeated because a scheduler restarted or a person cleared the task"),
        _seconds("avg_s", "mean duration of the runs"),
        _seconds("min_s", "shortest"),
        _seconds("max_s", "longest"),
        _seconds("p50_s", "median (continuous)"),
        _seconds("p95_s", "95th percentile (continuous)"),
        sa.Column("errors", postgresql.JSONB, nullable=False, server_default="{}", comment="failed tries by class"),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
            comment="last change of the row",
        ),
        sa.CheckConstraint("grain in ('hour', 'day', 'week', 'month')", name="workflow_stats_grain"),
        sa.PrimaryKeyConstraint("grain", "bucket", "dag_id"),
        schema="ops",
        comment="Runs from Airflow's metadata, kept longer than the metadata",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("workflow_stats", schema="ops")

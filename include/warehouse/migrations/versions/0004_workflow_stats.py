"""Ended runs, their roll-ups by hour, day, week and month, and which weekly digests were sent."""

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


def _when(name: str, comment: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=default, comment=comment)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "workflow_run",
        sa.Column("dag_id", sa.Text, nullable=False, comment="DAG"),
        sa.Column("run_id", sa.Text, nullable=False, comment="Airflow's run id"),
        _when("ended_at", "when it ended the last time: a cleared run ends again"),
        sa.Column("ok", sa.Boolean, nullable=False, comment="whether it was successful"),
        sa.Column("duration_us", sa.BigInteger, nullable=True, comment="microseconds; null: it never started"),
        sa.PrimaryKeyConstraint("dag_id", "run_id"),
        schema="ops",
        comment="Runs that have ended, kept after `airflow db clean` has removed them from the metadata",
    )
    op.create_index("workflow_run_ended_at", "workflow_run", ["ended_at"], schema="ops")
    op.create_table(
        "workflow_stats",
        sa.Column("grain", sa.Text, nullable=False, comment="hour, day, week (from Monday) or month; UTC"),
        _when("bucket", "start of the hour, day, ..."),
        sa.Column("dag_id", sa.Text, nullable=False, comment="* : all DAGs together"),
        _count("total", "runs that ended in the bucket, successful or failed"),
        _count("ok", "successful runs"),
        _count("failed", "failed runs"),
        _count("tries", "tries of tasks that started in the bucket"),
        _count("retries", "tries made because the one before had failed"),
        _count("restarts", "tries made because a scheduler had lost the one before; no failure"),
        _count("clears", "tries made because a person had cleared the task; no failure"),
        _seconds("avg_s", "mean duration of the runs"),
        _seconds("min_s", "shortest"),
        _seconds("max_s", "longest"),
        _seconds("p50_s", "median (continuous)"),
        _seconds("p95_s", "95th percentile (continuous)"),
        sa.Column("errors", postgresql.JSONB, nullable=False, server_default="{}", comment="failed tries by class"),
        _when("updated_at", "last change of the row", now=True),
        sa.CheckConstraint("grain in ('hour', 'day', 'week', 'month')", name="workflow_stats_grain"),
        sa.PrimaryKeyConstraint("grain", "bucket", "dag_id"),
        schema="ops",
        comment="Runs from Airflow's metadata, kept longer than the metadata",
    )
    op.create_table(
        "weekly_digest",
        sa.Column("week", sa.Date, primary_key=True, comment="Monday of the week that is reported"),
        _when("sent_at", "when it was handed to the channels", now=True),
        schema="ops",
        comment="Weekly digests that were sent, so that each is sent once",
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("weekly_digest", "workflow_stats", "workflow_run"):
        op.drop_table(table, schema="ops")

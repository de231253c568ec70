"""Failed tries of tasks, and what each try has used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_TRY = ("dag_id", "run_id", "task_id", "map_index", "try_number")


def _try_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("dag_id", sa.Text, nullable=False, comment="DAG"),
        sa.Column("run_id", sa.Text, nullable=False, comment="Airflow's run id"),
        sa.Column("task_id", sa.Text, nullable=False, comment="task"),
        sa.Column("map_index", sa.Integer, nullable=False, server_default="-1", comment="-1: not a mapped task"),
        sa.Column("try_number", sa.Integer, nullable=False, comment="from 1"),
    ]


def _when(name: str, comment: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=default, comment=comment)


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "run_error",
        *_try_columns(),
        sa.Column("fingerprint", sa.Text, nullable=False, comment="equal for failures of one kind at one place"),
        _when("occurred_at", "when the try failed", now=True),
        sa.Column("error_class", sa.Text, nullable=False, comment="one of the seven classes"),
        sa.Column("code", sa.Text, nullable=False, comment="HTTP status, SQLSTATE, server's code or exception's name"),
        sa.Column("exception", sa.Text, nullable=False, comment="dotted name of the exception that decided"),
        sa.Column("service", sa.Text, nullable=True, comment="redis, neo4j, postgres, salesforce, ..."),
        sa.Column("object", sa.Text, nullable=True, comment="what was worked on, e.g. a Salesforce object"),
        sa.Column("message", sa.Text, nullable=False, comment="scrubbed: no secret, no personal value"),
        sa.Column("context", postgresql.JSONB, nullable=False, server_default="{}", comment="chunk, row, stream id"),
        sa.Column("transient", sa.Boolean, nullable=False, comment="whether trying again can help"),
        sa.Column("next_step", sa.Text, nullable=False, comment="retry or fail"),
        sa.Column("retry_in_s", sa.Float, nullable=True, comment="seconds until the next try"),
        sa.Column("what_to_do", sa.Text, nullable=False, comment="what a person should do"),
        sa.PrimaryKeyConstraint(*_TRY),
        schema="ops",
        comment="One row for each failed try of a task",
    )
    op.create_index("run_error_occurred_at", "run_error", ["occurred_at"], schema="ops")
    op.create_table(
        "task_usage",
        *_try_columns(),
        _when("started_at", "when the task's own code began"),
        sa.Column("seconds", sa.Float, nullable=False, comment="wall time of the task's own code"),
        sa.Column("cpu_s", sa.Float, nullable=False, comment="user and system time of the process and its children"),
        sa.Column("peak_rss_mb", sa.Float, nullable=False, comment="highest resident memory of the process, 1e6 bytes"),
        sa.Column("outcome", sa.Text, nullable=False, comment="success, skipped or failed"),
        sa.PrimaryKeyConstraint(*_TRY),
        schema="ops",
        comment="What each try of a task has used",
    )
    op.create_index("task_usage_started_at", "task_usage", ["started_at"], schema="ops")


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("task_usage", schema="ops")
    op.drop_table("run_error", schema="ops")

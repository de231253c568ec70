"""Episodes of thresholds that were crossed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def _text(name: str, comment: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default, comment=comment)


def _number(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=True, comment=comment)


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0", comment=comment)


def _when(name: str, comment: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "warning_episode",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        _text("check_id", "which threshold"),
        _text("subject", "DAG, object, disk, ...; empty: all", default=""),
        _text("state", "suspected (not bad often enough for a warning), open or over"),
        _number("value", "newest value, in the threshold's unit; null: nothing is there any more"),
        _number("worst", "worst value of the episode"),
        _number("threshold", "limit that was crossed"),
        _text("normal", "what is usual, in words"),
        sa.Column("detail", postgresql.ARRAY(sa.Text), nullable=False, server_default="{}", comment="further lines"),
        _text("dag_id", "the DAG it is about; empty: none", default=""),
        _text("task_id", "its task; empty: none", default=""),
        _when("since", "when it began", nullable=False),
        _when("checked_at", "newest check", nullable=False),
        _count("bad_checks", "bad checks in a row"),
        _count("good_checks", "good checks in a row"),
        _when("opened_at", "when it became a warning; null: it is only suspected"),
        _when("ended_at", "null: not over"),
        _when("warned_at", "when the warning was handed to the alerts; null: not yet"),
        _when("recovery_told_at", "when its end was handed to the alerts; null: not yet"),
        sa.CheckConstraint("state in ('suspected', 'open', 'over')", name="warning_episode_state"),
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
    # What was decided and not told, because the watchdog was killed in between.
    op.create_index(
        "warning_episode_untold",
        "warning_episode",
        ["id"],
        schema="ops",
        postgresql_where=sa.text("opened_at is not null and (warned_at is null or recovery_told_at is null)"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("warning_episode", schema="ops")

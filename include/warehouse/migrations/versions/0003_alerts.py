"""Alerts: events, incidents, messages that wait to be sent, silences, last good runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def _when(name: str, comment: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


def upgrade() -> None:
    """Create the five tables."""
    op.create_table(
        "alert_event",
        sa.Column("dag_id", sa.Text, nullable=False, comment="DAG"),
        sa.Column("run_id", sa.Text, nullable=False, comment="run; of a warning its episode"),
        sa.Column("task_id", sa.Text, nullable=False, server_default="", comment="empty: the run as a whole"),
        sa.Column("map_index", sa.Integer, nullable=False, server_default="-1", comment="-1: not a mapped task"),
        sa.Column("try_number", sa.Integer, nullable=False, server_default="0", comment="0: not of a try"),
        sa.Column("kind", sa.Text, nullable=False, comment="task_failed, run_failed, warning, import_error, ..."),
        sa.Column("incident_key", sa.Text, nullable=False, comment="what makes two events one incident"),
        _when("created_at", "when it was reported", now=True),
        sa.Column("incident_id", sa.BigInteger, nullable=True, comment="its incident; null: it has none"),
        _when("sent_at", "when a message about its incident left after it; null: none did, or it waits", nullable=True),
        # Airflow calls back twice after a lost heartbeat: the second insert finds this.
        sa.PrimaryKeyConstraint("dag_id", "run_id", "task_id", "map_index", "try_number", "kind"),
        schema="ops",
        comment="Everything that could have sent an alert, once each",
    )
    op.create_index("alert_event_created_at", "alert_event", ["created_at"], schema="ops")
    op.create_index("alert_event_incident_id", "alert_event", ["incident_id", "created_at"], schema="ops")
    op.create_table(
        "incident",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        sa.Column("incident_key", sa.Text, nullable=False, comment="what makes two events one incident"),
        sa.Column("keys", postgresql.ARRAY(sa.Text), nullable=False, comment="keys of all its events, up to 100"),
        sa.Column("kind", sa.Text, nullable=False, comment="kind of its first event; rollup: stands for several"),
        sa.Column("dag_id", sa.Text, nullable=False, comment="DAG; empty: of no DAG"),
        sa.Column("task_id", sa.Text, nullable=False, server_default="", comment="empty: the run as a whole"),
        sa.Column("error_class", sa.Text, nullable=False, comment="one of the seven classes"),
        sa.Column("severity", sa.Text, nullable=False, comment="P1, P2, P3 or P4"),
        sa.Column("title", sa.Text, nullable=False, comment="one line"),
        sa.Column("detail", postgresql.JSONB, nullable=False, server_default="{}", comment="what the message shows"),
        sa.Column("occurrences", sa.Integer, nullable=False, server_default="1", comment="runs or episodes so far"),
        sa.Column("messages", sa.Integer, nullable=False, server_default="0", comment="messages sent about it"),
        sa.Column("good_runs", sa.Integer, nullable=False, server_default="0", comment="good runs since the last bad"),
        sa.Column(
            "thread", postgresql.JSONB, nullable=False, server_default="{}", comment="by channel: where it is told"
        ),
        sa.Column("rollup_id", sa.BigInteger, nullable=True, comment="the roll-up that tells of it, if one does"),
        _when("opened_at", "first occurrence", now=True),
        _when("last_at", "newest occurrence", now=True),
        _when("next_message_at", "no reminder before this", nullable=True),
        _when("window_until", "of a roll-up: incidents join it until then", nullable=True),
        _when("recovered_at", "null: open", nullable=True),
        schema="ops",
        comment="Alerts, from the first occurrence to the recovery",
    )
    op.create_index(
        "incident_open",
        "incident",
        ["incident_key"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("recovered_at is null"),
    )
    op.create_index("incident_last_at", "incident", ["last_at"], schema="ops")
    op.create_index("incident_rollup_id", "incident", ["rollup_id"], schema="ops")
    op.create_table(
        "alert_outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        sa.Column("incident_id", sa.BigInteger, nullable=True, comment="null: no incident, e.g. a digest"),
        sa.Column("channel", sa.Text, nullable=False, comment="slack, email or sentry"),
        sa.Column("kind", sa.Text, nullable=False, comment="alert, reminder, recovery, rollup, digest or test"),
        sa.Column("severity", sa.Text, nullable=False, comment="P1, P2, P3 or P4"),
        sa.Column("dedupe_key", sa.Text, nullable=True, comment="a message of this key is put here once"),
        sa.Column("payload", postgresql.JSONB, nullable=False, comment="what the channel is to send"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0", comment="failed attempts"),
        sa.Column("last_error", sa.Text, nullable=True, comment="code of the last refusal"),
        _when("created_at", "when it was to be sent first", now=True),
        _when("next_try_at", "not before this", now=True),
        _when("sent_at", "null: waits", nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["ops.incident.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("dedupe_key", "channel"),
        schema="ops",
        comment="Messages, written before they are sent",
    )
    op.create_index(
        "alert_outbox_waiting",
        "alert_outbox",
        ["next_try_at"],
        schema="ops",
        postgresql_where=sa.text("sent_at is null"),
    )
    op.create_index("alert_outbox_created_at", "alert_outbox", ["created_at"], schema="ops")
    op.create_index("alert_outbox_incident_id", "alert_outbox", ["incident_id"], schema="ops")
    op.create_table(
        "silence",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        sa.Column("dag_id", sa.Text, nullable=True, comment="null: any"),
        sa.Column("task_id", sa.Text, nullable=True, comment="null: any"),
        sa.Column("error_class", sa.Text, nullable=True, comment="null: any"),
        sa.Column("reason", sa.Text, nullable=False, comment="why"),
        sa.Column("created_by", sa.Text, nullable=False, comment="who"),
        _when("created_at", "when it was made", now=True),
        _when("until", "when it ends"),
        schema="ops",
        comment="What nobody wants to be told, until when, and why",
    )
    op.create_table(
        "last_success",
        sa.Column("dag_id", sa.Text, primary_key=True, comment="DAG"),
        sa.Column("run_id", sa.Text, nullable=False, comment="its newest run that succeeded"),
        _when("succeeded_at", "when that run's success was reported"),
        schema="ops",
        comment="Since when a DAG's data are as they are",
    )


def downgrade() -> None:
    """Drop the five tables."""
    for name in ("last_success", "silence", "alert_outbox", "incident", "alert_event"):
        op.drop_table(name, schema="ops")

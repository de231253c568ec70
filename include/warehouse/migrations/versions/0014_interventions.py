"""Interventions: proposals, what they did to whom, their outcomes, and the hash-chained audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"

_SCHEMA = "organism"
_STATUSES = (
    "refused",
    "shadow",
    "pending_approval",
    "approved",
    "rejected",
    "expired",
    "executing",
    "executed",
    "failed",
    "rolling_back",
    "rolled_back",
)

# What is hashed: every column but the hash itself, each with its length before it, so that no two entries look alike.
# include/organism/interventions/audit.py works the same out in Python.
_CHAIN = """
CREATE FUNCTION organism.chain_intervention_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head record;
    part text;
    body text := '';
BEGIN
    -- One writer at a time, until its transaction ends: numbers without gaps, each entry after the one it names.
    PERFORM pg_advisory_xact_lock(4017723992);
    SELECT seq, hash INTO head FROM organism.intervention_audit_head WHERE only_one;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of organism.intervention_audit is missing' USING ERRCODE = 'data_corrupted';
    END IF;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.previous := head.hash;
    FOREACH part IN ARRAY ARRAY[
        NEW.seq::text,
        to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        coalesce(NEW.intervention_id::text, ''),
        NEW.event,
        NEW.actor,
        NEW.detail::text,
        encode(NEW.previous, 'hex')
    ] LOOP
        body := body || octet_length(part)::text || ':' || part || E'\\n';
    END LOOP;
    NEW.hash := sha256(convert_to(body, 'UTF8'));
    UPDATE organism.intervention_audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END $$
"""
_FORBID = """
CREATE FUNCTION organism.forbid_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'organism.intervention_audit is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""


def _text(name: str, comment: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=default, comment=comment)


def _when(name: str, comment: str, *, nullable: bool = True, default: bool = False) -> sa.Column[object]:
    made = sa.text("now()") if default else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=made, comment=comment)


def _number(name: str, comment: str, *, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable, comment=comment)


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=True, comment=comment)


def _json(name: str, comment: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.text("'{}'::jsonb")
    return sa.Column(name, postgresql.JSONB, nullable=nullable, server_default=default, comment=comment)


def _of_intervention(comment: str) -> sa.Column[object]:
    return sa.Column(
        "intervention_id",
        sa.UUID,
        sa.ForeignKey("organism.intervention.id", ondelete="RESTRICT"),
        nullable=False,
        comment=comment,
    )


def upgrade() -> None:
    """Create the tables and the triggers."""
    _proposals()
    _people()
    _outcomes()
    _switches()
    _audit()


def _proposals() -> None:
    op.create_table(
        "intervention",
        sa.Column("id", sa.UUID, primary_key=True, comment="made from run, action, group and evidence: a rerun's own"),
        _when("measured_at", "logical time of the run that proposed it; null: a person did"),
        _text("proposed_by", "DAG or account"),
        _when("proposed_at", "when", nullable=False, default=True),
        _text("action", "type of the action"),
        _text("impact", "LOW, MEDIUM or HIGH; empty: the type is not known", default=""),
        _text("target_kind", "team, role or everyone"),
        _text("target_value", "name of the team or role; empty: everyone"),
        _json("parameters", "of the action; never a person"),
        _text("outcome", "what it is meant to change"),
        _number("expected_effect", "expected change of the outcome's mean in the group, in the outcome's unit"),
        _number("expected_low", "lower end of its 95 % interval"),
        _number("expected_high", "upper end of its 95 % interval"),
        sa.Column(
            "evidence",
            postgresql.ARRAY(sa.Text),
            nullable=False,
            server_default="{}",
            comment="ids of organism.causal_estimate",
        ),
        _text("reversible_by", "how it is undone"),
        _when("expires_at", "nothing happens after it without a decision", nullable=False),
        _text("mode", "shadow, review or live when it was proposed"),
        _text("status", "where it stands"),
        _text("reason_code", "check that refused it, or why it ended; empty: none", default=""),
        _text("reason", "the same in words", default=""),
        _count("group_size", "people in the group; null: fewer than may be told, or not counted"),
        _count("treated", "of these, people it is for; null: fewer than may be told, or not counted"),
        sa.Column("review_key", sa.Text, nullable=True, comment="the run that asks for approval; null: none has begun"),
        _text("decided_by", "account of who approved or rejected it; empty: nobody", default=""),
        _when("decided_at", "when"),
        _text("decision_note", "why, in the words of who decided", default=""),
        sa.Column(
            "fence",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="grows with each writer that takes it; one with an older number writes nothing",
        ),
        _text("executor", "run that executes or rolls back; empty: none", default=""),
        _when("lease_until", "another run may take it over after that"),
        _when("executed_at", "when it had been done"),
        _when("rolled_back_at", "when it had been undone"),
        sa.CheckConstraint(f"status in {_STATUSES}", name="intervention_status"),
        sa.CheckConstraint("target_kind in ('team', 'role', 'everyone')", name="intervention_target_kind"),
        sa.CheckConstraint("impact in ('', 'LOW', 'MEDIUM', 'HIGH')", name="intervention_impact"),
        schema=_SCHEMA,
        comment="Proposed interventions and what became of them, one row each; names no person it is for",
    )
    op.create_index("intervention_status", "intervention", ["status", "expires_at"], schema=_SCHEMA)
    op.create_index(
        "intervention_executed",
        "intervention",
        ["executed_at"],
        schema=_SCHEMA,
        postgresql_where=sa.text("executed_at is not null"),
    )


def _people() -> None:
    op.create_table(
        "intervention_member",
        _of_intervention("which intervention"),
        _text("employee_id", "person"),
        _when("created_at", "when it was fixed whom it is for", nullable=False, default=True),
        sa.PrimaryKeyConstraint("intervention_id", "employee_id"),
        schema=_SCHEMA,
        comment="People an intervention was for, fixed before it began; restricted, erased with the person",
    )
    op.create_index("intervention_member_person", "intervention_member", ["employee_id", "created_at"], schema=_SCHEMA)
    op.create_table(
        "intervention_step",
        _of_intervention("which intervention"),
        _text("employee_id", "person"),
        sa.Column("key", sa.UUID, nullable=False, unique=True, comment="idempotency key for the other system"),
        _text("system", "graph, calendar or tasks"),
        _json("captured", "what was there before; null: not looked at yet", nullable=True),
        _text("state", "planned, done or undone", default="planned"),
        _when("created_at", "when it was planned", nullable=False, default=True),
        _when("changed_at", "newest change of state"),
        sa.PrimaryKeyConstraint("intervention_id", "employee_id"),
        sa.CheckConstraint("state in ('planned', 'done', 'undone')", name="intervention_step_state"),
        sa.CheckConstraint("system in ('graph', 'calendar', 'tasks')", name="intervention_step_system"),
        schema=_SCHEMA,
        comment="What an intervention did for a person and what was there before; restricted, erased with the person",
    )


def _outcomes() -> None:
    op.create_table(
        "intervention_outcome",
        _of_intervention("which intervention"),
        _text("metric", "what was compared"),
        _when("checked_at", "when", nullable=False, default=True),
        _count("treated", "treated people with values before and after; null: fewer than may be told"),
        _count("holdout", "held-out people with values before and after; null: fewer than may be told"),
        _number("before", "mean of the treated before"),
        _number("after", "mean of the treated after"),
        _number("effect", "change of the treated minus change of the holdout; null: cannot be told"),
        _number("low", "lower end of its 95 % interval"),
        _number("high", "upper end of its 95 % interval"),
        _text("verdict", "improved, no_difference, harmful or not_measurable"),
        _text("reason", "why", default=""),
        sa.PrimaryKeyConstraint("intervention_id", "metric"),
        sa.CheckConstraint(
            "verdict in ('improved', 'no_difference', 'harmful', 'not_measurable')", name="intervention_outcome_verdict"
        ),
        schema=_SCHEMA,
        comment="What an intervention changed after a week, treated against held-out people",
    )


def _switches() -> None:
    op.create_table(
        "intervention_type",
        sa.Column("action", sa.Text, primary_key=True, comment="type of the action"),
        _when("disabled_at", "since when no such action is proposed or executed; null: it may be"),
        _text("disabled_by", "DAG or account; empty: nobody", default=""),
        _text("reason", "why", default=""),
        schema=_SCHEMA,
        comment="Types of actions that were switched off or on again",
    )
    switch = op.create_table(
        "intervention_switch",
        sa.Column("only_one", sa.Boolean, primary_key=True, server_default="true", comment="there is one row"),
        sa.Column("enabled", sa.Boolean, nullable=False, comment="false: nothing is executed"),
        _when("changed_at", "when", nullable=False, default=True),
        _text("changed_by", "account", default=""),
        _text("reason", "why", default=""),
        sa.CheckConstraint("only_one", name="intervention_switch_only_one"),
        schema=_SCHEMA,
        comment="The kill switch in the database; without its row nothing is executed",
    )
    op.bulk_insert(switch, [{"only_one": True, "enabled": True}])


def _audit() -> None:
    op.create_table(
        "intervention_audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 without gaps"),
        _when("at", "the server's clock", nullable=False),
        sa.Column("intervention_id", sa.UUID, nullable=True, comment="what it is about; null: all of them"),
        _text("event", "what happened"),
        _text("actor", "DAG, run or account"),
        _json("detail", "figures and codes; never a person an action is for"),
        sa.Column("previous", sa.LargeBinary, nullable=False, comment="hash of the entry before"),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256 of all other columns"),
        schema=_SCHEMA,
        comment="What was proposed, decided, done and undone, by whom; append-only, each entry has the hash before it",
    )
    op.create_index("intervention_audit_of", "intervention_audit", ["intervention_id", "seq"], schema=_SCHEMA)
    head = op.create_table(
        "intervention_audit_head",
        sa.Column("only_one", sa.Boolean, primary_key=True, server_default="true", comment="there is one row"),
        sa.Column("seq", sa.BigInteger, nullable=False, comment="number of the newest entry"),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="its hash; 32 zero bytes before the first"),
        sa.CheckConstraint("only_one", name="intervention_audit_head_only_one"),
        schema=_SCHEMA,
        comment="Newest entry of the audit, so that one removed from its end is missed",
    )
    op.bulk_insert(head, [{"only_one": True, "seq": 0, "hash": bytes(32)}])
    # A colon would begin a parameter.
    op.execute(sa.text(_CHAIN.replace(":", r"\:")))
    op.execute(sa.text(_FORBID))
    op.execute(
        "CREATE TRIGGER chain BEFORE INSERT ON organism.intervention_audit"
        " FOR EACH ROW EXECUTE FUNCTION organism.chain_intervention_audit()"
    )
    op.execute(
        "CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE ON organism.intervention_audit"
        " FOR EACH ROW EXECUTE FUNCTION organism.forbid_audit_change()"
    )
    op.execute(
        "CREATE TRIGGER forbid_truncate BEFORE TRUNCATE ON organism.intervention_audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION organism.forbid_audit_change()"
    )


def downgrade() -> None:
    """Drop everything."""
    for table in ("outcome", "step", "member", "type", "switch", "audit", "audit_head"):
        op.drop_table(f"intervention_{table}", schema=_SCHEMA)
    op.drop_table("intervention", schema=_SCHEMA)
    op.execute("DROP FUNCTION organism.chain_intervention_audit()")
    op.execute("DROP FUNCTION organism.forbid_audit_change()")

"""Burnout assessments, and what the causal analysis says about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
SCHEMA = "organism"


def _text(name: str, comment: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, comment=comment)


def _key(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True, comment=comment)


def _texts(name: str, comment: str) -> sa.Column[list[str]]:
    return sa.Column(name, postgresql.ARRAY(sa.Text), nullable=False, server_default="{}", comment=comment)


def _number(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=True, comment=comment)


def _count(name: str, comment: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def _json(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB, nullable=False, server_default="{}", comment=comment)


def _when(name: str, comment: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "burnout_assessment",
        _key("employee_id", "the person, as in the graph"),
        _key("instrument", "name of the questionnaire; scores of different ones do not compare"),
        sa.Column("assessed_on", sa.Date, primary_key=True, comment="day of the answer"),
        _number("score", "0 (none) to 100; null: consent is withdrawn"),
        sa.Column("consent", sa.Boolean, nullable=False, comment="whether the person agreed to this use"),
        _text("run_id", "the load that wrote the row last"),
        _when("loaded_at", "when that was", now=True),
        sa.CheckConstraint("consent = (score is not null)", name="burnout_assessment_consent"),
        sa.CheckConstraint("score between 0 and 100", name="burnout_assessment_score"),
        schema=SCHEMA,
        comment="What people answered to a questionnaire, with their consent; restricted: single people's data",
    )
    op.create_index("burnout_assessment_day", "burnout_assessment", ["assessed_on"], schema=SCHEMA)
    op.create_table(
        "assessment_rejection",
        _key("run_id", "Airflow's run id"),
        sa.Column(
            "row_number",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="row of the file, the header being row 1 of a CSV; item of the list of a JSON",
        ),
        _key("field", "field at fault; empty: the row as a whole"),
        _key("code", "short reason, for counting"),
        _text("reason", "plain sentence without any value of the row"),
        _when("created_at", "when the row was refused", now=True),
        schema=SCHEMA,
        comment="Rows that organism_load_assessments refused; no personal data, the file itself has the values",
    )
    _create_estimates()


def _create_estimates() -> None:
    op.create_table(
        "causal_estimate",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="counts up"),
        _when("measured_at", "logical time of the run; a repeated run replaces its rows"),
        _text("run_id", "Airflow's run id"),
        _text("outcome", "what is explained"),
        _text("treatment", "what is varied"),
        _texts("confounders", "what is held fixed"),
        _json("specification", "everything that was asked for, with its version"),
        _text("specification_hash", "SHA-256 of the specification"),
        _text("inputs_hash", "SHA-256 of the panel; the same rows in any order give the same"),
        _text("engine", "local or spark, with its version"),
        _text("design", "how the effect is identified, in words"),
        _text("verdict", "supported, suggestive, not identified or refused"),
        _texts("reasons", "codes of what speaks against it"),
        _texts("words", "the same in plain words"),
        _texts("assumptions", "what has to be true for the estimate to be an effect"),
        _number("estimate", "change of the outcome per unit of the treatment; null: refused"),
        _number("std_error", "its cluster-robust standard error"),
        _number("ci_low", "lower end of the 95 % interval"),
        _number("ci_high", "upper end of the 95 % interval"),
        _number("p_value", "two-sided, of no effect"),
        _number("q_value", "the same after Benjamini and Hochberg's correction over the run's estimates"),
        _count("n", "rows of the panel", nullable=True),
        _count("clusters", "people, by whom errors are clustered", nullable=True),
        _count("periods", "periods of the panel", nullable=True),
        _number("naive_estimate", "pooled regression without fixed effects, for contrast only"),
        _number("naive_std_error", "its cluster-robust standard error"),
        _number("second_estimate", "double machine learning on the within-transformed panel"),
        _number("second_std_error", "its standard error"),
        _number("placebo_p", "p value of a treatment that cannot have worked"),
        _number("lead_p", "joint p value of next periods' treatment"),
        _number("robustness_value", "share of the residual variances a confounder must explain to undo the estimate"),
        sa.Column("overlap_ok", sa.Boolean, nullable=True, comment="whether people's treatment varies enough in time"),
        _count("runs_of_this_sign", "refreshes in a row, this one included, whose estimate had this sign"),
        _json("diagnostics", "everything else: event study, variation, sensitivity, inputs"),
        _when("created_at", "when the row was written", now=True),
        sa.UniqueConstraint("measured_at", "specification_hash", "treatment", name="causal_estimate_once"),
        sa.CheckConstraint(
            "verdict in ('supported', 'suggestive', 'not identified', 'refused')", name="causal_estimate_verdict"
        ),
        sa.CheckConstraint("(verdict = 'refused') = (estimate is null)", name="causal_estimate_refused"),
        schema=SCHEMA,
        comment="Answers of the causal analysis, one row a treatment and run; refusals too",
    )
    op.create_table(
        "causal_counterfactual",
        sa.Column(
            "estimate_id",
            sa.BigInteger,
            sa.ForeignKey("organism.causal_estimate.id", ondelete="cascade"),
            primary_key=True,
            comment="the estimate it rests on",
        ),
        _key("scenario", "what would be done, e.g. meeting_cap_50"),
        _json("change", "the change of the treatment it means"),
        _count("people", "people whose treatment would change"),
        _number("baseline_mean", "mean outcome of all people in the newest period"),
        _number("new_mean", "the same under the scenario"),
        _number("delta", "new minus baseline"),
        _number("ci_low", "lower end of the 95 % interval of delta"),
        _number("ci_high", "upper end of the 95 % interval of delta"),
        schema=SCHEMA,
        comment="What an estimate means for a change that could be made",
    )
    op.create_table(
        "causal_report",
        sa.Column("measured_at", sa.DateTime(timezone=True), primary_key=True, comment="logical time of the run"),
        _key("name", "index.html, or a picture"),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="the file"),
        _when("created_at", "when it was written", now=True),
        schema=SCHEMA,
        comment="Pages and pictures of the causal analysis; groups of the minimum size only",
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "causal_report",
        "causal_counterfactual",
        "causal_estimate",
        "assessment_rejection",
        "burnout_assessment",
    ):
        op.drop_table(name, schema=SCHEMA)

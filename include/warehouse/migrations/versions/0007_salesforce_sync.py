"""The Salesforce sync: where each object stands, its runs, what was refused, what waits for a parent."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from include.warehouse.schema import ensure_schema

revision = "0007"
down_revision = "0006"

STAGING = "vms_stage"


def column(name: str, kind: Any, comment: str, **more: Any) -> sa.Column[Any]:
    """Return a column with its comment."""
    return sa.Column(name, kind, comment=comment, **more)


def stamp(name: str, comment: str, **more: Any) -> sa.Column[Any]:
    """Return a point in time."""
    return column(name, sa.DateTime(timezone=True), comment, **more)


def count(name: str, comment: str) -> sa.Column[Any]:
    """Return a number that starts at 0."""
    return column(name, sa.BigInteger, comment, nullable=False, server_default="0")


def upgrade() -> None:
    """Create the tables."""
    for name in ("vms", STAGING):
        ensure_schema(op.get_bind(), name)
    op.create_table(
        "sync_state",
        column("object", sa.Text, "sync, e.g. schools", primary_key=True),
        column("epoch", sa.BigInteger, "fencing number of the writer", nullable=False, server_default="0"),
        column("holder", sa.Text, "run that writes"),
        stamp("lease_until", "until when it holds the right to"),
        stamp("watermark", "everything the source changed before is here (SystemModstamp, the source's clock)"),
        stamp("deleted_until", "deletions are known until then (getDeleted)"),
        stamp("swept_at", "last comparison of all ids"),
        stamp("formulas_at", "last refresh of calculated fields"),
        stamp("succeeded_at", "last run that moved the watermark"),
        stamp("last_full_at", "last full run that ended well"),
        column("describe_hash", sa.Text, "of the source's fields at the last run"),
        column("phase", sa.Text, "of the run under way: extracting, extracted, validated, refused; null: none"),
        column("request", postgresql.JSONB, "what that run was asked for"),
        stamp("window_from", "its window, from; null: the beginning"),
        stamp("window_to", "its window, to (exclusive)"),
        column("api", sa.Text, "rest or bulk"),
        column("job_id", sa.Text, "its Bulk job"),
        stamp("job_created_at", "when that was made, by the source's clock"),
        column("locator", sa.Text, "next page of the job; committed with the page before"),
        column("pages", sa.Integer, "pages staged", nullable=False, server_default="0"),
        column("staged_rows", sa.BigInteger, "rows staged with them", nullable=False, server_default="0"),
        column("attempts", sa.Integer, "tries to go on with it", nullable=False, server_default="0"),
        schema="ops",
        comment="Where each Salesforce sync stands; checkpoint and watermark are committed with the rows",
    )
    op.create_table(
        "sync_run",
        column("object", sa.Text, "sync", primary_key=True),
        column("run_id", sa.Text, "Airflow run, or the command", primary_key=True),
        column("mode", sa.Text, "incremental, full or records", nullable=False),
        column("dry_run", sa.Boolean, "nothing was written", nullable=False, server_default="false"),
        stamp("started_at", "begin", nullable=False, server_default=sa.func.now()),
        stamp("finished_at", "end; null: under way, or its process died"),
        column("outcome", sa.Text, "success, or what stopped it: refused, failed; null: under way"),
        stamp("window_from", "window, from"),
        stamp("window_to", "window, to (exclusive)"),
        column("api", sa.Text, "rest or bulk"),
        column("api_reason", sa.Text, "why that one"),
        count("read", "rows read"),
        count("inserted", "new rows"),
        count("updated", "changed rows"),
        count("unchanged", "rows that were as they should be"),
        count("deleted", "rows marked as deleted"),
        count("restored", "rows no longer deleted"),
        count("merged", "records that went into another one"),
        count("left_filter", "records that no longer belong to the object"),
        count("rejected", "rows in quarantine"),
        count("flagged", "data-quality flags opened"),
        count("pending", "references that wait for a parent"),
        count("orphaned", "of those, given up: their parent did not come in 10 runs"),
        count("repaired", "rows that reconciliation found wrong and mended"),
        count("api_calls", "calls to Salesforce"),
        column("api_used", sa.Integer, "of the org's daily calls after the run"),
        column("api_limit", sa.Integer, "the org's daily calls"),
        column("reconciled", postgresql.JSONB, "counts and checksums of both sides"),
        column("notes", postgresql.JSONB, "what a person should know", nullable=False, server_default="[]"),
        schema="ops",
        comment="One row for each run of a Salesforce sync",
    )
    op.create_index("sync_run_started", "sync_run", ["started_at"], schema="ops")
    op.create_table(
        "source_field",
        column("object", sa.Text, "sync", primary_key=True),
        column("field", sa.Text, "API name", primary_key=True),
        column("type", sa.Text, "of Salesforce", nullable=False),
        column("length", sa.Integer, "characters, or digits", nullable=False),
        column("scale", sa.Integer, "digits after the point", nullable=False, server_default="0"),
        column("calculated", sa.Boolean, "a formula: changes without a new modstamp", nullable=False),
        column("picklist", postgresql.JSONB, "values it offers; null: no picklist"),
        stamp("first_seen_at", "first run that saw it", nullable=False, server_default=sa.func.now()),
        column("added_column", sa.Text, "column that was added for it; null: it was there, or is not synced"),
        stamp("backfilled_at", "when the rows that were here got its value"),
        schema="ops",
        comment="Fields of the source as last described: by it a change of the schema is seen",
    )
    op.create_table(
        "quarantine",
        column("object", sa.Text, "sync", primary_key=True),
        column("record_key", sa.Text, "Salesforce id, or a digest of a row without one", primary_key=True),
        column("reasons", postgresql.JSONB, "list of code, field, text in plain words", nullable=False),
        column("row", postgresql.JSONB, "values as the PII policy allows", nullable=False),
        stamp("system_modstamp", "of the refused version"),
        stamp("first_seen_at", "first refusal", nullable=False, server_default=sa.func.now()),
        stamp("last_seen_at", "last refusal", nullable=False, server_default=sa.func.now()),
        column("times", sa.Integer, "how often", nullable=False, server_default="1"),
        column("run_id", sa.Text, "last run that refused it", nullable=False),
        stamp("resolved_at", "when a good version came, or the record was gone; null: open"),
        schema="vms",
        comment="Rows that broke a rule, with every reason; good rows went on",
    )
    op.create_table(
        "pending_link",
        column("object", sa.Text, "sync of the child", primary_key=True),
        column("record_id", sa.Text, "the child", primary_key=True),
        column("reference", sa.Text, "column with the parent's id", primary_key=True),
        column("target_id", sa.Text, "the parent that is missing", nullable=False),
        stamp("first_seen_at", "since when", nullable=False, server_default=sa.func.now()),
        column("tries", sa.Integer, "runs that looked for it", nullable=False, server_default="0"),
        stamp("last_try_at", "last look"),
        stamp("orphaned_at", "when it was reported as an orphan, after 10 tries; null: not"),
        stamp("resolved_at", "when the parent came, or the reference went; null: open"),
        schema="vms",
        comment="References whose parent is not here yet",
    )
    op.create_index("pending_link_target", "pending_link", ["target_id"], schema="vms")
    op.create_table(
        "record_alias",
        column("alias_id", sa.Text, "id of the record that was merged away", primary_key=True),
        column("sobject", sa.Text, "API name of the object", nullable=False),
        column("master_id", sa.Text, "record it went into", nullable=False),
        stamp("merged_at", "modstamp of the merge", nullable=False),
        stamp("applied_at", "when references to it were turned to the master; null: not yet"),
        schema="vms",
        comment="Merged records: references to the alias mean the master",
    )
    op.create_index("record_alias_master", "record_alias", ["master_id"], schema="vms")
    op.create_table(
        "data_quality_flag",
        column("object", sa.Text, "sync", primary_key=True),
        column("record_id", sa.Text, "Salesforce id", primary_key=True),
        column("issue_type", sa.Text, "e.g. all_caps_name", primary_key=True),
        column("field", sa.Text, "API name of the field", primary_key=True),
        column("details", sa.Text, "in plain words, without values of persons", nullable=False),
        column("severity", sa.Text, "info, warning or error", nullable=False),
        column("status", sa.Text, "open, dismissed, fixed_in_sf or auto_fixed", nullable=False, server_default="open"),
        column("times", sa.Integer, "how often it was opened", nullable=False, server_default="1"),
        stamp("created_at", "first seen", nullable=False, server_default=sa.func.now()),
        stamp("resolved_at", "when it went"),
        column("resolved_by", sa.Text, "person, or the run"),
        column("resolution_notes", sa.Text, "why"),
        schema="vms",
        comment="Good rows with something a person should look at",
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("data_quality_flag", "record_alias", "pending_link", "quarantine"):
        op.drop_table(name, schema="vms")
    for name in ("source_field", "sync_run", "sync_state"):
        op.drop_table(name, schema="ops")
    op.execute(f"DROP SCHEMA {STAGING} CASCADE")

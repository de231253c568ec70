"""How long the rows of our own tables are kept.

They are deleted in batches of a transaction each. Only the measurements of people are partitioned
(include/organism/metric_store/layout.py): of the others the largest gets a few thousand rows a day, and a partition's
key would have to be part of every primary key that makes a repeated write harmless
(docs/decisions/0013-backups-and-retention.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from include.operations.housekeeping.settings import positive

if TYPE_CHECKING:
    import psycopg

BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of `schema.table` go when `column` is more than `days` ago; a row without a value there stays."""

    schema: str
    table: str
    column: str
    days: float

    @property
    def variable(self) -> str:
        """The environment variable that overrides `days`."""
        return f"UPKEEP_{self.table.upper()}_DAYS"

    def kept_days(self, environ: Mapping[str, str] | None = None) -> float:
        """Days, from the environment or the default."""
        given = os.environ if environ is None else environ
        return positive(given, self.variable) if given.get(self.variable) else self.days


RULES: Final = (
    Rule("ops", "run_error", "occurred_at", 90),
    Rule("ops", "task_usage", "started_at", 60),
    Rule("ops", "graph_update", "created_at", 365),
    Rule("ops", "alert_event", "created_at", 90),
    Rule("ops", "alert_outbox", "sent_at", 30),
    Rule("ops", "incident", "recovered_at", 365),
    Rule("ops", "silence", "until", 365),
    Rule("ops", "warning_episode", "ended_at", 365),
    Rule("ops", "backup", "removed_at", 365),
    Rule("ops", "sync_run", "started_at", 365),
    Rule("organism", "roster_rejection", "created_at", 90),
    Rule("organism", "metric_work", "created_at", 1),
    Rule("organism", "assessment_rejection", "created_at", 90),
    Rule("organism", "causal_estimate", "created_at", 730),
    Rule("organism", "causal_report", "created_at", 365),
    Rule("organism", "metric_run", "measured_at", 730),
    Rule("organism", "intervention_member", "created_at", 400),
    Rule("organism", "intervention_step", "created_at", 400),
    Rule("vms", "quarantine", "resolved_at", 90),
    Rule("vms", "pending_link", "resolved_at", 90),
    Rule("vms", "data_quality_flag", "resolved_at", 365),
)


# Tables that need no rule, and why. Those of the Salesforce objects are not listed: they hold what Salesforce holds,
# and rows that are deleted there stay, marked, for what was counted with them.
KEPT: Final = {
    "ops.workflow_run": "pruned by the statistics themselves",
    "ops.workflow_stats": "pruned by the statistics themselves",
    "ops.weekly_digest": "a row a week",
    "ops.last_success": "a row a task",
    "ops.alembic_version": "one row",
    "ops.sync_state": "a row a sync",
    "ops.source_field": "a row a field",
    "organism.burnout_assessment": "history of the analysis; a person's rows go with consent or `privacy erase`",
    "organism.causal_counterfactual": "goes with its estimate",
    # Whole partitions of these go: include/organism/metric_store/retention.py.
    "organism.employee_metrics": "90 days",
    "organism.employee_metrics_hourly": "two years",
    "organism.employee_metrics_daily": "two years",
    "organism.team_metrics": "two years",
    "organism.team_cohort": "goes with what was published about it",
    "organism.privacy_choice": "holds for as long as the person does",
    "organism.privacy_request": "proof; it names nobody",
    "organism.intervention": "a few a day; the record of what was decided about groups, which names no person in them",
    "organism.intervention_outcome": "a few a day; what the next decisions rest on",
    "organism.intervention_type": "a row a type of action",
    "organism.intervention_switch": "one row",
    "organism.intervention_audit": "append-only: a chain with a missing entry proves nothing",
    "organism.intervention_audit_head": "one row",
    "vms.record_alias": "references to merged records go through it for good",
    "vms.legacy_district_alias": "six rows",
}


def prune_tables(
    connection: psycopg.Connection, environ: Mapping[str, str] | None = None, now: datetime | None = None
) -> dict[str, int]:
    """Delete what is older than its rule says; returns the rows deleted by table, without those that lost none.

    Commits after each batch, so that nobody waits for long and a kill loses nothing that was done.
    """
    moment = now or datetime.now(UTC)
    deleted = {}
    for rule in RULES:
        if count := _delete(connection, rule, moment - timedelta(days=rule.kept_days(environ))):
            deleted[f"{rule.schema}.{rule.table}"] = count
    return deleted


def _delete(connection: psycopg.Connection, rule: Rule, before: datetime) -> int:
    from psycopg import sql

    statement = sql.SQL(
        "delete from {table} where ctid = any(array(select ctid from {table} where {column} < %s limit %s))"
    ).format(
        table=sql.Identifier(rule.schema, rule.table),
        column=sql.Identifier(rule.column),
    )
    total = 0
    while True:
        count = connection.execute(statement, [before, BATCH]).rowcount
        connection.commit()
        total += count
        if count < BATCH:
            return total

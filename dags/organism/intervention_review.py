"""Asks a named person about one proposed intervention, and executes it when they approve.

| task | what it does |
|---|---|
| `ask_for_approval` | waits in state `awaiting_input` for one of the assigned accounts, until the proposal expires |
| `execute_intervention` | all checks and the kill switch again, then the action, once; skipped if not approved |
| `report_intervention` | tells by the alert channels what became of it |

One run for each proposal: `organism_full_analysis` starts them, for a proposal of your own `trigger` does.
No answer in time is no approval. Who decided, when and why is in `organism.intervention` and its audit.
When a run fails, nothing was done and nobody is asked any more while the proposal is `pending_approval`; otherwise
its action may be half done until `organism_intervention_outcomes` undoes it. See `docs/runbooks/interventions.md`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism.interventions import tasks
from include.organism.interventions.review_operator import ReviewOperator

PARAMS = {
    "intervention": Param(type="string", format="uuid", description="Id of the proposal (`interventions list`)"),
}
DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "interventions"],
    task_timeout=timedelta(minutes=30),
    # A proposal may wait for a week.
    run_timeout=timedelta(days=7, hours=4),
    # They wait for people, without a worker; one that cannot begin would expire unseen.
    max_active_runs=100,
)


@dag(dag_id=tasks.REVIEW, schedule=None, doc_md=__doc__, params=PARAMS, **DEFAULTS)
def organism_intervention_review() -> None:
    """Wire the three steps."""
    asked = ReviewOperator.made()
    done = resilient_task(pool="organism_graph", task_id="execute_intervention")(tasks.execute)()
    # Also of what was not approved.
    told = resilient_task(task_id="report_intervention", trigger_rule="none_failed")(tasks.report)()
    asked >> done >> told


organism_intervention_review()

"""Looks every day at what interventions changed, undoes what harmed, and verifies the audit.

| task | what it does |
|---|---|
| `settle` | proposals that nobody decided in time expire; executions that no run goes on with are undone |
| `check_outcomes` | a week after an action: treated against held-out people, difference-in-differences with interval |
| `roll_back_harmful` | restores what was there before; types of actions that harmed repeatedly are switched off |
| `verify_audit` | works out every hash of the audit again and leaves its head in the log |

What counts as harm is a rule of the type of action: `docs/interventions.md`. Repeating a run changes nothing.
When a run fails, harmful actions may stay in force, and interventions wait to be undone: see
`docs/runbooks/interventions.md`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism.interventions import tasks

DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "interventions"],
    task_timeout=timedelta(minutes=30),
    run_timeout=timedelta(hours=3),
)
# The graph's writers share this pool's one slot.
WRITER = "organism_graph"


@dag(dag_id="organism_intervention_outcomes", schedule="30 5 * * *", doc_md=__doc__, **DEFAULTS)
def organism_intervention_outcomes() -> None:
    """Wire settling, checking and undoing; the audit is verified whatever becomes of them."""
    settled = resilient_task(pool=WRITER)(tasks.settle)()
    checked = resilient_task(tasks.check_outcomes)()
    undone = resilient_task(pool=WRITER)(tasks.roll_back_harmful)()
    settled >> checked >> undone
    resilient_task(tasks.verify_audit)()


organism_intervention_outcomes()

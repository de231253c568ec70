"""Loads people, teams, managers, leave and opt-out flags into the people graph, from CSV or JSON.

Give either `path`, a file the workers can read, or `inline`, its text or a JSON list. `path` is better for real people:
what is given inline stays in Airflow's database as the run's configuration.

| field | meaning |
|---|---|
| `id` | as in the interactions; required |
| `name`, `team`, `role` | text; empty clears it |
| `manager_id` | id of the manager; empty means none |
| `is_manager`, `on_leave`, `opted_out` | true/false, yes/no, 1/0; empty leaves the flag as it is |

A column that the file lacks leaves what the graph has, and people whom it lacks stay. Refused rows never keep the good
ones back: their rows, codes and reasons are in the task's result and in `organism.roster_rejection`, without any value.
A manager nobody knows, or one that would close a cycle of managers, is such a reason. Loading again changes nothing.

When a run fails, the graph keeps the people it had; mend what the message names and load the file again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism import tasks_roster

PARAMS = {
    "path": Param(None, type=["null", "string"], minLength=1, description="File to load"),
    "inline": Param(None, type=["null", "string", "array"], description="The roster itself: text, or a JSON list"),
    "format": Param("auto", type="string", enum=["auto", "csv", "json"], description="How it is written"),
    "dry_run": Param(False, type="boolean", description="Check and count, but leave the graph alone"),
}
DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "graph", "roster"],
    task_timeout=timedelta(minutes=15),
    run_timeout=timedelta(hours=1),
)


@dag(dag_id="organism_load_roster", schedule=None, doc_md=__doc__, params=PARAMS, **DEFAULTS)
def organism_load_roster() -> None:
    """Wire the one step."""
    resilient_task(pool="organism_graph", object_name="roster")(tasks_roster.load_roster)()


organism_load_roster()

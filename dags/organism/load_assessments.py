"""Loads burnout assessments, the outcome of the causal analysis, from CSV or JSON.

Give either `path`, a file the workers can read, or `inline`, its text or a JSON list (over the REST API, too). `path`
is better for real people: what is given inline stays in Airflow's database as the run's configuration.

| field | also named | meaning |
|---|---|---|
| `id` | employee_id, emp_id, person_id | the person, as in the roster and the interactions |
| `date` | assessed_at, assessed_on, day | day of the answer, like 2026-01-31 |
| `score` | burnout, burnout_score, value | 0 (none) to 100 |
| `instrument` | questionnaire, scale | name of the questionnaire |
| `consent` | consented | true/false, yes/no, 1/0: whether the person agreed to this use. There is no default |

Without consent no score is kept, and the person's earlier scores of that questionnaire are deleted. Refused rows never
keep the good ones back: their rows, codes and reasons are in the task's result and in `organism.assessment_rejection`,
without any value. Loading again changes nothing.

When a run fails, nothing of the file was written; mend what the message names and load it again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task
from include.organism import tasks_assessments

PARAMS = {
    "path": Param(None, type=["null", "string"], minLength=1, description="File to load"),
    "inline": Param(None, type=["null", "string", "array"], description="The rows themselves: text, or a JSON list"),
    "format": Param("auto", type="string", enum=["auto", "csv", "json"], description="How it is written"),
}
DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism", "causal"],
    task_timeout=timedelta(minutes=15),
    run_timeout=timedelta(hours=1),
)


@dag(dag_id="organism_load_assessments", schedule=None, doc_md=__doc__, params=PARAMS, **DEFAULTS)
def organism_load_assessments() -> None:
    """Wire the one step."""
    resilient_task(object_name="assessments")(tasks_assessments.load_assessments)()


organism_load_assessments()

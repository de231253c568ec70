"""The keyword arguments every DAG of this repository starts from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypedDict

from include.operations.callbacks import report_failure, report_success
from include.operations.retry import retry_arguments

# The tags a DAG may carry: the domain first, then what it touches. The policy test holds DAGs to this list.
DOMAINS: Final = frozenset({"organism", "vms", "operations"})
SUBJECTS: Final = frozenset(
    {"stream", "graph", "roster", "metrics", "causal", "interventions", "salesforce", "sheets", "upkeep"}
)
ALLOWED_TAGS: Final = DOMAINS | SUBJECTS

# Fixed and past: a start date that moves would make a new DAG version at every parse.
_START: Final = datetime(2025, 1, 1, tzinfo=UTC)

# The wait after a kill or a lost heartbeat, of which the retry policy never hears. Airflow's own 5 minutes would miss
# a whole run of the 5-minute pipeline.
KILLED_RETRY_DELAY: Final = timedelta(seconds=15)


class DagDefaults(TypedDict):
    """Arguments of `airflow.sdk.dag`."""

    start_date: datetime
    catchup: bool
    max_active_runs: int
    dagrun_timeout: timedelta
    tags: list[str]
    on_failure_callback: Callable[..., None]
    on_success_callback: Callable[..., None]
    default_args: dict[str, Any]


def dag_defaults(
    *,
    owner: str,
    tags: list[str],
    task_timeout: timedelta,
    run_timeout: timedelta,
    max_active_runs: int = 1,
    last_chance: timedelta | None = None,
) -> DagDefaults:
    """Return what every DAG is given: `@dag(schedule=..., doc_md=__doc__, **dag_defaults(...))`.

    `task_timeout` ends one try of a task, `run_timeout` the whole run with its waits between tries. The failure
    callback hangs on the tasks and on the DAG, because Airflow does not call the task's when a process is killed; the
    success callback on the DAG alone, because incidents end by good runs.
    `last_chance` gives a task whose retries a transient error has used up one more try after so long a pause.
    """
    if unknown := sorted(set(tags) - ALLOWED_TAGS):
        raise ValueError(f"tags {unknown} are not in ALLOWED_TAGS of include/operations/dag_defaults.py")
    return DagDefaults(
        start_date=_START,
        catchup=False,
        max_active_runs=max_active_runs,
        dagrun_timeout=run_timeout,
        tags=tags,
        on_failure_callback=report_failure,
        on_success_callback=report_success,
        default_args={
            "owner": owner,
            **retry_arguments(last_chance=last_chance),
            # Of a killed process there is no exception to ask the policy about.
            "retry_delay": KILLED_RETRY_DELAY,
            "execution_timeout": task_timeout,
            "on_failure_callback": report_failure,
        },
    )

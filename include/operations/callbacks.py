"""What happens when a task or a run fails for good: one structured ERROR line that holds no message text."""

from __future__ import annotations

import logging
from typing import Any

from include.operations.errors import classify
from include.operations.log import log_event

log = logging.getLogger(__name__)


def log_failure(context: dict[str, Any]) -> None:
    """Log a failed task or run: where it was, what class of error, and what to do. For both kinds of callback.

    Airflow calls the task's callback in the task's process, and the run's in the DAG processor without an exception;
    after a lost heartbeat it calls the task's twice and without one. So everything may be missing here.
    """
    exception = context.get("exception")
    task_instance = context.get("task_instance") or context.get("ti")
    # Airflow gives a reason only to the run's callback, whose context carries some task of the run, not the cause.
    of_task = "reason" not in context
    found = classify(exception) if isinstance(exception, BaseException) else None
    run = context.get("dag_run")
    fields: dict[str, object] = {
        "dag": getattr(context.get("dag"), "dag_id", None) or getattr(run, "dag_id", None),
        "run": context.get("run_id") or getattr(run, "run_id", None),
        "task": getattr(task_instance, "task_id", None) if of_task else None,
        "map_index": getattr(task_instance, "map_index", None) if of_task else None,
        "try": getattr(task_instance, "try_number", None) if of_task else None,
        "reason": context.get("reason"),
    }
    if found is not None:
        fields |= {
            "error_class": found.error_class,
            "code": found.code,
            "transient": found.transient,
            "exception": found.exception,
            "fingerprint": found.fingerprint,
            "what_to_do": found.what_to_do,
        }
    else:
        fields["what_to_do"] = "Open the run in Airflow and read the log of its failed task."
    log_event(log, "task_failed" if of_task else "run_failed", level=logging.ERROR, **fields)

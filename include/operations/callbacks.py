"""What happens when a task or a run ends: failures are logged and told, good runs end incidents.

Airflow calls a task's callback in the task's process and holds the task up for it; a run's callback in the DAG
processor, without an exception. After a kill only the run's callback comes; after a lost heartbeat the task's comes
twice and without an exception. So a failure may be reported several times, and anything may be missing from a report.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.operations.errors import classify
from include.operations.log import log_event

if TYPE_CHECKING:
    from include.operations.alerts import Problem

log = logging.getLogger(__name__)


def report_failure(context: dict[str, Any]) -> None:
    """Log a failed task or run and tell it. For both kinds of callback; takes at most 5 s and never raises."""
    try:
        log_failure(context)
        problem = _problem(context)
    except Exception as error:  # noqa: BLE001 - a context nobody has seen yet must not hide the failure itself
        log_event(log, "failure_not_reported", level=logging.ERROR, exception=type(error).__name__)
        return
    from include.operations.alerts import raise_problem

    raise_problem(problem)


def report_success(context: dict[str, Any]) -> None:
    """Count a good run, for the DAG's callback; the second in a row ends its incidents. Never raises."""
    # A run whose every task was skipped counts as a success in Airflow, which then names no task that succeeded.
    # Nothing was done in it, so it proves nothing.
    if (context.get("task_instance") or context.get("ti")) is None:
        return
    from include.operations.alerts import note_success

    run = context.get("dag_run")
    note_success(_dag_id(context), _run_id(context), getattr(run, "clear_number", None) or 0)


def log_failure(context: dict[str, Any]) -> None:
    """Write one structured ERROR line without message text: where it was, what class of error, and what to do."""
    exception = context.get("exception")
    task_instance = context.get("task_instance") or context.get("ti")
    # Airflow gives a reason only to the run's callback, whose context carries some task of the run, not the cause.
    of_task = "reason" not in context
    found = classify(exception) if isinstance(exception, BaseException) else None
    fields: dict[str, object] = {
        "dag": _dag_id(context) or None,
        "run": _run_id(context) or None,
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


def _problem(context: dict[str, Any]) -> Problem:
    from include.operations.alerts import failures

    task_instance = context.get("task_instance") or context.get("ti")
    where = failures.Where(
        dag_id=_dag_id(context),
        run_id=_run_id(context),
        task_id=getattr(task_instance, "task_id", None) or "",
        map_index=_number(getattr(task_instance, "map_index", None), -1),
        try_number=_number(getattr(task_instance, "try_number", None), 0),
        max_tries=_number(getattr(task_instance, "max_tries", None), 0),
        clear_number=_number(getattr(context.get("dag_run"), "clear_number", None), 0),
        log_url=str(getattr(task_instance, "log_url", None) or ""),
        doc=str(getattr(context.get("dag"), "doc_md", None) or ""),
        owner=str(getattr(getattr(task_instance, "task", None), "owner", None) or ""),
        version=str(getattr(context.get("dag_run"), "bundle_version", None) or ""),
    )
    if "reason" in context:
        return failures.of_run(where, str(context["reason"] or ""))
    exception = context.get("exception")
    return failures.of_task(where, exception if isinstance(exception, BaseException) else None)


def _dag_id(context: dict[str, Any]) -> str:
    return getattr(context.get("dag"), "dag_id", None) or getattr(context.get("dag_run"), "dag_id", None) or ""


def _run_id(context: dict[str, Any]) -> str:
    return context.get("run_id") or getattr(context.get("dag_run"), "run_id", None) or ""


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default

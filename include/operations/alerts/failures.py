"""Failures of tasks, runs and DAG files as problems to tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from include.operations import context as task_context
from include.operations import run_errors
from include.operations.alerts.links import airflow_url
from include.operations.alerts.problem import Kind, Problem, digest_of
from include.operations.error_rules import ErrorClass
from include.operations.errors import PipelineError, classify

WORDS: Final[dict[str, str]] = {
    ErrorClass.AUTH: "login or right refused",
    ErrorClass.RATE_LIMIT: "rate limit reached",
    ErrorClass.NETWORK: "server not reached",
    ErrorClass.DATABASE: "database in trouble",
    ErrorClass.VALIDATION: "input or configuration refused",
    ErrorClass.TIMEOUT: "took too long",
    ErrorClass.UNKNOWN: "unexpected error",
}
# By the reason Airflow gives to a run's callback: class, code, what happened, what to do.
_OF_RUN: Final[dict[str, tuple[str, str, str, str]]] = {
    "timed_out": (
        ErrorClass.TIMEOUT,
        "DAGRUN_TIMEOUT",
        "run took longer than its limit and was ended",
        "See in the run's grid which task waited or ran at the end; mend that one, or raise the DAG's run_timeout.",
    ),
    "all_tasks_deadlocked": (
        ErrorClass.UNKNOWN,
        "DEADLOCKED",
        "no task of the run can start any more",
        "Look at the states of the tasks and their trigger rules; clear the first one that is stuck.",
    ),
}
_LOST: Final = (
    ErrorClass.UNKNOWN,
    run_errors.LOST,
    "process ended without an error: killed, out of memory or its host gone",
    "Look for memory running out, a host that went away or a restart of the scheduler at that time; then clear it.",
)
# The sentence of a DAG's documentation that says what its failure means.
_IMPACT: Final = re.compile(r"^When a run fails,\s*(.+?)(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Where:
    """Where something failed, as far as Airflow says."""

    dag_id: str
    run_id: str
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    max_tries: int = 0
    clear_number: int = 0
    log_url: str = ""
    doc: str = ""
    """The DAG's documentation."""
    owner: str = ""
    version: str = ""


def of_task(where: Where, error: BaseException | None) -> Problem:
    """A task failed for good. Without an error its process was lost."""
    name = f"{where.dag_id}.{where.task_id}" + (f"[{where.map_index}]" if where.map_index >= 0 else "")
    detail = (f"try {where.try_number}/{where.max_tries + 1}, will not be retried",)
    if error is None:
        error_class, code, what, what_to_do = _LOST
        fingerprint, excerpt, about, cause = "process-lost", "", "", ("", "")
        title = f"{name} failed: {what}"
    else:
        found = classify(error)
        error_class, code, what_to_do, fingerprint = (
            found.error_class,
            found.code,
            found.what_to_do,
            found.fingerprint,
        )
        fields = task_context.of(error)
        about = str(fields.get("object") or "")
        service = f", {found.service}" if found.service else ""
        title = f"{name} failed: {WORDS[error_class]} ({code}{service})"
        excerpt = run_errors.message(error, found)
        cause = error.cause if isinstance(error, PipelineError) else ("", "")
    return Problem(
        kind=Kind.TASK_FAILED,
        title=title,
        dag_id=where.dag_id,
        run_id=where.run_id,
        task_id=where.task_id,
        map_index=where.map_index,
        try_number=where.try_number,
        error_class=error_class,
        code=code,
        fingerprint=fingerprint,
        object=about,
        detail=detail,
        impact=impact_of(where.doc),
        what_to_do=what_to_do,
        excerpt=excerpt,
        runbook=f"task-failed#{error_class.lower().replace('_', '-')}" if error else "process-lost",
        links=_links(where),
        owner=where.owner,
        version=where.version,
        cause=cause,
    )


def of_run(where: Where, reason: str) -> Problem:
    """A run failed. When one of its tasks has told why, this adds nothing; else nothing but this tells it.

    For the reason `task_failure` Airflow names the task that failed last. No error of it is known then: had there been
    one, the task's own callback would have told it before.
    """
    error_class, code, what, what_to_do = _OF_RUN.get(reason, _LOST)
    timed_out = reason == "timed_out"
    task = f"task {where.task_id}'s " if where.task_id and reason not in _OF_RUN else ""
    return Problem(
        kind=Kind.RUN_FAILED,
        title=f"{where.dag_id} failed: {task}{what}",
        dag_id=where.dag_id,
        run_id=where.run_id,
        # A run that is cleared and fails again is a new event.
        try_number=where.clear_number,
        error_class=error_class,
        code=code,
        fingerprint=code.lower().replace("_", "-"),
        detail=("the run will not be repeated by itself",),
        impact=impact_of(where.doc),
        what_to_do=what_to_do,
        runbook="run-timed-out" if timed_out else "process-lost",
        links=_links(where),
        owner=where.owner,
        version=where.version,
    )


def of_import(filename: str, stacktrace: str, *, minute: str) -> Problem:
    """A DAG file cannot be imported. `filename` is its path below the folder of DAGs; `minute` tells reports apart."""
    last = next((line.strip() for line in reversed(stacktrace.splitlines()) if line.strip()), "")
    name = re.match(r"[A-Za-z_][\w.]*(?=:|$)", last)
    code = name[0].rpartition(".")[2] if name else "ImportError"
    base = airflow_url()
    return Problem(
        kind=Kind.IMPORT_ERROR,
        title=f"{filename} cannot be imported: {code}",
        # Of no DAG: which ones the file holds is not known any more.
        run_id=f"{filename} {minute}",
        error_class=ErrorClass.UNKNOWN,
        code=code,
        fingerprint=digest_of(filename)[:12],
        object=filename,
        impact="Its DAGs start no new run; runs that are active go on with the last version that could be read.",
        what_to_do="Mend the file or deploy the last good version; Airflow reads it again within seconds.",
        excerpt=last,
        runbook="import-error",
        links={"Dashboard": base} if base else {},
    )


def impact_of(doc: str) -> str:
    """What the DAG's documentation says of a failed run: the rest of its sentence `When a run fails, ...`."""
    found = _IMPACT.search(doc)
    text = " ".join(found[1].replace("`", "").split()) if found else ""
    return text[:1].upper() + text[1:]


def _links(where: Where) -> dict[str, str]:
    base = airflow_url()
    links = {"Log": where.log_url} if where.log_url and where.task_id else {}
    if base:
        dag = f"{base}/dags/{quote(where.dag_id, safe='')}"
        links |= {"Run": f"{dag}/runs/{quote(where.run_id, safe='')}", "Dashboard": dag}
    return links

"""The nightly run of all objects: starts the run of each, waits for its end, and says why it failed.

Drivers are imported inside: every parse of a DAG file imports this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from include.operations.error_rules import ErrorClass
from include.operations.errors import InputRejected, PipelineError

if TYPE_CHECKING:
    from include.vms.contracts import Connect

DAG_ID: Final = "vms_full_sync"
# Seconds between two looks at a run that lasts minutes.
_PAUSE: Final = 2.0
_CAUSE: Final = """
SELECT task_id, error_class, code, message FROM ops.run_error WHERE dag_id = %s AND run_id = %s
ORDER BY next_step = 'fail' DESC, occurred_at DESC LIMIT 1
"""


class ObjectFailed(PipelineError):  # noqa: N818 - named for what happened
    """The run of one object has failed. Class and code are those of the error that ended it; it had its retries."""

    code = "OBJECT_FAILED"

    def __init__(
        self,
        message: str,
        *,
        what_to_do: str,
        cause: tuple[str, str] = ("", ""),
        error_class: str = "",
        code: str = "",
    ) -> None:
        super().__init__(message, what_to_do=what_to_do)
        self.cause = cause
        self.error_class = ErrorClass(error_class or type(self).error_class)
        self.code = code or type(self).code

    def __reduce__(self) -> tuple[Callable[..., ObjectFailed], tuple[Any, ...]]:
        return _rebuild, (self.args[0], self.what_to_do, self.cause, self.error_class, self.code)


def _rebuild(message: str, what_to_do: str, cause: tuple[str, str], error_class: str, code: str) -> ObjectFailed:
    return ObjectFailed(message, what_to_do=what_to_do, cause=cause, error_class=error_class, code=code)


def check(conf: Mapping[str, Any] | None) -> None:
    """Refuse a run that was asked for something: it always reads everything, and writes.

    Raises:
        InputRejected: it was.
    """
    if conf:
        raise InputRejected(
            f"{DAG_ID} has no params and was given {', '.join(sorted(conf))}; nothing was synced.",
            what_to_do="Trigger it without conf; for a dry run, or one object, trigger vms_sync_<object>.",
        )


def start(name: str, run_id: str) -> NoReturn:
    """Start one object's run in full mode; another try, or clearing the task, begins the same run anew."""
    from airflow.sdk.exceptions import DagRunTriggerException

    dag_id, started = _run_of(name, run_id)
    raise DagRunTriggerException(
        trigger_dag_id=dag_id,
        dag_run_id=started,
        conf={"mode": "full"},
        reset_dag_run=True,
        skip_when_already_exists=False,
        # Airflow would fail the task without an error when the run fails.
        wait_for_completion=False,
        allowed_states=["success"],
        failed_states=["failed"],
        poke_interval=1,
        deferrable=False,
    )


def wait(
    connect: Connect, name: str, run_id: str, state_of: Callable[[str, str], str], *, pause: float = _PAUSE
) -> None:
    """Wait for the end of what `start` has started.

    Args:
        connect: opens a connection to the warehouse, which has the errors.
        name: of the object.
        run_id: of the nightly run.
        state_of: tells the state of a run by the ids of its DAG and of the run.
        pause: seconds between two looks.

    Raises:
        ObjectFailed: it failed.
    """
    dag_id, started = _run_of(name, run_id)
    while (state := state_of(dag_id, started)) not in ("success", "failed"):
        time.sleep(pause)
    if state == "success":
        return
    with connect() as conn:
        found = conn.execute(_CAUSE, (dag_id, started)).fetchone()
    task, error_class, code, said = found or ("", "", "", "it left no error: see the log of its last task")
    where = f"{task}, {code}: " if found else ""
    raise ObjectFailed(
        f"Its run {dag_id} {started} failed ({where}{said}).",
        what_to_do=f"See that run, it has the error, the log and the alert. Mend the cause, clear that run,"
        f" then clear `{name}` of this one.",
        cause=(dag_id, started),
        error_class=error_class,
        code=code,
    )


def _run_of(name: str, run_id: str) -> tuple[str, str]:
    """The ids of the DAG and of the run that a nightly run starts for an object."""
    return f"vms_sync_{name}", f"full_sync__{run_id}"

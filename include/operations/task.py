"""`resilient_task`: the one line by which a task gets its retry policy, context, error rows, usage row and metrics.

    manifest = resilient_task(pool="organism_graph", object_name="interactions")(tasks.fetch_interactions)()

It is `airflow.sdk.task` with more around the function. Timeouts, owner and alerts come from `dag_defaults`, or from the
arguments given here. A failure is always raised on: what is done about it beside is done before that, in a few seconds.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

from airflow.sdk import task
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    AirflowTaskTimeout,
    DagRunTriggerException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
    TaskDeferred,
)

from include.operations import bookkeeping, context, run_errors, usage
from include.operations.breaker import SERVICES, breaker
from include.operations.error_rules import ErrorClass
from include.operations.errors import classify
from include.operations.log import log_event
from include.operations.retry import next_try_in, retry_arguments

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import Task

    from include.operations.usage import Meter

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

# The try goes on later, elsewhere.
_NOT_OVER: Final = (TaskDeferred, TaskAwaitingInput, AirflowRescheduleException)
# Airflow's way to end a task well.
_DONE: Final = (DagRunTriggerException, DownstreamTasksSkipped)


@overload
def resilient_task(function: Callable[..., R], /) -> Task[..., R]: ...


@overload
def resilient_task(
    *,
    object_name: str | None = ...,
    delays: Mapping[ErrorClass, timedelta] | None = ...,
    last_chance: timedelta | None = ...,
    **arguments: Any,
) -> Callable[[Callable[..., R]], Task[..., R]]: ...


def resilient_task(
    function: Callable[..., R] | None = None,
    /,
    *,
    object_name: str | None = None,
    delays: Mapping[ErrorClass, timedelta] | None = None,
    last_chance: timedelta | None = None,
    **arguments: Any,
) -> Task[..., R] | Callable[[Callable[..., R]], Task[..., R]]:
    """Make a task of a function, as `airflow.sdk.task` does, with all that a task of this repository needs.

    Args:
        function: what the task does.
        object_name: what the task works on, e.g. a Salesforce object; goes into log lines and error rows.
        delays: first waits of this task by error class, where the usual ones do not fit.
        last_chance: pause before one more try, as in `dag_defaults`; name it again when `delays` are given.
        **arguments: of `airflow.sdk.task`: pool, task_id, execution_timeout, trigger_rule...
    """

    def make(body: Callable[..., R]) -> Task[..., R]:
        # Without waits of its own the task has those of its DAG.
        if delays or last_chance:
            arguments.update(retry_arguments(delays=delays, last_chance=last_chance))
        return cast("Task[..., R]", task(**arguments)(resilient(body, object_name=object_name)))

    return make if function is None else make(function)


def resilient(body: Callable[P, R], *, object_name: str | None = None) -> Callable[P, R]:
    """Return the function with context, error rows, usage row and metrics around it, for a task made in another way.

    Outside a running task it is the function alone.
    """
    if inspect.iscoroutinefunction(body):
        raise TypeError(f"{body.__qualname__} is async; a resilient task is a plain function")

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        current = _airflow_context()
        if current is None:
            return body(*args, **kwargs)
        return _Try(current, object_name).run(lambda: body(*args, **kwargs))

    # By this the policy test knows them.
    run.is_resilient = True  # type: ignore[attr-defined]
    return run


def _airflow_context() -> Context | None:
    from airflow.sdk import get_current_context

    try:
        return get_current_context()
    except RuntimeError:
        return None


class _Try:
    """One try of a task."""

    def __init__(self, current: Context, object_name: str | None) -> None:
        instance = current["ti"]
        self._context = current
        self._place: dict[str, Any] = {
            "dag_id": instance.dag_id,
            "run_id": instance.run_id,
            "task_id": instance.task_id,
            "map_index": -1 if instance.map_index is None else instance.map_index,
            "try_number": instance.try_number,
        }
        fields = dict(zip(context.PLACE, self._place.values(), strict=True))
        if fields["map_index"] == -1:
            del fields["map_index"]
        self._fields = fields | {"object": object_name}

    def run(self, work: Callable[[], R]) -> R:
        meter = usage.Meter()
        with context.bind(**self._fields):
            try:
                result = work()
            except _NOT_OVER:
                raise
            except _DONE:
                self._end(meter, "success")
                raise
            except AirflowSkipException:
                self._end(meter, "skipped")
                raise
            except BaseException as error:
                self._end(meter, "failed", error)
                raise
            self._end(meter, "success")
            return result

    def _end(self, meter: Meter, outcome: str, error: BaseException | None = None) -> None:
        """Leave the rows, the log line and the metrics of this try. Whatever goes wrong here is only logged."""
        try:
            used = meter.read()
            rows: list[bookkeeping.Row] = [("task_usage", usage.row(self._place, used, outcome))]
            if error is not None:
                rows.append(("run_error", self._failed(error)))
            log_event(
                log, "try_ended", outcome=outcome, seconds=used.seconds, cpu_s=used.cpu_s, peak_rss_mb=used.peak_rss_mb
            )
            _measure(self._place, used)
            bookkeeping.keep(*rows, previous=self._previous(meter))
        # The timeout of the task may strike here, too late to matter.
        except (Exception, AirflowTaskTimeout) as trouble:  # noqa: BLE001 - the task's own outcome is what counts
            log_event(log, "try_not_recorded", level=logging.ERROR, exception=type(trouble).__name__)

    def _failed(self, error: BaseException) -> dict[str, Any]:
        found = classify(error)
        retry_in = next_try_in(error, self._context)
        row = run_errors.row(self._place, error, found, {**context.current(), **context.of(error)}, retry_in)
        log_event(
            log,
            "try_failed",
            level=logging.WARNING,
            error_class=found.error_class,
            code=found.code,
            service=row["service"],
            fingerprint=found.fingerprint,
            next=row["next_step"],
            retry_in=retry_in,
            message=row["message"],
            **row["context"],
        )
        _count(self._place, found.error_class)
        if found.error_class is ErrorClass.RATE_LIMIT and retry_in is None and found.retry_after is not None:
            _stop(row["service"], found.retry_after, found.code)
        return row

    def _previous(self, meter: Meter) -> dict[str, Any] | None:
        number = self._place["try_number"]
        if number == 1:
            return None
        # Nobody knows when it ended; before this one began.
        return self._place | {"try_number": number - 1, "next_step": "retry", "occurred_at": meter.started_at}


def _stop(service: str | None, wait: timedelta, code: str) -> None:
    """Spare the other tasks of a service that allows no more the calls that would be refused."""
    if service in SERVICES:
        breaker(service).stop(wait, code)


def _measure(place: Mapping[str, Any], used: usage.Usage) -> None:
    from airflow.sdk.observability import stats

    tags = {"dag_id": place["dag_id"], "task_id": place["task_id"]}
    stats.gauge("pipelines.task.peak_rss_mb", used.peak_rss_mb, tags=tags)
    stats.timing("pipelines.task.cpu", timedelta(seconds=used.cpu_s), tags=tags)


def _count(place: Mapping[str, Any], error_class: ErrorClass) -> None:
    from airflow.sdk.observability import stats

    tags = {"dag_id": place["dag_id"], "task_id": place["task_id"], "error_class": str(error_class)}
    stats.incr("pipelines.task.errors", tags=tags)

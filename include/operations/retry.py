"""The one retry policy of all tasks: how often, and how long to wait, by error class.

Airflow calls it in the task's process after a failure (not after a kill: there is no exception then). It can only
shorten what the task's `retries` allow. A refused login is not tried again; a rate limit is, later and later.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from airflow.sdk import RetryDecision, RetryPolicy

from include.operations.errors import Classification, ErrorClass, classify

if TYPE_CHECKING:
    from airflow.sdk import Context

BASE_DELAY: Final[dict[ErrorClass, timedelta]] = {
    ErrorClass.RATE_LIMIT: timedelta(seconds=60),
    ErrorClass.NETWORK: timedelta(seconds=30),
    ErrorClass.TIMEOUT: timedelta(seconds=15),
    # Deadlocks and restarts pass in seconds, and the lock timeouts of the writers are shorter than this.
    ErrorClass.DATABASE: timedelta(seconds=15),
    ErrorClass.UNKNOWN: timedelta(seconds=30),
}
MAX_RETRIES: Final[dict[ErrorClass, int]] = {
    ErrorClass.RATE_LIMIT: 3,
    ErrorClass.NETWORK: 3,
    ErrorClass.TIMEOUT: 3,
    ErrorClass.DATABASE: 3,
    ErrorClass.UNKNOWN: 1,
}
MAX_DELAY: Final = timedelta(minutes=10)
# A server that asks for longer is out for the day; failing now tells a human instead of holding the run.
MAX_RETRY_AFTER: Final = timedelta(hours=1)
# The least part of the window that is waited: full jitter alone could answer a rate limit at once.
_LEAST: Final = 0.1
# Jitter laid on top of Retry-After, so that tasks told the same moment do not come back together.
_SPREAD: Final = 0.1


def retry_delay(found: Classification, attempt: int, rand: Callable[[], float]) -> timedelta | None:
    """Return how long to wait before the next try, None for no further try.

    `attempt` counts the failed tries, from 1. The wait is drawn from a window that doubles with each attempt: full
    jitter, from a tenth of the window up. A Retry-After is waited out in full, with a little jitter on top. Pure:
    `rand` is the source of randomness, from 0 up to 1.
    """
    attempt = max(attempt, 1)
    if not found.transient or attempt > MAX_RETRIES.get(found.error_class, 0):
        return None
    if found.retry_after is not None:
        if found.retry_after > MAX_RETRY_AFTER:
            return None
        return found.retry_after * (1 + _SPREAD * rand())
    window: timedelta = min(BASE_DELAY[found.error_class] * (1 << (attempt - 1)), MAX_DELAY)
    return window * (_LEAST + (1 - _LEAST) * rand())


@dataclass(frozen=True)
class ClassRetryPolicy(RetryPolicy):
    """Retry by error class. Without fields, so that its text form is the same at every parse of a DAG file."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide for Airflow; the reason it stores holds class and code, never the message."""
        found = classify(exception)
        attempt = _attempt(try_number, max_tries, context)
        delay = retry_delay(found, attempt, random.SystemRandom().random)
        reason = f"class={found.error_class} code={found.code} transient={str(found.transient).lower()}"
        reason += f" attempt={attempt} fingerprint={found.fingerprint}"
        if delay is None:
            return RetryDecision.fail(reason)
        return RetryDecision.retry(delay, f"{reason} wait={delay.total_seconds():.0f}s")


def _attempt(try_number: object, max_tries: object, context: Context | None) -> int:
    """Count the tries since the task was started or last cleared.

    Clearing a task lets `try_number` run on and raises `max_tries` instead; without this a cleared task would have
    used up its retries before its first try.
    """
    tries = try_number if isinstance(try_number, int) else 1
    task = (context or {}).get("task")
    retries = getattr(task, "retries", None)
    if isinstance(retries, int) and isinstance(max_tries, int) and max_tries > retries:
        tries -= max_tries - retries
    return max(tries, 1)

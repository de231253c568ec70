"""The one retry policy of all tasks: how often, and how long to wait, by error class.

Airflow calls it in the task's process after a failure (not after a kill: there is no exception then). It can only
shorten what the task's `retries` allow. A refused login is not tried again; a rate limit is, later and later.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypedDict

from airflow.sdk import RetryAction, RetryDecision, RetryPolicy

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
# Nobody knows whether waiting helps against an unknown error; AUTH and VALIDATION are never retried.
_LAST_CHANCE: Final = frozenset({ErrorClass.RATE_LIMIT, ErrorClass.NETWORK, ErrorClass.TIMEOUT, ErrorClass.DATABASE})
# Where an exception keeps the decision that was made about it.
_DRAWN: Final = "_retry_decision"


def retry_delay(
    found: Classification,
    attempt: int,
    rand: Callable[[], float],
    *,
    delays: Mapping[ErrorClass, timedelta] = BASE_DELAY,
    last_chance: timedelta | None = None,
) -> timedelta | None:
    """Return how long to wait before the next try, None for no further try.

    `attempt` counts the failed tries, from 1. The wait is drawn from a window that doubles with each attempt: full
    jitter, from a tenth of the window up. A Retry-After is waited out in full, with a little jitter on top. Pure:
    `rand` is the source of randomness, from 0 up to 1. `delays` replace the base delays of the classes they name;
    `last_chance` is the pause before one more try after the last, which unknown errors are not given.
    """
    attempt = max(attempt, 1)
    most = MAX_RETRIES.get(found.error_class, 0)
    if not found.transient or attempt > most + 1:
        return None
    asked = found.retry_after
    if asked is not None and asked > MAX_RETRY_AFTER:
        return None
    if attempt > most:
        if last_chance is None or found.error_class not in _LAST_CHANCE:
            return None
        return max(last_chance, asked or last_chance) * (1 + _SPREAD * rand())
    if asked is not None:
        return asked * (1 + _SPREAD * rand())
    base = delays.get(found.error_class) or BASE_DELAY[found.error_class]
    window: timedelta = min(base * (1 << (attempt - 1)), max(MAX_DELAY, base))
    return window * (_LEAST + (1 - _LEAST) * rand())


Delays = tuple[tuple[ErrorClass, timedelta], ...]


@dataclass(frozen=True)
class ClassRetryPolicy(RetryPolicy):
    """Retry by error class. Its text form is the same at every parse of a DAG file.

    Attributes:
        delays: first windows of a task that needs others than `BASE_DELAY`, by class.
        last_chance: pause before one more try when a transient error has used up its retries; None: no such try.
            It stands for the original's retry of a whole run: see docs/decisions/0007.
    """

    delays: Delays = ()
    last_chance: timedelta | None = None

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide for Airflow; the reason it stores holds class and code, never the message.

        The wait is drawn once for an exception and a try: whoever asks again is told the same.
        """
        key = (self, try_number, max_tries)
        drawn = getattr(exception, _DRAWN, None)
        if drawn is not None and drawn[0] == key:
            known: RetryDecision = drawn[1]
            return known
        decision = self._decide(exception, _attempt(try_number, max_tries, context))
        # Not every object can be given an attribute; then the next to ask draws anew.
        with suppress(AttributeError, TypeError):
            setattr(exception, _DRAWN, (key, decision))
        return decision

    def _decide(self, exception: BaseException, attempt: int) -> RetryDecision:
        found = classify(exception)
        delay = retry_delay(
            found, attempt, random.SystemRandom().random, delays=dict(self.delays), last_chance=self.last_chance
        )
        reason = f"class={found.error_class} code={found.code} transient={str(found.transient).lower()}"
        reason += f" attempt={attempt} fingerprint={found.fingerprint}"
        if delay is None:
            return RetryDecision.fail(reason)
        return RetryDecision.retry(delay, f"{reason} wait={delay.total_seconds():.0f}s")


class RetryArguments(TypedDict):
    """Arguments of a task."""

    retries: int
    retry_policy: ClassRetryPolicy


def retry_arguments(
    *, delays: Mapping[ErrorClass, timedelta] | None = None, last_chance: timedelta | None = None
) -> RetryArguments:
    """Return what gives a task the policy: it, and as many retries as it may ask for. See `ClassRetryPolicy`."""
    retries = max(MAX_RETRIES.values()) + (last_chance is not None)
    policy = ClassRetryPolicy(tuple(sorted((delays or {}).items())), last_chance)
    return RetryArguments(retries=retries, retry_policy=policy)


def next_try_in(exception: BaseException, context: Context) -> timedelta | None:
    """How long Airflow waits until it tries this task again after this exception; None: the task has failed.

    The same answer as Airflow's task runner finds: it asks the policy, unless the exception forbids a retry, and then
    looks whether any retry is left.
    """
    from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowTaskTerminated

    instance = context["ti"]
    if isinstance(exception, AirflowFailException | AirflowSensorTimeout | AirflowTaskTerminated):
        return None
    if not instance.max_tries or instance.try_number > instance.max_tries:
        return None
    policy = getattr(instance.task, "retry_policy", None)
    if not isinstance(policy, RetryPolicy):
        return _plain_delay(instance.task)
    decision = policy.evaluate(exception, instance.try_number, instance.max_tries, context)
    if decision.action is RetryAction.FAIL:
        return None
    return decision.retry_delay if decision.retry_delay is not None else _plain_delay(instance.task)


def _plain_delay(task: object) -> timedelta:
    delay = getattr(task, "retry_delay", None)
    return delay if isinstance(delay, timedelta) else timedelta(0)


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

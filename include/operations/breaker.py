"""One circuit breaker for each service: who finds it broken spares the others the wait.

Closed: calls pass. After 5 failures in a row, or 5 among the last 10 calls, it opens: for 60 seconds every call fails
at once with `BreakerOpen`, an error that is retried. Then one call, the probe, is let through; its outcome closes the
breaker or opens it for another 60 seconds. A daily limit keeps it open until the limit is reset.

Only what says that the service is in trouble counts: a refused login or a deadlock is an answer. The state is in
Redis, under `ops:breaker:<service>`, and the time is Redis's, so that all processes see the same; while Redis cannot be
used, each process keeps a state of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, TypeVar

from include.operations.breaker_state import (
    Entered,
    LocalStore,
    RedisStore,
    State,
    Store,
    enter,
    failed,
    stopped,
    succeeded,
    unclear,
)
from include.operations.context import in_task
from include.operations.error_rules import ANSWERED, ErrorClass
from include.operations.errors import BreakerOpen, DailyLimitReached, PipelineError, classify
from include.operations.log import log_event

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

SERVICES: Final = ("redis", "neo4j", "postgres", "salesforce", "google", "slack", "smtp", "sentry", "actions")
# How long a process does without a Redis that failed.
_AVOID_REDIS_S: Final = 30.0


class SharedStore:
    """Redis while it can be used, else this process."""

    def __init__(self) -> None:
        self.local = LocalStore()
        self._avoid_until = 0.0

    def change(self, service: str, function: Callable[[State, float], State]) -> State:
        """Replace the state."""
        return self._use(lambda store: store.change(service, function))

    def load(self, service: str) -> tuple[State, float]:
        """The state, and the time."""
        return self._use(lambda store: store.load(service))

    def _use(self, action: Callable[[Store], R]) -> R:
        from include.connections import redis_client

        if time.monotonic() >= self._avoid_until:
            try:
                with redis_client(quick=True) as client:
                    return action(RedisStore(client))
            except Exception as error:  # noqa: BLE001 - a breaker must not be what breaks
                self._avoid_until = time.monotonic() + _AVOID_REDIS_S
                found = classify(error)
                log_event(log, "breaker_local", error_class=found.error_class, code=found.code)
        return action(self.local)


_shared: Final = SharedStore()


def breaker(service: str, store: Store = _shared) -> Breaker:
    """The breaker of a service, one of `SERVICES`."""
    if service not in SERVICES:
        raise ValueError(f"no service {service}; there are {', '.join(SERVICES)}")
    return Breaker(service, store)


@dataclass
class Call:
    """A call that was let through."""

    breaker: Breaker | None = None
    probing: bool = False
    """Whether everybody waits for the outcome of this one."""

    def reached(self) -> None:
        """Say that the service has answered, long before the block ends."""
        if self.probing and self.breaker is not None:
            self.breaker.change(lambda state, _: succeeded(state, probing=True))
            self.probing = False


@dataclass(frozen=True)
class Breaker:
    """The breaker of one service."""

    service: str
    store: Store

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that talks to this service and to no other.

        Raises:
            BreakerOpen, DailyLimitReached: the function was not called.
        """
        with self.guard(alone=True):
            return function(*args, **kwargs)

    @contextmanager
    def guard(self, *, alone: bool = False) -> Iterator[Call]:
        """Let the block pass or refuse it, and learn from how it ends.

        Unless the block is `alone` with the service, only errors of the service's own client are held against it.

        Raises:
            BreakerOpen, DailyLimitReached: the block was not entered.
        """
        call = self._enter()
        try:
            yield call
        except BaseException as error:
            verdict = self._verdict(error, alone=alone)
            if verdict is None:
                self.change(lambda state, _: unclear(state, probing=call.probing))
            elif verdict:
                self.change(lambda state, now: failed(state, now, verdict, probing=call.probing))
            else:
                self.change(lambda state, _: succeeded(state, probing=call.probing))
            raise
        self.change(lambda state, _: succeeded(state, probing=call.probing))

    def stop(self, wait: timedelta, code: str) -> None:
        """Refuse calls until the service's limit is reset."""
        self.change(lambda state, now: stopped(state, now, now + wait.total_seconds(), code))

    def change(self, function: Callable[[State, float], State]) -> State:
        """Replace the state, and say so when the breaker opens or closes."""
        was_open = False

        def step(state: State, now: float) -> State:
            nonlocal was_open
            was_open = state.is_open
            return function(state, now)

        found = self.store.change(self.service, step)
        if found.is_open and not was_open:
            until = datetime.fromtimestamp(found.open_until, UTC)
            log_event(log, "breaker_opened", level=logging.WARNING, service=self.service, code=found.code, until=until)
        elif was_open and not found.is_open:
            log_event(log, "breaker_closed", service=self.service)
        return found

    def state(self) -> tuple[State, float]:
        """The state, and the time it is compared with."""
        return self.store.load(self.service)

    def _enter(self) -> Call:
        entered = Entered(State())

        def step(state: State, now: float) -> State:
            nonlocal entered
            entered = enter(state, now)
            return entered.state

        found = self.change(step)
        if entered.wait_s:
            self._refuse(found, entered.wait_s)
        return Call(self, entered.probing)

    def _refuse(self, state: State, wait_s: float) -> None:
        wait = timedelta(seconds=wait_s)
        if state.limit:
            raise DailyLimitReached(
                f"{self.service} allows no more calls for now ({state.code}).",
                what_to_do=f"Nothing: in {_text(wait)} it is tried again. If it happens often, raise the limit.",
                retry_after=wait,
            )
        raise BreakerOpen(
            f"{self.service} has failed again and again ({state.code}), so this call was not tried.",
            what_to_do=f"Nothing if a later try succeeds; else check that {self.service} runs and can be reached.",
            retry_after=wait,
        )

    def _verdict(self, error: BaseException, *, alone: bool) -> str | None:
        """The code of a failure of the service, empty for an answer, None when it says nothing about the service."""
        if isinstance(error, PipelineError):
            return None
        found = classify(error)
        if not alone and found.service != self.service:
            return None
        if found.error_class is ErrorClass.UNKNOWN:
            return None
        troubled = found.transient or found.error_class is ErrorClass.RATE_LIMIT
        return found.code if troubled and not found.code.startswith(ANSWERED) else ""


def _text(wait: timedelta) -> str:
    minutes = wait.total_seconds() / 60
    return f"{minutes / 60:.1f} h" if minutes >= 60 else f"{max(minutes, 1):.0f} min"


@contextmanager
def guarded(service: str) -> Iterator[Call]:
    """Guard a block of a task; elsewhere nothing is guarded: who examines a server by hand must not be refused."""
    if not in_task():
        yield Call()
        return
    with breaker(service).guard() as call:
        yield call


def states() -> dict[str, tuple[State, float]]:
    """State of every service, and the time to compare it with."""
    return {service: breaker(service).state() for service in SERVICES}

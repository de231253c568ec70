"""Errors: the project's own exceptions, and `classify`, which sorts any exception into one of seven classes.

Only types, statuses and codes decide. The words of a message never do, and no message text leaves this module: what
`classify` returns can be logged, sent and stored without carrying personal data or secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from include.operations import error_rules as rules
from include.operations.error_readers import READERS, parse_retry_after, peek, retry_after, until_reset
from include.operations.error_rules import ErrorClass, Rule, Verdict

__all__ = [
    "BreakerOpen",
    "Classification",
    "DailyLimitReached",
    "ErrorClass",
    "InputRejected",
    "LeaseHeld",
    "LeaseLost",
    "PipelineError",
    "ServerUnsupported",
    "chain",
    "classify",
    "parse_retry_after",
]

# Enough for any real chain; stops a hostile or self-made one.
_MAX_DEPTH = 25


class PipelineError(Exception):
    """Base of the project's own errors; a subclass carries its class and code, or those of the error it passes on.

    `what_to_do` is shown outside the task's log, so it names systems and settings, never a person or a secret.
    """

    error_class: ErrorClass = ErrorClass.UNKNOWN
    transient: ClassVar[bool] = False
    code: str = "PIPELINE_ERROR"
    cause: tuple[str, str] = ("", "")
    """DAG and run that failed, when this error only passes their failure on: it has been told there."""

    def __init__(self, message: str, *, what_to_do: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.what_to_do = what_to_do
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.args[0]} What to do: {self.what_to_do}"

    def __reduce__(self) -> tuple[Callable[..., PipelineError], tuple[Any, ...]]:
        # The default would call the class without its keyword arguments and fail in another process.
        return _rebuild, (type(self), self.args[0], self.what_to_do, self.retry_after)


def _rebuild(kind: type[PipelineError], message: str, what_to_do: str, retry_after: timedelta | None) -> PipelineError:
    return kind(message, what_to_do=what_to_do, retry_after=retry_after)


class InputRejected(PipelineError):  # noqa: N818 - named for what happened
    """The input cannot be used as it is; trying again would refuse it again."""

    error_class = ErrorClass.VALIDATION
    code = "INPUT_REJECTED"


class LeaseLost(PipelineError):  # noqa: N818 - named for what happened
    """Another run took over the lease; this one must not write, now or by a retry."""

    error_class = ErrorClass.VALIDATION
    code = "LEASE_LOST"


class LeaseHeld(PipelineError):  # noqa: N818 - named for what happened
    """Another run holds the lease and is alive; later it will be free."""

    error_class = ErrorClass.DATABASE
    transient = True
    code = "LEASE_HELD"


class BreakerOpen(PipelineError):  # noqa: N818 - named for what happened
    """The service has failed again and again a moment ago; this call was not tried. `retry_after` says how long."""

    error_class = ErrorClass.NETWORK
    transient = True
    code = "BREAKER_OPEN"


class DailyLimitReached(PipelineError):  # noqa: N818 - named for what happened
    """The service allows no more for now; `retry_after` is the time until it is worth asking again.

    A client raises it `from` the error of the library, by which the service is known.
    """

    error_class = ErrorClass.RATE_LIMIT
    code = "DAILY_LIMIT"


class ServerUnsupported(PipelineError):  # noqa: N818 - named for what happened
    """The server lacks what the code needs: its version or a feature."""

    error_class = ErrorClass.DATABASE
    code = "SERVER_UNSUPPORTED"


@dataclass(frozen=True, slots=True)
class Classification:
    """What is known about a failure, free of message text."""

    error_class: ErrorClass
    transient: bool
    """Whether trying again can help; of UNKNOWN nobody knows, so it may be tried once."""
    code: str
    """HTTP_429, a SQLSTATE, a Redis or Neo4j code, an errno name, or the name of the exception's class."""
    exception: str
    """Dotted class name of the exception in the chain that decided."""
    what_to_do: str
    fingerprint: str
    """Equal for failures of one kind at one place: class, code, exception classes and the last own function."""
    retry_after: timedelta | None = None
    service: str | None = None
    """Whose client raised it: redis, neo4j, postgres, salesforce, google, slack, smtp, sentry."""


def classify(exc: BaseException | None, *, now: datetime | None = None) -> Classification:
    """Sort an exception into its class, looking through wrappers, causes and groups. Never raises.

    The outermost exception that a rule knows decides. `now` is needed only to read a Retry-After that is a date.
    """
    found = _judge(exc, now or datetime.now(UTC), frozenset()) if isinstance(exc, BaseException) else None
    if found is None:
        name = _dotted(type(exc)) if isinstance(exc, BaseException) else "None"
        found = _made(rules.UNKNOWN, name.rpartition(".")[2], name)
    return replace(found, fingerprint=_fingerprint(exc, found), service=_service(exc))


def chain(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it was raised from, and so on; what it was raised while handling counts, unless hidden."""
    for _ in range(_MAX_DEPTH):
        if exc is None:
            return
        yield exc
        cause = exc.__cause__
        exc = cause if cause is not None or exc.__suppress_context__ else exc.__context__


def _judge(exc: BaseException, now: datetime, seen: frozenset[int]) -> Classification | None:
    """Judge one exception and what it wraps; None when no rule knows any of it."""
    if id(exc) in seen or len(seen) >= _MAX_DEPTH:
        return None
    seen |= {id(exc)}
    if isinstance(exc, BaseExceptionGroup):
        return _judge_group(exc, now, seen)
    if isinstance(exc, PipelineError):
        own = _made(Verdict(exc.error_class, exc.transient), exc.code, _dotted(type(exc)))
        return replace(own, what_to_do=exc.what_to_do, retry_after=exc.retry_after)
    name, rule = _rule_for(exc)
    if name in rules.NEVER_AGAIN:
        inner = _judge_next(exc, now, seen)
        return replace(inner or _made(rules.UNKNOWN, "AirflowFailException", name), transient=False)
    if rule is None:
        return _judge_next(exc, now, seen)
    read = READERS[rule.reader](exc) if rule.reader else None
    if read is not None:
        verdict, code = read
        made = _made(verdict, code, _dotted(type(exc)))
        if verdict == rules.DAILY_LIMIT:
            wait = retry_after(exc, now) or until_reset(_service(exc), now)
            return replace(made, retry_after=wait, what_to_do=rules.DAILY_LIMIT_TO_DO)
        return replace(made, retry_after=retry_after(exc, now))
    if rule.refine and (inner := _judge_wrapped(exc, rule, now, seen)) is not None:
        return inner
    if rule.verdict is None:
        return _judge_next(exc, now, seen)
    return _made(rule.verdict, type(exc).__name__, _dotted(type(exc)))


def _judge_next(exc: BaseException, now: datetime, seen: frozenset[int]) -> Classification | None:
    """Judge the exception this one was raised from, else the one it was raised while handling."""
    following = next(islice(chain(exc), 1, None), None)
    return None if following is None else _judge(following, now, seen)


def _judge_wrapped(exc: BaseException, rule: Rule, now: datetime, seen: frozenset[int]) -> Classification | None:
    """Judge what a wrapper of a library carries: in its own attribute, its cause, or the OSError it was made of."""
    for inner in _wrapped(exc, rule):
        if (found := _judge(inner, now, seen)) is not None:
            return found
    return None


def _wrapped(exc: BaseException, rule: Rule) -> Iterator[BaseException]:
    carried = peek(exc, rule.inner) if rule.inner else None
    for value in carried if isinstance(carried, tuple) else (carried,):
        if isinstance(value, BaseException):
            yield value
    if exc.__cause__ is not None:
        yield exc.__cause__
    elif isinstance(exc.__context__, OSError):
        # Any other context may be an error the library was merely called in the handler of.
        yield exc.__context__


def _judge_group(
    group: BaseExceptionGroup[BaseException], now: datetime, seen: frozenset[int]
) -> Classification | None:
    """Of several errors the one that allows the fewest retries decides, so that none of them is retried in vain."""
    found = [_judge(member, now, seen) for member in group.exceptions]
    members = [each or _made(rules.UNKNOWN, "ExceptionGroup", _dotted(type(group))) for each in found]
    return min(members, key=lambda each: (each.transient, each.error_class is not ErrorClass.UNKNOWN))


def _made(verdict: Verdict, code: str, exception: str) -> Classification:
    advice = rules.WHAT_TO_DO[verdict.error_class]
    return Classification(verdict.error_class, verdict.transient, code, exception, advice, fingerprint="")


def _rule_for(exc: BaseException) -> tuple[str, Rule | None]:
    for kind in type(exc).__mro__:
        name = _dotted(kind)
        if name in rules.NEVER_AGAIN or name in rules.RULES:
            return name, rules.RULES.get(name)
    return "", None


def _dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _service(exc: BaseException | None) -> str | None:
    """Name the service whose client raised the outermost exception that comes from any."""
    for each in chain(exc if isinstance(exc, BaseException) else None):
        for kind in type(each).__mro__:
            module = kind.__module__
            # A library is known by its package, a client of ours by its own.
            for name in (module.partition(".")[0], module.rpartition(".")[0]):
                if (service := rules.SERVICE.get(name)) is not None:
                    return service
    return None


def _fingerprint(exc: BaseException | None, found: Classification) -> str:
    raised = _dotted(type(exc)) if isinstance(exc, BaseException) else ""
    parts = (found.error_class, found.code, found.exception, raised, _last_own_function(exc))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _last_own_function(exc: BaseException | None) -> str:
    """Name the innermost function of ours in the traceback; no line number, so that an edit above keeps it."""
    place = ""
    trace = exc.__traceback__ if isinstance(exc, BaseException) else None
    while trace is not None:
        code = trace.tb_frame.f_code
        parts = Path(code.co_filename).parts
        if {"include", "dags"} & set(parts) and "site-packages" not in parts:
            place = f"{parts[-1]}:{code.co_qualname}"
        trace = trace.tb_next
    return place

"""What a check says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from include.operations.doctor.embedded import is_embedded
from include.operations.errors import ErrorClass, classify
from include.operations.explain import explain

# What a server that is down looks like.
_UNREACHED = (ErrorClass.NETWORK, ErrorClass.TIMEOUT)
# Things named in one line; the rest is counted.
_NAMED = 3


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One line of the examination.

    Attributes:
        level: how bad it is.
        area: what was looked at.
        found: what was found; no secret and no personal data.
        fix: the line that mends it; empty when nothing needs mending.
    """

    level: Level
    area: str
    found: str
    fix: str = ""


def ok(area: str, found: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, area, found)


def warn(area: str, found: str, fix: str) -> Finding:
    """It works, but should be changed."""
    return Finding(Level.WARN, area, found, fix)


def fail(area: str, found: str, fix: str) -> Finding:
    """It does not work, or must not stay so."""
    return Finding(Level.FAIL, area, found, fix)


def failed(area: str, error: Exception) -> Finding:
    """The check itself ended with an error."""
    what, what_to_do = explain(error)
    if is_embedded(area) and classify(error).error_class in _UNREACHED:
        what_to_do = "`make up`: the connection leads to the server that starts on this machine"
    return Finding(Level.FAIL, area, what, what_to_do)


def some(items: list[str]) -> str:
    """Name the first few."""
    rest = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""What the running code works on: fields that every log line and every error row of a task carries.

`resilient_task` binds where it runs (dag, run, task, map_index, try, object); the code inside adds what it has in its
hands (batch, chunk, row, stream_id). Ids of systems and counts only, never a person's name, address or message.

Threads do not inherit the fields: give them `contextvars.copy_context().run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from include.operations.errors import chain

# The fields that say which try of which task this is; the rest says what it had in its hands.
PLACE: Final = ("dag", "run", "task", "map_index", "try")

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("operations_context", default=_NOTHING)
# Where an exception keeps the fields that were bound when it was raised.
_CARRIED: Final = "_operations_context"


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields for the time of the block; None takes an outer field away. An error takes them along.

    `try` is a keyword of Python: `bind(**{"try": 2})`.
    """
    merged = {name: value for name, value in {**_bound.get(), **fields}.items() if value is not None}
    token = _bound.set(MappingProxyType(merged))
    try:
        yield
    except BaseException as error:
        if getattr(error, _CARRIED, None) is None:
            # Exceptions of foreign code may refuse attributes; they then carry nothing.
            with suppress(AttributeError, TypeError):
                setattr(error, _CARRIED, merged)
        raise
    finally:
        _bound.reset(token)


def current() -> dict[str, object]:
    """The fields bound now, the outermost first."""
    return dict(_bound.get())


def in_task() -> bool:
    """Whether this code runs inside a task, not at a terminal or in a test of its own."""
    return "task" in _bound.get()


def of(error: BaseException) -> dict[str, object]:
    """The fields that were bound where the error was raised, filled up with those of the errors behind it.

    The blocks that bound them have ended when the error is looked at, so the error itself brings them.
    """
    found: dict[str, object] = {}
    for each in chain(error):
        carried = getattr(each, _CARRIED, None)
        if isinstance(carried, dict):
            found = {**carried, **found}
    return found

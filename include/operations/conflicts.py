"""Transactions that PostgreSQL ends for the sake of others, deadlocks and serialization failures, are begun again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

R = TypeVar("R")

# Seconds before the next try, up to twice as long.
_PAUSES: Final = (0.2, 1.0)
_sleep: Callable[[float], None] = time.sleep


def repeat(
    transaction: Callable[[], R],
    *,
    undo: Callable[[], object] | None = None,
    sleep: Callable[[float], None] | None = None,
) -> R:
    """Do a transaction, and again after a conflict: twice, with a pause before. Then the task's next try has to.

    Args:
        transaction: all of it, from its first statement to its commit, so that it can be done from the beginning.
        undo: ends what is left of it, e.g. the connection's `rollback`, where `transaction` leaves that to its caller.
        sleep: waits so many seconds.

    Raises:
        psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure: the third one in a row.
    """
    from psycopg import errors

    for pause in (*_PAUSES, None):
        try:
            return transaction()
        except (errors.DeadlockDetected, errors.SerializationFailure):
            if undo is not None:
                undo()
            if pause is None:
                raise
            (sleep or _sleep)(pause * (1 + random.random()))  # noqa: S311 - no secret
    raise AssertionError("the last try returns or raises")

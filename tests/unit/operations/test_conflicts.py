"""A transaction that PostgreSQL ended for the sake of another is begun again, twice, and nothing else is."""

import pytest
from psycopg import errors

from include.operations.conflicts import repeat


class Transaction:
    """Fails as told, then gives 7."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.undone = 0

    def __call__(self):
        if self.failures:
            raise self.failures.pop(0)
        return 7

    def undo(self):
        self.undone += 1


@pytest.mark.parametrize("conflict", [errors.DeadlockDetected, errors.SerializationFailure])
def test_twice_with_growing_pauses(conflict):
    work, pauses = Transaction(conflict(), conflict()), []
    assert repeat(work, undo=work.undo, sleep=pauses.append) == 7
    assert work.undone == 2
    assert 0.2 <= pauses[0] <= 0.4
    assert 1.0 <= pauses[1] <= 2.0


def test_the_third_is_the_callers():
    work, pauses = Transaction(*(errors.DeadlockDetected() for _ in range(3))), []
    with pytest.raises(errors.DeadlockDetected):
        repeat(work, undo=work.undo, sleep=pauses.append)
    assert (work.undone, len(pauses)) == (3, 2)


def test_nothing_else_is_repeated():
    work = Transaction(errors.UniqueViolation())
    with pytest.raises(errors.UniqueViolation):
        repeat(work)
    assert repeat(work) == 7

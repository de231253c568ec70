"""What carries actions out: the contract of the two executors.

Each can be called again at any time, by the same run or by one that took over: an effect that is there already is not
made twice, and a writer with an older fence than the newest changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from include.organism.interventions.store import Intervention, Step


class Done(NamedTuple):
    """What was done for a person, and what was there before."""

    employee_id: str
    captured: Mapping[str, Any]


class Undone(NamedTuple):
    """What became of a person's state: restored, or left because somebody has changed it since."""

    employee_id: str
    restored: bool


class Executor(Protocol):
    """Carries actions of one system out."""

    def apply(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Done]:
        """Make the steps take effect, once; those that have taken effect are told again.

        Raises:
            LeaseLost: a newer writer was here, or it was undone already.
            ActionRefused: it can never be done.
        """
        ...

    def undo(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Undone]:
        """Restore what was captured, also of steps that may never have been done; from then on they cannot be.

        Raises:
            LeaseLost: a newer writer was here.
        """
        ...

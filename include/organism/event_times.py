"""When the events of a file happened, and how they are moved together without making a good one bad."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from include.operations.errors import InputRejected
from include.organism.event_files import Row
from include.organism.messages import InvalidMessageError, epoch_seconds

_WHOLE_FILE = "look at the column timestamp: it is in epoch seconds (not milliseconds) or ISO-8601"


def event_seconds(row: Row) -> float | None:
    """The row's event time in epoch seconds, read as the pipeline reads it; None when it has none."""
    try:
        return epoch_seconds(row.fields.get(b"timestamp", b""))
    except InvalidMessageError:
        return None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the pipeline accepts as the time of an event, in epoch seconds: `earliest` to `latest`.

    Before a shift times may also count from 0: they are plausible from 0 to `latest`. A millisecond among seconds and
    an infinite one are not.
    """

    earliest: float
    latest: float

    def plausible(self, row: Row) -> float | None:
        """The row's time, if it can be one."""
        at = event_seconds(row)
        return at if at is not None and 0 <= at <= self.latest else None


@dataclass(frozen=True, slots=True)
class Shift:
    """What is added to each plausible time; the others stay, and the pipeline says what is wrong with them.

    Attributes:
        seconds: added to each.
        limits: what is plausible.
        ignored: rows that can be read and have no plausible time.
        rows: rows that can be read.
    """

    seconds: float
    limits: Limits
    ignored: int = 0
    rows: int = 0

    @classmethod
    def to_end_at(cls, end: float, rows: Iterable[Row], limits: Limits) -> Self:
        """The shift by which the last plausible event happens at `end`; zero if no row can be read.

        Raises:
            InputRejected: no row has a plausible time, or a good time would become a bad one.
        """
        count = ignored = 0
        last = first_good = None
        for row in rows:
            if row.problem:
                continue
            count += 1
            at = limits.plausible(row)
            if at is None:
                ignored += 1
                continue
            last = at if last is None else max(last, at)
            if at >= limits.earliest:
                first_good = at if first_good is None else min(first_good, at)
        if end > limits.latest:
            raise InputRejected("--until lies in the future.", what_to_do="use `now`, or an earlier time")
        if last is None:
            if count:
                raise InputRejected(
                    "no row has a time between 1970 and now that can be read, so --until has nothing to shift.",
                    what_to_do=_WHOLE_FILE,
                )
            return cls(0.0, limits)
        seconds = end - last
        if first_good is not None and first_good + seconds < limits.earliest:
            day = datetime.fromtimestamp(limits.earliest, UTC).date()
            raise InputRejected(
                f"--until would move the first event before {day}, where the pipeline refuses it.",
                what_to_do="use a later time",
            )
        return cls(seconds, limits, ignored, count)

    def moved(self, row: Row) -> dict[bytes, bytes]:
        """The row's fields with the time moved."""
        at = self.limits.plausible(row)
        if at is None or not self.seconds:
            return row.fields
        moved = round(at + self.seconds, 6)
        return {**row.fields, b"timestamp": b"%d" % moved if moved.is_integer() else repr(moved).encode()}

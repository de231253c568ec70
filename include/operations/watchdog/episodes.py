"""From readings to episodes: one begins after so many bad checks in a row, and ends after so many good ones.

Pure: the clock is an argument, and where the episodes are kept is somebody else's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from include.operations.watchdog.thresholds import SECONDS, Threshold

SUSPECTED: Final = "suspected"
OPEN: Final = "open"
OVER: Final = "over"

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a check has measured of one subject.

    Attributes:
        check: name of the threshold.
        subject: DAG, object, disk...; empty when there is only one. No person's id or name.
        value: in the threshold's unit; None: something that should not be, counted from when it was first seen.
        normal: what is usual, when the check knows it better than the threshold.
        detail: further lines for the message.
        since: when it began, when that is known.
        limit: instead of the threshold's.
        dag_id: the DAG it is about, if there is one; silences ask for it.
        task_id: its task.
    """

    check: str
    subject: str
    value: float | None
    normal: str = ""
    detail: tuple[str, ...] = ()
    since: datetime | None = None
    limit: float | None = None
    dag_id: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """A time during which a threshold was crossed, or is suspected to be."""

    check: str
    subject: str
    state: str
    value: float | None
    worst: float | None
    threshold: float
    normal: str
    since: datetime
    checked_at: datetime
    detail: tuple[str, ...] = ()
    dag_id: str = ""
    task_id: str = ""
    bad_checks: int = 0
    good_checks: int = 0
    opened_at: datetime | None = None
    """When it was no longer only suspected; None: it never was."""
    ended_at: datetime | None = None
    id: int | None = None

    @property
    def key(self) -> Key:
        """What there is one unfinished episode of."""
        return self.check, self.subject


def advance(
    episodes: Mapping[Key, Episode],
    readings: Iterable[Reading],
    checked: Iterable[str],
    thresholds: Mapping[str, Threshold],
    now: datetime,
) -> list[Episode]:
    """Return every unfinished or just finished episode as it stands after this round of checks.

    Args:
        episodes: the unfinished ones before.
        readings: of all checks together; a subject once.
        checked: checks that could be made. What none of them mentions any more is well; what could not be checked
            stays as it is.
        thresholds: by name.
        now: moment of the checks.

    A suspicion that came to nothing is returned as OVER, with `opened_at` None.
    """
    seen: set[Key] = set()
    result: list[Episode] = []
    for reading in readings:
        key = (reading.check, reading.subject)
        seen.add(key)
        after = _judged(episodes.get(key), reading, thresholds[reading.check], now)
        if after is not None:
            result.append(after)
    done = set(checked)
    for key, episode in episodes.items():
        if key in seen:
            continue
        if key[0] in done:
            result.append(_better(episode, thresholds[key[0]], now, value=None))
        elif key[0] in thresholds:
            result.append(episode)
        else:
            # Of a version that knew more checks: nobody can tell any more.
            result.append(replace(episode, state=OVER, ended_at=now, checked_at=now))
    return result


def _judged(before: Episode | None, reading: Reading, threshold: Threshold, now: datetime) -> Episode | None:
    if reading.limit is not None:
        threshold = replace(threshold, limit=reading.limit)
    if math.isinf(threshold.limit):
        # Switched off.
        return None if before is None else _better(before, threshold, now, reading.value)
    value = reading.value
    if value is None:
        begun = before.since if before else reading.since or now
        value = (now - begun).total_seconds() / SECONDS[threshold.unit]
        if not threshold.is_bad(value):
            # Not long enough yet; but remembered, or it would start again with each check.
            return before if before and before.state == OPEN else _suspected(before, reading, threshold, now, value)
    if threshold.is_bad(value):
        return _worse(before, reading, threshold, now, value)
    if before is None:
        return None
    if threshold.is_good(value) or before.state == SUSPECTED:
        return _better(before, threshold, now, value)
    return replace(before, value=value, checked_at=now, good_checks=0)


def _suspected(before: Episode | None, reading: Reading, threshold: Threshold, now: datetime, value: float) -> Episode:
    fresh = before or Episode(
        check=reading.check,
        subject=reading.subject,
        state=SUSPECTED,
        value=value,
        worst=value,
        threshold=threshold.limit,
        normal=reading.normal or threshold.normal,
        since=reading.since or now,
        checked_at=now,
    )
    return replace(
        fresh,
        value=value,
        worst=value if fresh.worst is None else (min if threshold.below else max)(fresh.worst, value),
        threshold=threshold.limit,
        normal=reading.normal or threshold.normal,
        checked_at=now,
        detail=reading.detail,
        dag_id=reading.dag_id,
        task_id=reading.task_id,
        good_checks=0,
    )


def _worse(before: Episode | None, reading: Reading, threshold: Threshold, now: datetime, value: float) -> Episode:
    after = _suspected(before, reading, threshold, now, value)
    bad = after.bad_checks + 1
    opens = after.state == SUSPECTED and bad >= threshold.opens_after
    after = replace(after, bad_checks=bad)
    return replace(after, state=OPEN, opened_at=now) if opens else after


def _better(before: Episode, threshold: Threshold, now: datetime, value: float | None) -> Episode:
    good = before.good_checks + 1
    after = replace(before, value=value, checked_at=now, good_checks=good, bad_checks=0)
    if before.state == SUSPECTED or good >= threshold.closes_after:
        return replace(after, state=OVER, ended_at=now)
    return after

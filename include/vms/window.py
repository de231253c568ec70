"""Which span of the source's time a run reads, and how far the watermark may move after it.

The end of the window is the source's own time, less a lag in which records that were saved a moment ago may not be
visible yet, and never later than the begin of a transaction that is still open there, as getDeleted tells. It bounds
the watermark, not the query: what is newer is read as well, and once more by the next run. So a modstamp in the year
2999 is read by every run and can drag nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from include.vms.contracts import Mode

if TYPE_CHECKING:
    from include.vms.contracts import Request
    from include.vms.spec import SyncObject


@dataclass(frozen=True)
class Window:
    """Span of a run.

    Attributes:
        start: changes from then on are read; None: everything.
        end: the watermark after it.
        moves: whether the run moves the watermark at all.
        notes: what a person should know.
    """

    start: datetime | None
    end: datetime
    moves: bool
    notes: tuple[str, ...] = field(default=())


def plan(
    spec: SyncObject,
    request: Request,
    watermark: datetime | None,
    server_now: datetime,
    covered: datetime | None = None,
) -> Window:
    """Return the window of a run.

    Args:
        spec: gives look-back and lag.
        request: what is asked for.
        watermark: of the last run.
        server_now: the source's time before it answered the first query.
        covered: when the source's oldest open transaction began: what that changes has an earlier modstamp than the
            moment at which it can be seen.
    """
    end = server_now - timedelta(seconds=spec.lag_s)
    end = min(end, covered) if covered is not None else end
    if request.mode is Mode.RECORDS:
        return Window(None, end, moves=False)
    moves = request.moves_watermark
    if request.mode is Mode.FULL:
        return Window(None, end, moves)
    if request.since is not None:
        # From later than the watermark the run leaves a gap behind itself.
        gap = watermark is None or request.since > watermark
        notes = ("`since` is later than the watermark, which therefore stays where it is.",) if gap and moves else ()
        return Window(request.since, end, moves and not gap, notes)
    if watermark is None:
        return Window(None, end, moves)
    if watermark > server_now:
        said = f"The watermark {watermark:%Y-%m-%d %H:%M} lay in the source's future; everything was read again."
        return Window(None, end, moves, (said,))
    return Window(watermark - timedelta(seconds=spec.lookback_s), end, moves)

"""What to do when Redis is not as the ledger remembers it, and how lost entries are counted.

Every entry ever added is either not ours (`added_offset`: from before us, or written off), processed
(`read`), known to be lost, unread, or pending::

    entries-added = added_offset + read + lost + unread + pending

Redis itself does not show that unread entries were trimmed: `lag` simply shrinks. The equation does.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.organism.ledger import Ledger
from include.organism.stream import ZERO, InteractionStream, StreamState

# Looks at stream and pending lists that must agree; another reader may move entries in between.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Healing:
    """What was found and mended.

    Attributes:
        events: `group_created`, `group_recreated`, `stream_lifted`, `redis_went_back`.
        changes: ledger properties to set; None removes one.
        lost: entries known to be gone (a lower bound after `redis_went_back`).
    """

    events: tuple[str, ...]
    changes: dict[str, int | None]
    lost: int


def heal(stream: InteractionStream, ledger: Ledger) -> Healing:
    """Bring stream and group to where the ledger stands; repeating it changes nothing.

    A missing group is made anew at the watermark, so that no entry is skipped (`$`) or read twice
    (`0`). Where the watermark's entry is gone too, this may be another stream, with new entries of
    lower ids: then all that is there is read, and the event ids tell what was applied. A stream that
    lost its tail is lifted above the watermark, because otherwise new entries would get ids that
    count as done.
    """
    state = stream.state()
    known = ledger.watermark > ZERO or ledger.totals.read > 0
    went_back = known and (state.added < ledger.added_seen or state.last_id < ledger.watermark)
    events: list[str] = []
    changes: dict[str, int | None] = {}
    if not state.group_exists:
        stream.create_group(after=ledger.watermark if stream.holds(ledger.watermark) else ZERO)
        events.append("group_recreated" if known else "group_created")
        if not known:
            changes["added_offset"] = state.added - state.length
    if state.last_id < ledger.watermark:
        stream.lift(ledger.watermark)
        events.append("stream_lifted")
    lost = 0
    if went_back:
        events.append("redis_went_back")
        lost = _lost_at_least(state, ledger)
        changes |= {"added_offset": None, "added_seen": state.added, "lost": ledger.totals.lost + lost}
    return Healing(tuple(events), changes, lost)


def _lost_at_least(state: StreamState, ledger: Ledger) -> int:
    """Entries that had been added when we last counted, are not processed and no longer there."""
    if ledger.added_offset is None or state.unread is None:
        return 0
    accounted = ledger.added_offset + ledger.totals.read + ledger.totals.lost
    return max(0, ledger.added_seen - accounted - state.unread - state.pending)


def account(stream: InteractionStream, ledger: Ledger) -> tuple[dict[str, int | None], int]:
    """Solve the module's equation for `lost`.

    Returns:
        Ledger properties to set, and how many entries were lost since the last time. Both are empty
        while more than a thousand entries are unread: a later run counts.
    """
    totals = ledger.totals
    for _ in range(_LOOKS):
        state = stream.state()
        if state.unread is None or not state.group_exists:
            return {}, 0
        waiting = stream.count_pending_after(ledger.watermark) + stream.count_foreign_pending()
        rest = state.added - totals.read - totals.lost - state.unread - waiting
        if ledger.added_offset is None:
            return {"added_offset": rest, "added_seen": state.added}, 0
        lost = rest - ledger.added_offset
        if lost >= 0:
            return {"added_seen": state.added, "lost": totals.lost + lost}, lost
    # More was processed than was ever added: the counter was reset unseen. Count anew from here.
    return {"added_offset": rest, "added_seen": state.added}, 0

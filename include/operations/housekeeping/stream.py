"""Trims the interaction stream behind what the graph has committed, and never what somebody still has to read.

The bound is the graph's watermark less a margin. It is moved back further, in Redis itself and in the same step as
the trimming, to the oldest entry that any consumer group has pending or to the last one it was given: so neither an
unread nor an unacknowledged entry of any group can go, not even of one that was made a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from include.organism.stream import ZERO, StreamId

if TYPE_CHECKING:
    import redis

    from include.organism.settings import Settings

# Whole nodes of the stream (~), at most so many entries in one step, so that nobody waits for the script.
_STEP: Final = 20_000
# Ids are compared as text of digits, longer is larger: Lua's numbers are exact to 2^53 only.
_TRIM: Final = """
local function parts(id) return string.match(id, '^(%d+)-(%d+)$') end
local function less(a, b)
  local a1, a2 = parts(a)
  local b1, b2 = parts(b)
  if a1 ~= b1 then
    if #a1 ~= #b1 then return #a1 < #b1 end
    return a1 < b1
  end
  if #a2 ~= #b2 then return #a2 < #b2 end
  return a2 < b2
end
local bound, held = ARGV[2], ''
local known = false
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    known = known or group['name'] == ARGV[1]
    local needs = group['last-delivered-id']
    if group['pending'] > 0 then
      local oldest = redis.call('XPENDING', KEYS[1], group['name'])[2]
      if oldest and less(oldest, needs) then needs = oldest end
    end
    if less(needs, bound) then bound, held = needs, group['name'] end
  end
end
if not known then return {0, '0-0', ARGV[1]} end
return {redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[3]), bound, held}
"""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was done.

    Attributes:
        removed: entries removed.
        left: entries still in the stream.
        before: entries older than this id could go.
        held_by: the consumer group because of which the bound was moved back; empty: none.
    """

    removed: int
    left: int
    before: StreamId
    held_by: str


def trim(client: redis.Redis, settings: Settings, watermark: StreamId, keep_hours: float) -> Trimmed:
    """Remove entries that the graph committed more than `keep_hours` of stream time before its watermark.

    Measured from the watermark and not from a clock: while nothing is committed, nothing is removed. Without the
    pipeline's own group nothing is removed either, since then nobody can say what was read.
    """
    wanted = StreamId(max(0, watermark.ms - round(keep_hours * 3_600_000)), 0)
    removed, before, held_by = 0, ZERO, ""
    while True:
        reply = cast("list[Any]", client.eval(_TRIM, 1, settings.stream, settings.group, str(wanted), str(_STEP)))
        before, held_by = StreamId.parse(reply[1]), reply[2].decode(errors="replace")
        removed += reply[0]
        if not reply[0]:
            return Trimmed(removed, client.xlen(settings.stream), before, held_by)

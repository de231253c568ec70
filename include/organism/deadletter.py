"""Dead letters: entries that cannot be used, kept with the reason until a person decides.

An entry of `interactions:dead` holds the original fields under their own names and adds `reason`,
`code`, `original_id` and `dead_at` (epoch milliseconds). An original field with one of those names
is kept as `field:<name>`; a very large one is cut, and `truncated` names it.

Of a letter that a person discarded, `interactions:dead:log` keeps who did it, when and why, and none of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import redis

from include.operations.errors import InputRejected
from include.operations.scrub import scrub
from include.organism.messages import InvalidMessageError
from include.organism.settings import Settings
from include.organism.stream import Entry, StreamId

_OURS = (b"reason", b"code", b"original_id", b"dead_at", b"truncated")
_MOST_FIELDS = 100
_KEPT_BYTES = 1_024
_PAGE = 1_000

# The index makes a repeated parking harmless: a run may die between parking and commit.
_PARK = """
if redis.call('HSETNX', KEYS[2], ARGV[1], '') == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2)))
return 1
"""

# By script, because redis-py turns fields into a dictionary, which hides a repeated one.
_READ_PAGE = "return redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])"

# A replay must not add an entry that somebody else replayed or discarded meanwhile.
_REPLAY = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('XADD', KEYS[3], '*', unpack(ARGV, 3))
return 1
"""

# In one step, so that no letter is gone without a word about it.
_DISCARD = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('XADD', KEYS[3], '*', 'letter', ARGV[1], 'original_id', ARGV[2], 'code', ARGV[3], 'reason', ARGV[4],
  'who', ARGV[5])
return 1
"""


class Discarded(NamedTuple):
    """What is remembered of a discarded letter.

    Attributes:
        at: epoch milliseconds, by Redis's clock.
        letter: the letter's id.
        original_id: the entry's id in the interaction stream.
        code: why the pipeline had refused the entry.
        reason: why it was discarded.
        who: account of the person on the machine the command ran on.
    """

    at: int
    letter: str
    original_id: str
    code: str
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked entry.

    Attributes:
        id: its id in the dead stream.
        original_id: its id in the interaction stream.
        code: short reason, for counting.
        reason: plain sentence.
        dead_at: epoch milliseconds.
        fields: the original flat field list.
        truncated: names of fields that were cut; such a letter cannot be replayed.
    """

    id: StreamId
    original_id: str
    code: str
    reason: str
    dead_at: int
    fields: tuple[bytes, ...]
    truncated: str


class DeadLetters:
    """The stream of dead letters beside the interaction stream."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._redis = client
        self._live = settings.stream
        self.key = settings.dead_stream
        self._index = f"{self.key}:index"
        self._log = f"{self.key}:log"
        self._max_field = settings.max_field_bytes
        self._park_script = client.register_script(_PARK)
        self._page_script = client.register_script(_READ_PAGE)
        self._replay_script = client.register_script(_REPLAY)
        self._discard_script = client.register_script(_DISCARD)

    def park(self, rejected: Iterable[tuple[Entry, InvalidMessageError]], now_ms: int) -> None:
        """Add each entry with its reason; one that is there already is left alone."""
        with self._redis.pipeline(transaction=False) as pipe:
            for entry, why in rejected:
                ours: list[str | bytes | int] = [
                    b"reason",
                    why.reason,
                    b"code",
                    why.code,
                    b"original_id",
                    entry.id,
                    b"dead_at",
                    now_ms,
                ]
                arguments: list[str | bytes | int] = [entry.id, *self._keep(entry.raw or []), *ours]
                self._park_script(keys=[self.key, self._index], args=arguments, client=pipe)
            pipe.execute()

    def _keep(self, raw: list[bytes]) -> list[bytes]:
        kept: list[bytes] = []
        cut = []
        for position in range(0, min(len(raw), 2 * _MOST_FIELDS), 2):
            name, value = raw[position], raw[position + 1]
            if len(name) + len(value) > self._max_field:
                cut.append(f"{name[:40].decode(errors='replace')} ({len(value)} bytes)")
                name, value = name[:_KEPT_BYTES], value[:_KEPT_BYTES]
            kept += [b"field:" + name if name in _OURS else name, value]
        if len(raw) > 2 * _MOST_FIELDS:
            cut.append(f"{len(raw) // 2 - _MOST_FIELDS} more fields")
        return [*kept, b"truncated", ", ".join(cut).encode()] if cut else kept

    def count(self) -> int:
        """How many dead letters wait."""
        return self._redis.xlen(self.key)

    def find(self, original_id: str) -> str | None:
        """The id of the letter that holds this entry of the interaction stream."""
        found = self._redis.hget(self._index, original_id)
        return None if found is None else found.decode() if isinstance(found, bytes) else str(found)

    def letters(self, ids: Iterable[str] | None = None, limit: int | None = None) -> Iterator[DeadLetter]:
        """The letters with these ids, or the oldest `limit` ones, or all."""
        if ids is not None:
            for letter_id in ids:
                found = self._page(letter_id, letter_id, 1)
                if not found:
                    raise InputRejected(f"no dead letter {letter_id} in {self.key}", what_to_do="see `deadletter list`")
                yield found[0]
            return
        start, left = "-", limit
        while left is None or left > 0:
            page = self._page(start, "+", _PAGE if left is None else min(_PAGE, left))
            if not page:
                return
            yield from page
            start = f"({page[-1].id}"
            left = None if left is None else left - len(page)

    def _page(self, low: str, high: str, count: int) -> list[DeadLetter]:
        reply = cast("list[Any]", self._page_script(keys=[self.key], args=[low, high, count]))
        return [_letter(StreamId.parse(entry_id), raw) for entry_id, raw in reply]

    def replay(self, letter: DeadLetter) -> bool:
        """Put a letter back at the end of the interaction stream; False when it is gone already.

        Raises:
            InputRejected: the letter was cut, so its entry no longer exists in full.
        """
        if letter.truncated:
            raise InputRejected(
                f"dead letter {letter.id} cannot be replayed: cut when it was parked: {letter.truncated}",
                what_to_do="publish the event again from its source and discard the letter",
            )
        keys = [self.key, self._index, self._live]
        return bool(self._replay_script(keys=keys, args=[str(letter.id), letter.original_id, *letter.fields]))

    def discard(self, letter: DeadLetter, *, reason: str, who: str) -> bool:
        """Delete a letter for good and remember who did it and why; False when it is gone already."""
        keys = [self.key, self._index, self._log]
        arguments = [str(letter.id), letter.original_id, letter.code, scrub(reason), who]
        return bool(self._discard_script(keys=keys, args=arguments))

    def discarded(self, limit: int) -> list[Discarded]:
        """The letters that were discarded last, newest first."""
        found = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrevrange(self._log, count=limit))
        return [
            Discarded(StreamId.parse(entry_id).ms, *(fields[name.encode()].decode() for name in Discarded._fields[1:]))
            for entry_id, fields in found
        ]


def _letter(letter_id: StreamId, raw: list[bytes]) -> DeadLetter:
    ours: dict[bytes, str] = {}
    fields: list[bytes] = []
    for name, value in zip(raw[::2], raw[1::2], strict=True):
        if name in _OURS:
            ours[name] = value.decode(errors="replace")
        else:
            fields += [name.removeprefix(b"field:"), value]
    return DeadLetter(
        id=letter_id,
        original_id=ours.get(b"original_id", ""),
        code=ours.get(b"code", ""),
        reason=ours.get(b"reason", ""),
        dead_at=int(ours.get(b"dead_at", "0")),
        fields=tuple(fields),
        truncated=ours.get(b"truncated", ""),
    )

"""The event ids applied within the dedupe window, in eight bytes each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DTYPE = np.dtype("<u8")
# The newest digests are in a Python set of at most so many, older ones in sorted arrays.
_FRESH_LIMIT = 20_000
# An array grows up to this size; sorting a larger one anew would show in the process's memory.
_PART_LIMIT = 400_000

Digests = NDArray[np.uint64]


class SeenEvents:
    """A set of 64-bit digests: a few sorted arrays, and a small Python set of the newest ones.

    A plain set of a few million integers takes ten times the memory; a million-entry backlog must
    not show in the process size.
    """

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        loaded = [np.frombuffer(chunk, DTYPE) for chunk in chunks]
        self._parts: list[Digests] = [np.sort(np.concatenate(loaded))] if loaded else []
        self._fresh: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + len(self._fresh)

    def unseen(self, digests: list[int]) -> list[bool]:
        """For each digest whether it is new; new ones are remembered, so a repeat in the list is not."""
        fresh = self._fresh
        result = []
        for digest, known in zip(digests, self._in_parts(digests), strict=True):
            new = not known and digest not in fresh
            result.append(new)
            if new:
                fresh.add(digest)
        if len(fresh) > _FRESH_LIMIT:
            self._settle_fresh()
        return result

    def forget(self, digest: int) -> None:
        """Take one digest out: its event was not applied after all."""
        self._fresh.discard(digest)
        self._parts = [part[part != np.uint64(digest)] for part in self._parts]

    def _in_parts(self, digests: list[int]) -> list[bool]:
        wanted = np.array(digests, DTYPE)
        found = np.zeros(len(wanted), bool)
        for part in filter(len, self._parts):
            places = np.searchsorted(part, wanted)
            places[places == len(part)] = 0
            found |= part[places] == wanted
        answer: list[bool] = found.tolist()
        return answer

    def _settle_fresh(self) -> None:
        newest = np.fromiter(self._fresh, DTYPE, len(self._fresh))
        self._fresh.clear()
        if len(self._parts) > 1 and len(self._parts[-1]) < _PART_LIMIT:
            newest = np.concatenate([self._parts.pop(), newest])
        newest.sort()
        self._parts.append(newest)


def pack(digests: list[int]) -> bytes:
    """Digests as the byte string that a `SeenEvents` node holds."""
    return np.array(digests, DTYPE).tobytes()

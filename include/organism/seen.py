"""The event ids applied within the dedupe window, in eight bytes each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DTYPE = np.dtype("<u8")
_FRESH_LIMIT = 50_000


class SeenEvents:
    """A set of 64-bit digests: a sorted array, and a small Python set of the newest ones.

    A plain set of a few million integers takes ten times the memory; a million-entry backlog must
    not show in the process size.
    """

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        parts = [np.frombuffer(chunk, DTYPE) for chunk in chunks]
        self._sorted: NDArray[np.uint64] = np.unique(np.concatenate(parts)) if parts else np.empty(0, DTYPE)
        self._fresh: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._fresh)

    def unseen(self, digests: list[int]) -> list[bool]:
        """For each digest whether it is new; new ones are remembered, so a repeat in the list is not."""
        old = self._in_sorted(digests)
        fresh = self._fresh
        result = []
        for digest, known in zip(digests, old, strict=True):
            new = not known and digest not in fresh
            result.append(new)
            if new:
                fresh.add(digest)
        if len(fresh) > _FRESH_LIMIT:
            self._sorted = np.union1d(self._sorted, np.fromiter(fresh, DTYPE, len(fresh)))
            fresh.clear()
        return result

    def forget(self, digest: int) -> None:
        """Take one digest out: its event was not applied after all."""
        self._fresh.discard(digest)
        self._sorted = self._sorted[self._sorted != np.uint64(digest)]

    def _in_sorted(self, digests: list[int]) -> list[bool]:
        if not len(self._sorted):
            return [False] * len(digests)
        wanted = np.array(digests, DTYPE)
        places = np.searchsorted(self._sorted, wanted)
        places[places == len(self._sorted)] = 0
        found: list[bool] = (self._sorted[places] == wanted).tolist()
        return found


def pack(digests: list[int]) -> bytes:
    """Digests as the byte string that a `SeenEvents` node holds."""
    return np.array(digests, DTYPE).tobytes()

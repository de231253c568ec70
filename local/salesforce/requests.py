"""The log of requests: what clients asked for, and what it cost."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

_MOST = 100_000


@dataclass(frozen=True)
class Entry:
    """One request to the organisation. `calls`: how many API calls it counted as; `query`: SOQL, if it had any."""

    at: str
    method: str
    path: str
    query: str
    status: int
    bytes: int
    job_id: str
    calls: int


class RequestLog:
    """The last requests, oldest first; those of the admin routes are not among them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_MOST)

    def add(self, entry: Entry) -> None:
        """Remember a request."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def entries(self) -> list[dict[str, Any]]:
        """Return what was asked, oldest first."""
        return [asdict(each) for each in self._entries]

"""What an organisation may use within 24 hours."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from local.salesforce.clock import Clock

CALLS = "DailyApiRequests"
BULK_JOBS = "DailyBulkV2QueryJobs"
BULK_STORAGE_MB = "DailyBulkV2QueryFileStorageMB"
_MOST = {CALLS: 100_000, BULK_JOBS: 10_000, BULK_STORAGE_MB: 976_562}
_WINDOW = timedelta(hours=24)
_GRAIN = timedelta(minutes=10)


class Quotas:
    """Counts over the last 24 hours of the organisation's clock, to ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget what was used, and use the usual limits."""
        self.most = dict(_MOST)
        # Both styles of the header are real; `Sforce-Limit-Info: api-usage=18/100000; api-bursts=1/750`.
        self.bursts = False
        self._uses: dict[str, deque[tuple[datetime, float]]] = {name: deque() for name in _MOST}

    def use(self, name: str, amount: float = 1) -> None:
        """Count a use."""
        now, uses = self._clock.now(), self._uses[name]
        if uses and timedelta(0) <= now - uses[-1][0] < _GRAIN:
            uses[-1] = (uses[-1][0], uses[-1][1] + amount)
        else:
            uses.append((now, amount))

    def used(self, name: str) -> float:
        """Return how much was used within the last 24 hours."""
        since, uses = self._clock.now() - _WINDOW, self._uses[name]
        while uses and uses[0][0] < since:
            uses.popleft()
        return sum(amount for _, amount in uses)

    def set_used(self, name: str, amount: float) -> None:
        """Pretend that so much was used just now, and nothing before."""
        self._uses[name].clear()
        self.use(name, amount)

    def remaining(self, name: str) -> int:
        """Return what is left, never below zero."""
        return max(0, int(self.most[name] - self.used(name)))

    def limits(self) -> dict[str, dict[str, int]]:
        """Return the answer to `limits`."""
        return {name: {"Max": self.most[name], "Remaining": self.remaining(name)} for name in self.most}

    def header(self) -> str:
        """Return the value of Sforce-Limit-Info."""
        usage = f"api-usage={int(self.used(CALLS))}/{self.most[CALLS]}"
        return f"{usage}; api-bursts=1/750" if self.bursts else usage

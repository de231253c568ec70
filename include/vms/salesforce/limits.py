"""The org's quotas: read leniently, and a share of them left to others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from include.vms.salesforce.errors import QuotaReserved

# `api-usage=10018/100000`, alone or among others: `api-usage=10018/100000; api-bursts=1/750`.
_USAGE: Final = re.compile(r"(?:^|[;,\s])api-usage\s*=\s*(\d+)\s*/\s*(\d+)", re.IGNORECASE)
# Salesforce counts the last 24 hours: some calls are free again at any time, how many nobody knows before asking.
_ASK_AGAIN: Final = timedelta(hours=1)

BULK_JOBS: Final = "DailyBulkV2QueryJobs"
BULK_MEGABYTES: Final = "DailyBulkV2QueryFileStorageMB"


@dataclass(frozen=True)
class Quota:
    """How much of a daily limit is used."""

    used: int
    limit: int

    def left(self, reserve_share: float) -> int:
        """How much may be used by us, after the share that is left to others."""
        return max(int(self.limit * (1 - reserve_share)) - self.used, 0)


def read_usage(header: str | None) -> Quota | None:
    """The calls of the last 24 hours from `Sforce-Limit-Info`; None when the header does not say."""
    found = _USAGE.search(header or "")
    return Quota(int(found[1]), int(found[2])) if found and int(found[2]) > 0 else None


def of_limits(limits: Any, name: str) -> Quota | None:
    """One limit of the `/limits` reply; None when the org does not tell it."""
    one = limits.get(name) if isinstance(limits, dict) else None
    if not isinstance(one, dict) or not isinstance(one.get("Max"), int) or not isinstance(one.get("Remaining"), int):
        return None
    return Quota(one["Max"] - one["Remaining"], one["Max"]) if one["Max"] > 0 else None


def require(quota: Quota | None, needed: int, reserve_share: float, what: str, now: datetime) -> None:
    """Refuse before the work begins what would eat into the reserve. An unknown quota refuses nothing.

    Args:
        quota: of the last 24 hours.
        needed: how many calls or jobs the work takes.
        reserve_share: part that is left to others.
        what: is counted, e.g. `API calls`.
        now: of the server, for the time at which it is worth asking again.

    Raises:
        QuotaReserved: too little is left.
    """
    if quota is None or needed <= quota.left(reserve_share):
        return
    again = now + _ASK_AGAIN
    raise QuotaReserved(
        f"{quota.used:,} of {quota.limit:,} {what} of the last 24 hours are used; {reserve_share:.0%} are reserved for "
        f"others, and {needed:,} more are needed.",
        what_to_do=f"Nothing: from {again:%H:%M} UTC it is asked again, as used calls become 24 hours old. If it "
        "happens often, buy calls or lower SALESFORCE_RESERVE_SHARE.",
        retry_after=_ASK_AGAIN,
    )

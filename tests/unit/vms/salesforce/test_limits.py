"""Quotas: both forms of the header, unknown ones, the share that is left to others."""

from datetime import UTC, datetime

import pytest

from include.operations.errors import ErrorClass, classify
from include.vms.salesforce import limits
from include.vms.salesforce.errors import QuotaReserved
from include.vms.salesforce.limits import Quota

NOW = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "quota"),
    [
        ("api-usage=10018/100000", Quota(10018, 100000)),
        ("api-usage=10018/100000; api-bursts=1/750", Quota(10018, 100000)),
        ("api-bursts=1/750; API-Usage = 5 / 10", Quota(5, 10)),
        ("per-app-api-usage=17/250(appName=sample); api-usage=1/2", Quota(1, 2)),
        ("per-app-api-usage=17/250(appName=sample)", None),
        ("api-usage=unknown", None),
        ("api-usage=1/0", None),
        ("", None),
        (None, None),
    ],
)
def test_header_is_read_leniently(header, quota):
    assert limits.read_usage(header) == quota


def test_limits_reply():
    reply = {"DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 9990}, "Odd": {"Max": "many"}}
    assert limits.of_limits(reply, limits.BULK_JOBS) == Quota(10, 10000)
    assert limits.of_limits(reply, "Odd") is None
    assert limits.of_limits([], "Odd") is None


def test_reserve_is_left_to_others():
    limits.require(Quota(79, 100), 1, 0.2, "API calls", NOW)
    limits.require(None, 1000, 0.2, "API calls", NOW)
    with pytest.raises(QuotaReserved, match=r"80 of 100 API calls .* 20% are reserved .* from 13:05 UTC") as refused:
        limits.require(Quota(80, 100), 1, 0.2, "API calls", NOW)
    found = classify(refused.value)
    assert (found.error_class, found.transient, found.service) == (ErrorClass.RATE_LIMIT, False, "salesforce")
    assert found.retry_after is not None

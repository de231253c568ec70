"""Windows: from the watermark's look-back to the server's time less a lag, and what moves the watermark."""

from datetime import UTC, datetime, timedelta

import pytest

from include.vms import registry, window
from include.vms.contracts import Mode, Request

SPEC = registry.get("districts")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
END = NOW - timedelta(seconds=SPEC.lag_s)


def plan(watermark=None, **asked):
    return window.plan(SPEC, Request(**asked), watermark, NOW)


def test_incremental_looks_back_and_ends_before_now():
    found = plan(NOW - HOUR)
    assert found.start == NOW - HOUR - timedelta(seconds=SPEC.lookback_s)
    assert (found.end, found.moves, found.notes) == (END, True, ())


def test_open_transaction_at_the_source_holds_the_watermark_back():
    began = NOW - 3 * HOUR
    assert window.plan(SPEC, Request(), NOW - HOUR, NOW, began).end == began
    assert window.plan(SPEC, Request(), NOW - HOUR, NOW, NOW).end == END


def test_without_watermark_everything():
    assert (plan().start, plan().moves) == (None, True)
    assert plan(NOW - HOUR, mode=Mode.FULL).start is None


def test_watermark_of_the_future_reads_everything_again():
    found = plan(datetime(2999, 1, 1, tzinfo=UTC))
    assert (found.start, found.end, found.moves) == (None, END, True)
    assert "future" in found.notes[0]


@pytest.mark.parametrize(
    ("since", "watermark", "moves"),
    [(NOW - 3 * HOUR, NOW - HOUR, True), (NOW - HOUR, NOW - 3 * HOUR, False), (NOW - HOUR, None, False)],
)
def test_since_moves_the_watermark_only_without_a_gap(since, watermark, moves):
    found = plan(watermark, since=since)
    assert (found.start, found.moves) == (since, moves)
    assert bool(found.notes) is not moves


@pytest.mark.parametrize("asked", [{"limit": 5}, {"dry_run": True}, {"mode": Mode.RECORDS, "ids": ("003",)}])
def test_what_covers_no_window_moves_nothing(asked):
    assert not plan(NOW - HOUR, **asked).moves

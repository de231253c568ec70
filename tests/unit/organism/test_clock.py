"""C1: daylight saving, leap days, skewed and future times. The pipeline has one clock, the servers'."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from include.operations.doctor import Level
from include.operations.doctor.servers import Clocks
from include.organism.messages import InvalidMessageError, Limits, Parser
from tests.faults.bad_messages import message

ORGANISM = Path(__file__).parents[3] / "include" / "organism"
# 2028-03-01, one day after a leap day, on the server's clock.
NOW_MS = 1_835_481_600_000
TOLERANCE_MS = 86_400_000
# What reads this machine's clock or its time zone.
LOCAL_CLOCK = {
    *("time.time", "time.time_ns", "time.localtime", "time.mktime", "time.strftime", "time.ctime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}


def time_ms(text: str) -> int:
    limits = Limits(earliest_ms=0, latest_ms=NOW_MS + TOLERANCE_MS)
    return Parser(limits).parse(message(timestamp=text)).at_ms


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        # Paris, spring and autumn; New York, spring and autumn: the wall clock jumps, time does not.
        ("2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00", 1),
        ("2026-10-25T02:59:59+02:00", "2026-10-25T02:00:00+01:00", 1),
        ("2026-03-08T01:59:59-05:00", "2026-03-08T03:00:00-04:00", 1),
        ("2026-11-01T01:59:59-04:00", "2026-11-01T01:00:00-05:00", 1),
        # The hour that comes twice is told apart by its offset.
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", 3600),
        ("2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z", 1),
        ("2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z", 1),
        ("2027-02-28T23:59:59Z", "2027-03-01T00:00:00Z", 1),
        ("2027-12-31T23:59:59Z", "2028-01-01T00:00:00Z", 1),
    ],
)
def test_time_goes_on_where_the_wall_clock_jumps(before: str, after: str, seconds: int) -> None:
    assert time_ms(after) - time_ms(before) == seconds * 1000


@pytest.mark.parametrize("text", ["2027-02-29T00:00:00Z", "2028-02-30T00:00:00Z", "2026-03-29T25:00:00+01:00"])
def test_a_day_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        time_ms(text)
    assert caught.value.code == "bad_timestamp"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_the_zone_of_this_machine_means_nothing(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert time_ms("2026-03-29T02:30:00") == time_ms("2026-03-29T02:30:00Z") == 1_774_751_400_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_future_begins_after_the_tolerance_of_the_servers_clock() -> None:
    edge = (NOW_MS + TOLERANCE_MS) / 1000
    assert time_ms(f"{edge:.0f}") == NOW_MS + TOLERANCE_MS
    for text in (f"{edge + 1:.0f}", "2999-01-01T00:00:00Z"):
        with pytest.raises(InvalidMessageError) as caught:
            time_ms(text)
        assert caught.value.code == "future_timestamp"


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0])
def test_the_doctor_sees_an_hour_of_skew(skew_s: float) -> None:
    clocks = Clocks(now=lambda: NOW_MS / 1000 + skew_s)
    for server in ("Redis", "Neo4j", "Postgres"):
        clocks.note(server, lambda: NOW_MS / 1000)
    (finding,) = clocks.findings()
    assert finding.level is Level.WARN
    assert finding.found.startswith("3600.0 s apart")


def test_no_module_of_the_pipeline_reads_this_machines_clock() -> None:
    """Watermarks, leases and limits come from Redis and Neo4j; only durations are measured here."""
    found = [
        (f"{node.value.id}.{node.attr}", path.name, node.lineno)
        for path in ORGANISM.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    ]
    assert ("time.monotonic", "drain.py") in {each[:2] for each in found}, "durations are measured here"
    assert [each for each in found if each[0] in LOCAL_CLOCK] == []

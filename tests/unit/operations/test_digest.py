"""The weekly digest's words and picture."""

import zlib
from datetime import UTC, date, datetime, timedelta

import pytest

from include.operations.statistics import digest as module
from include.operations.statistics import picture, report
from include.operations.statistics.digest import Day, Digest, Figures, TopError

MONDAY = date(2026, 11, 9)


def figures(dag_id="*", total=200, failed=3, p95=42.0, **changes):
    given = {
        "dag_id": dag_id,
        "total": total,
        "ok": total - failed,
        "failed": failed,
        "tries": 1000,
        "retries": 51,
        "restarts": 4,
        "clears": 1,
        "p50_s": p95 / 2 if p95 else p95,
        "p95_s": p95,
        "max_s": p95,
        "errors": {"NETWORK": 51},
    }
    return Figures(**{**given, **changes})


def made(**changes):
    given = {
        "monday": MONDAY,
        "now": figures(),
        "before": figures(total=100, failed=4, retries=20),
        "dags": (figures("slow", p95=4000.0), figures("<quick>", p95=1.5), figures("silent", total=0, p95=None)),
        "dags_before": {"slow": figures("slow", p95=70.0)},
        "days": tuple(Day(MONDAY + timedelta(days=n), 28, n % 2) for n in range(-7, 7)),
        "top_errors": (TopError("NETWORK", "HTTP_503", "slow", "fetch", 40, datetime(2026, 11, 11, 3, 7, tzinfo=UTC)),),
        "rejected": {"roster rows refused": 1200, "dead letters": 0},
        "rejected_before": {"roster rows refused": 3},
    }
    return Digest(**{**given, **changes})


def test_the_text():
    assert report.title(made()) == "Week of 09 November 2026: 98.5 % of 200 runs successful"
    expected = """\
Success rate: 98.5 % (+2.5 points)
Runs: 200 (100 before)
Failed runs: 3 (4 before)
Retry rate: 5.1 % (+3.1 points)
Restarted or cleared tries: 4 by a scheduler, 1 by a person (as before)

Slowest:
- slow: p95 1.1h, median 33.3m (1.2m before)
- <quick>: p95 1.5s, median 0.8s (no run before)

Top errors:
- 40 x NETWORK HTTP_503 in slow.fetch, last Wed 03:07

Rejected:
- roster rows refused: 1,200 (3 before)
- dead letters: 0 (as before)
"""
    assert report.text(made()).startswith(expected)


def test_the_html_says_the_same_and_escapes_what_comes_from_data():
    html = report.html(made())
    for words in ("98.5 %", "+2.5 points", "1.1h", "HTTP_503", "slow.fetch", "1,200", "&lt;quick&gt;"):
        assert words in html
    assert "<quick>" not in html


def test_a_first_week_has_nothing_to_compare_with():
    nothing = figures(total=0, failed=0, p95=None, tries=0, retries=0, restarts=0, clears=0)
    text = report.text(made(before=nothing, dags_before={}, top_errors=()))
    assert "Success rate: 98.5 % (no comparison)" in text
    assert "Top errors" not in text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0, "0.0s"), (59.94, "59.9s"), (60, "1.0m"), (3599, "60.0m"), (3600, "1.0h"), (86400, "24.0h")],
)
def test_durations(seconds, shown):
    assert report.duration(seconds) == shown


def colours(png):
    """The RGB colours of a PNG with 8 bits a channel, as matplotlib writes it, from the pixels of its rows."""
    width, height, channels = int.from_bytes(png[16:20]), int.from_bytes(png[20:24]), 4
    data, place = b"", 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += 12 + length
    rows, stride, before, found = zlib.decompress(data), width * channels + 1, bytes(width * channels), set()
    for number in range(height):
        kind, row = rows[number * stride], bytearray(rows[number * stride + 1 : (number + 1) * stride])
        _unfilter(kind, row, before, channels)
        found |= {tuple(row[at : at + 3]) for at in range(0, len(row), channels)}
        before = bytes(row)
    return (width, height), found


def _unfilter(kind, row, above, channels):
    for at, value in enumerate(row):
        left = row[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        guess = left + above[at] - corner
        paeth = min((left, above[at], corner), key=lambda each: abs(guess - each))
        row[at] = (value + (0, left, above[at], (left + above[at]) // 2, paeth)[kind]) & 255


OK, FAILED, BEFORE = (0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0xBB, 0xBB, 0xBB)


def test_the_picture_shows_both_weeks_and_the_failures():
    size, found = colours(picture.draw(made()))
    assert size == (1100, 462)
    assert {OK, FAILED, BEFORE} <= found


def test_without_failures_nothing_is_orange():
    days = tuple(Day(MONDAY + timedelta(days=n), 28, 0) for n in range(-7, 7))
    _, found = colours(picture.draw(made(days=days)))
    assert FAILED not in found


def test_a_week_without_anything_can_be_drawn():
    days = tuple(Day(MONDAY + timedelta(days=n), 0, 0) for n in range(-7, 7))
    assert picture.draw(made(days=days, dags=())).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("moment", "monday"),
    [
        (datetime(2026, 11, 15, 23, 59, tzinfo=UTC), date(2026, 11, 9)),
        (datetime(2026, 11, 16, tzinfo=UTC), date(2026, 11, 16)),
        (datetime.fromisoformat("2026-11-16T01:00+02:00"), date(2026, 11, 9)),
    ],
)
def test_weeks_begin_on_monday_in_utc(moment, monday):
    assert module.monday_of(moment) == monday


def test_the_key_is_the_iso_week():
    assert made(monday=date(2026, 12, 28)).key == "weekly 2026-W53"

"""Whether a run goes on with the extraction that another one left."""

from datetime import UTC, datetime, timedelta

import pytest

from include.vms import checkpoint, state
from include.vms.contracts import Mode, Request
from include.vms.paging import BULK, Reading

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = ("Id", "Name")
READING = Reading("SELECT Id,Name FROM Account", FIELDS, 5000, BULK, "5,000 rows")


def left(begun=None, age=timedelta(hours=1), attempts=1, phase=state.EXTRACTING):
    kept = checkpoint.remember(begun or Request(), READING, "", moves_watermark=True)
    return state.State(
        "x", 2, None, None, None, None, None, phase, kept, None, NOW - age, BULK, "750", NOW - age, "L", 3, 30, attempts
    )


def judge(found, asked=None, fields=FIELDS):
    return checkpoint.judge(found, asked or Request(), fields, NOW)


FULL = Request(mode=Mode.FULL)
SINCE = Request(since=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("begun", "asked"), [(Request(), Request()), (FULL, FULL), (FULL, Request()), (FULL, SINCE), (SINCE, SINCE)]
)
def test_goes_on_with_what_covers_the_request(begun, asked):
    assert judge(left(begun), asked).usable


@pytest.mark.parametrize(
    ("begun", "asked"),
    [
        (Request(), FULL),
        (Request(), SINCE),
        (SINCE, Request()),
        (FULL, Request(dry_run=True)),
        (Request(dry_run=True), Request()),
        (Request(limit=5), Request()),
        (FULL, Request(mode=Mode.RECORDS, ids=("003000000000001",))),
        (Request(mode=Mode.RECORDS), Request()),
    ],
)
def test_drops_what_does_not(begun, asked):
    found = judge(left(begun), asked)
    assert not found.usable
    assert "dropped" in found.note


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (left(attempts=checkpoint.MAX_ATTEMPTS), "5 tries"),
        (left(age=timedelta(days=7)), "no longer"),
    ],
)
def test_is_bounded(found, words):
    assert words in judge(found).note


def test_other_fields_begin_anew():
    assert "other fields" in judge(left(), fields=("Id",)).note


def test_nothing_under_way_is_no_news():
    assert judge(left(phase=state.EXTRACTED)) == checkpoint.Leftover(usable=False)


def test_reading_comes_back_as_it_was_kept():
    assert checkpoint.reading_of(left()) == READING

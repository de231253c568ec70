"""Moving the events of a file: a bad time moves nothing, and no good row becomes a bad one."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.errors import InputRejected
from include.organism.event_files import read_rows
from include.organism.event_times import Limits, Shift
from include.organism.messages import InvalidMessageError, Parser
from include.organism.messages import Limits as ParserLimits

NOW = 1_760_000_000
LIMITS = Limits(0, NOW + 86_400)
MILLISECONDS = "1759999999000"


def rows(*times):
    text = "source,target,timestamp\n" + "".join(f"a,b,{time}\n" for time in times)
    return list(read_rows(io.BytesIO(text.encode())))


def moved(times, end=NOW, limits=LIMITS):
    shift = Shift.to_end_at(end, rows(*times), limits)
    return shift, [shift.moved(row)[b"timestamp"].decode() for row in rows(*times)]


@pytest.mark.parametrize("bad", ["inf", "-inf", "nan", "1e400", "1e300", MILLISECONDS, "soon", "", "-5", "1_000"])
def test_a_bad_time_moves_no_other_row_and_is_counted(bad):
    shift, times = moved(["100", bad, "400.5", "250"])
    assert times == ["1759999699.5", bad, str(NOW), "1759999849.5"]
    assert (shift.ignored, shift.rows) == (1, 4)


def test_times_of_day_and_of_the_epoch_are_moved_alike():
    assert moved(["2020-01-01T00:00:00Z", "1577836860"])[1] == [str(NOW - 60), str(NOW)]


def test_without_a_plausible_time_nothing_is_moved():
    with pytest.raises(InputRejected, match="no row has a time between 1970 and now") as caught:
        moved([MILLISECONDS, "soon"])
    assert "milliseconds" in caught.value.what_to_do
    # Whoever sends them hears of each line.
    assert Shift.to_end_at(NOW, read_rows(io.BytesIO(b"{\n")), LIMITS).seconds == 0


def test_an_end_that_would_make_good_rows_bad_is_refused():
    with pytest.raises(InputRejected, match="before 1970-01-01"):
        moved(["1000", "400000"], end=100_000)
    with pytest.raises(InputRejected, match="in the future"):
        moved(["1000"], end=NOW + 86_401)
    assert moved(["1000", "400000"], end=NOW, limits=Limits(NOW - 500_000, NOW))[1] == [str(NOW - 399_000), str(NOW)]


@given(
    st.lists(st.one_of(st.floats(), st.floats(0, 2 * NOW), st.just(float(MILLISECONDS))), min_size=1, max_size=10),
    st.floats(0, NOW),
    st.sampled_from([0, NOW / 2]),
)
def test_what_the_pipeline_accepts_it_accepts_after_the_shift(times, end, earliest):
    limits = Limits(earliest, NOW)
    parser = Parser(ParserLimits(round(earliest * 1000), NOW * 1000))

    def good(fields):
        try:
            parser.parse([word for item in fields.items() for word in item])
        except InvalidMessageError:
            return False
        return True

    given_rows = rows(*map(repr, times))
    accepted = [row for row in given_rows if good(row.fields)]
    try:
        shift = Shift.to_end_at(end, given_rows, limits)
    except InputRejected:
        # Nothing is moved then; the tests above hold when that is.
        return
    assert all(good(shift.moved(row)) for row in accepted)

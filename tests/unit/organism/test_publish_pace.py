"""When rows are due, and which go together; the connection is the integration tests' part."""

import pytest

from include.organism.event_files import Row
from include.organism.event_times import Limits
from include.organism.publish import EventTime, Publisher, Rate

LIMITS = Limits(0, 1_800_000_000)


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Recorder(Publisher):
    """Notes when which rows would be sent."""

    def __init__(self, clock):
        super().__init__(None, "s", clock=clock, sleep=clock.sleep)
        self.sent = []

    def _send(self, chunk, _shift):
        self.sent += [(self._clock() - 100.0, number) for number, _ in chunk]


def row(timestamp="1", size=10, problem=""):
    return Row(1, {} if problem else {b"timestamp": timestamp.encode()}, size, problem)


def sent(rows, **options):
    recorder = Recorder(Clock())
    recorder.publish(rows, **options)
    return recorder.sent


def test_without_pace_nothing_waits():
    assert sent([row()] * 2500) == [(0.0, number) for number in range(1, 2501)]


def test_a_rate_is_kept_to_a_twentieth_of_a_second():
    times = sent([row()] * 1001, pace=Rate(100))
    assert all((number - 1) / 100 - 0.051 <= at <= (number - 1) / 100 + 0.001 for at, number in times)


def test_a_high_rate_sends_many_rows_at_once():
    assert len({at for at, _ in sent([row()] * 10_000, pace=Rate(10_000))}) <= 20


@pytest.mark.parametrize("speed", [1, 60])
def test_events_are_replayed_in_their_time(speed):
    times = sent([row(str(at)) for at in (5000, 5030, 5090)], pace=EventTime(speed, LIMITS))
    assert [at for at, _ in times] == pytest.approx([0, 30 / speed, 90 / speed], abs=0.051)


def test_late_events_and_events_without_time_wait_for_nobody():
    times = sent(
        [row(at) for at in ("5000", "5010", "4000", "?", "nan", "inf", "1700000000000", "5020")],
        pace=EventTime(1, LIMITS),
    )
    assert [at for at, _ in times] == pytest.approx([0, 10, 10, 10, 10, 10, 10, 20], abs=0.051)


def test_a_replay_begins_at_once_after_skipped_rows():
    times = sent([row("0"), row("9000"), row("9005")], skip=1, pace=EventTime(1, LIMITS))
    assert [(number, at) for at, number in times] == [(2, 0.0), (3, pytest.approx(5, abs=0.051))]


def test_big_rows_go_in_smaller_chunks():
    class Sizes(Recorder):
        def _send(self, chunk, _shift):
            self.sent.append(sum(row.size for _, row in chunk))

    publisher = Sizes(Clock())
    publisher.publish([row(size=1024 * 1024)] * 10)
    assert max(publisher.sent) <= 4 * 1024 * 1024
    assert sum(publisher.sent) == 10 * 1024 * 1024


def test_unreadable_rows_are_counted_and_the_first_ones_kept():
    publisher = Recorder(Clock())
    publisher.publish([row(problem="why")] * 30 + [row()])
    assert (publisher.unreadable, len(publisher.problems), len(publisher.sent)) == (30, 20, 1)

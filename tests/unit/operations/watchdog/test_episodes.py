"""When a warning begins and when it ends, by an injected clock."""

from datetime import UTC, datetime, timedelta

import pytest

from include.operations.watchdog.episodes import OPEN, OVER, SUSPECTED, Reading, advance
from include.operations.watchdog.thresholds import Threshold

START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


def threshold(**changes):
    given = {"check": "c", "title": "T", "unit": "%", "limit": 20, "severity": "P3", "normal": "below 10 %"}
    return Threshold(**given | {"source": "s", "what_to_do": "w"} | changes)


class Watch:
    """Checks every five minutes of one subject; remembers when a warning began and ended."""

    def __init__(self, **changes):
        self.thresholds = {"c": threshold(**changes)}
        self.now = START
        self.episodes = {}
        self.events = []

    def check(self, *values, checked=("c",), **fields):
        for value in values:
            readings = [] if value == "gone" else [Reading("c", "x", value, **fields)]
            after = advance(self.episodes, readings, checked, self.thresholds, self.now)
            for each in after:
                was = self.episodes.get(each.key)
                if each.state == OPEN and (was is None or was.state != OPEN):
                    self.events.append("warn")
                if each.state == OVER:
                    self.events.append("recover" if each.opened_at else "forget")
            self.episodes = {each.key: each for each in after if each.state != OVER}
            self.now += timedelta(minutes=5)
        return self

    @property
    def state(self):
        return next((each.state for each in self.episodes.values()), None)


def test_one_warning_and_one_recovery_an_episode():
    assert Watch().check(5, 25, 40, 30, 10, 10, 10, 10).events == ["warn", "recover"]


def test_a_value_that_wavers_around_the_limit_is_one_episode():
    # 16 % is where good begins: 17 and 19 end nothing, and one good check between bad ones neither.
    watch = Watch().check(25, 19, 21, 17, 22, 10, 25, 19, 10, 18, 10)
    assert watch.events == ["warn"]
    assert watch.check(10).events == ["warn", "recover"]


def test_so_many_bad_checks_in_a_row_make_a_warning():
    watch = Watch(opens_after=3).check(25, 25, 5, 25, 25)
    assert watch.events == ["forget"]
    assert watch.state == SUSPECTED
    assert watch.check(25).events == ["forget", "warn"]
    (episode,) = watch.episodes.values()
    assert episode.since == START + timedelta(minutes=15)
    assert episode.opened_at == START + timedelta(minutes=25)


def test_value_worst_and_since_are_kept():
    (episode,) = Watch().check(25, 60, 30).episodes.values()
    assert (episode.value, episode.worst, episode.threshold, episode.since) == (30, 60, 20, START)
    (episode,) = Watch(below=True, limit=95).check(90, 80, 92).episodes.values()
    assert (episode.value, episode.worst) == (92, 80)


def test_small_values_are_the_bad_ones():
    # Good begins at 96 %.
    assert Watch(below=True, limit=95).check(95, 94.9, 95.5, 95.5, 96, 96).events == ["warn", "recover"]


def test_what_is_not_there_any_more_is_well():
    watch = Watch().check(25, "gone")
    assert watch.events == ["warn"]
    assert watch.check("gone").events == ["warn", "recover"]


def test_what_could_not_be_checked_stays_as_it_is():
    watch = Watch().check(25, 10)
    watch.check("gone", "gone", "gone", checked=())
    assert watch.events == ["warn"]
    assert watch.check(10).events == ["warn", "recover"]


def test_something_that_should_not_be_counts_from_when_it_was_first_seen():
    watch = Watch(unit="min", limit=30).check(*[None] * 7)
    assert watch.events == []
    assert watch.check(None).events == ["warn"]
    (episode,) = watch.episodes.values()
    assert (episode.value, episode.since) == (35, START)
    assert watch.check("gone", "gone").events == ["warn", "recover"]


def test_something_that_should_not_be_and_is_soon_gone_is_forgotten():
    assert Watch(unit="min", limit=30).check(None, None, "gone", None, None, None, None, None).events == ["forget"]


def test_a_reading_may_bring_its_own_limit():
    assert Watch(limit=15).check(20, 29, limit=30).events == []
    assert Watch(limit=15).check(31, limit=30).events == ["warn"]


def test_what_is_switched_off_is_neither_remembered_nor_kept_open():
    assert Watch(limit=float("inf")).check(25, None).events == []
    watch = Watch().check(25)
    watch.thresholds = {"c": threshold(limit=float("inf"))}
    assert watch.check(25, 25).events == ["warn", "recover"]


def test_subjects_are_apart():
    thresholds = {"c": threshold()}
    first = advance({}, [Reading("c", "a", 25), Reading("c", "b", 5)], {"c"}, thresholds, START)
    assert [(each.subject, each.state) for each in first] == [("a", OPEN)]


def test_the_episode_of_a_check_that_no_longer_exists_ends():
    before = {each.key: each for each in advance({}, [Reading("c", "a", 25)], {"c"}, {"c": threshold()}, START)}
    (after,) = advance(before, [], set(), {}, START + timedelta(minutes=5))
    assert after.state == OVER


@pytest.mark.parametrize("hours", [2, 3])
def test_the_hour_that_summer_time_takes_or_gives_changes_nothing(hours):
    """Everything is UTC: an episode over the switch of European clocks is as long as it was."""
    watch = Watch(unit="h", limit=hours - 0.1)
    watch.now = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    watch.check(None)
    watch.now = datetime(2026, 3, 29, hours, 0, tzinfo=UTC)
    assert watch.check(None).events == ["warn"]

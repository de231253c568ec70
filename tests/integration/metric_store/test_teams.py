"""Numbers about groups: right, repeatable, and no subtraction of any two tells about fewer than k people."""

import itertools
import random
from collections import defaultdict
from datetime import timedelta

import pytest

from include.operations.errors import InputRejected, LeaseLost
from include.organism.metric_store import teams, writer
from include.organism.metric_store.trend import team_trend
from tests.integration.metric_store.measured import NOON, people, run

pytestmark = pytest.mark.servers

STRENGTH = """
select team, audience, n, mean, suppressed from organism.team_metrics where metric = 'strength' order by 1, 2
"""


def publish(connection, hours=0):
    moment = NOON + timedelta(hours=hours)
    (epoch,) = connection.execute("select epoch from organism.metric_run where measured_at = %s", [moment]).fetchone()
    return teams.publish(connection, moment, epoch)


def rows(connection, query, *values):
    found = connection.execute(query, values or None).fetchall()
    connection.commit()
    return found


def test_means_are_of_the_people_of_the_group(store):
    managers = [number % 2 == 0 for number in range(20)]
    run(store, people(20, team=["a"] * 8 + ["b"] * 12, is_manager=managers))
    assert publish(store) == teams.Published(numbers=5 * 6, suppressed={})
    assert rows(store, STRENGTH) == [
        ("", "everyone", 20, 9.5, None),
        ("", "managers", 10, 9.0, None),
        ("", "others", 10, 10.0, None),
        ("a", "everyone", 8, 3.5, None),
        ("b", "everyone", 12, 13.5, None),
    ]
    # Burt's constraint is undefined for p0: the numbers about it are about 19 people, 20 would tell about p0.
    constraint = rows(store, "select team, n from organism.team_metrics where metric = 'burt_constraint' order by 1, 2")
    assert {team: n for team, n in constraint if team} == {"a": 7, "b": 12}


def test_small_teams_have_a_reason_instead_of_a_number(store):
    run(store, people(20, team=["a"] * 8 + ["b"] * 10 + ["c"] * 2))
    publish(store)
    shown = {row[:2]: row[2:] for row in rows(store, STRENGTH)}
    assert shown["c", "everyone"] == (None, None, "too_few")
    assert shown["", "managers"] == (None, None, "too_few")
    assert shown["", "everyone"] == (18, 8.5, None)


def test_burnout_needs_ten(store):
    scores = {"burnout_score": [50.0] * 30}
    run(store, people(30, team=["a"] * 9 + ["b"] * 10 + ["c"] * 11, **scores))
    publish(store)
    found = dict(rows(store, "select team, n from organism.team_metrics where metric = 'burnout_score' and team > ''"))
    assert found == {"a": None, "b": 10, "c": 11}
    assert rows(store, "select n from organism.team_metrics where team = 'a' and metric = 'strength'") == [(9,)]


def test_a_repeated_run_publishes_the_same_once(store):
    frame = people(40, teams=4)
    run(store, frame)
    publish(store)
    first = rows(store, "select * from organism.team_metrics order by 1, 2, 3")
    cohorts = rows(store, "select cohort_id from organism.team_cohort order by 1")
    run(store, frame)
    publish(store)
    assert rows(store, "select * from organism.team_metrics order by 1, 2, 3") == first
    assert rows(store, "select cohort_id from organism.team_cohort order by 1") == cohorts


def test_a_repeated_run_with_one_person_more_keeps_its_groups(store):
    frame = people(44, teams=4, is_manager=[False] * 44)
    run(store, frame.head(40))
    publish(store)
    first = rows(store, STRENGTH)
    run(store, frame)
    publish(store)
    assert rows(store, STRENGTH) == first


def test_a_fenced_try_publishes_nothing(store):
    run(store, people(20))
    writer.begin(store, NOON, "later")
    with pytest.raises(LeaseLost):
        teams.publish(store, NOON, 1)
    assert rows(store, "select count(*) from organism.team_metrics") == [(0,)]
    assert rows(store, "select published_at from organism.metric_run") == [(None,)]


def test_nobody_can_set_the_minimum_below_the_floor(store, monkeypatch):
    run(store, people(20))
    monkeypatch.setenv("ORGANISM_MIN_GROUP_BURNOUT", "4")
    with pytest.raises(InputRejected, match="ORGANISM_MIN_GROUP_BURNOUT"):
        publish(store)
    store.rollback()
    monkeypatch.setenv("ORGANISM_MIN_GROUP_BURNOUT", "5")
    monkeypatch.setenv("ORGANISM_MIN_GROUP", "21")
    publish(store)
    assert rows(store, "select max(n) from organism.team_metrics") == [(None,)]


def test_who_opts_out_after_the_measurement_is_not_published(store):
    run(store, people(20))
    store.execute("insert into organism.privacy_choice (employee_id, opted_out_at, source) values ('p19', now(), 'c')")
    publish(store)
    assert rows(store, "select max(n) from organism.team_metrics where metric = 'strength'") == [(19,)]


def test_an_empty_run_publishes_nothing(store):
    run(store, people(0))
    assert publish(store) == teams.Published(numbers=0, suppressed={})


def test_an_attacker_subtracts_any_two_published_numbers(store):
    """Everybody's value stays the same for ever, so that every difference is exactly about those who differ."""
    rng = random.Random(7)
    value = {f"p{number}": float(rng.randrange(10**6)) for number in range(400)}
    names = list(value)
    member = {name: rng.choice("abcde") for name in names[:70]}
    fresh = iter(names[70:])
    for hours in range(0, 6 * 25, 6):
        for _ in range(rng.choice((0, 1, 1, 2, 5))):
            event, person = rng.random(), rng.choice(sorted(member))
            if event < 0.4:
                del member[person]
            elif event < 0.8:
                member[next(fresh)] = rng.choice("abcde")
            else:
                member[person] = rng.choice("abcde")
        frame = people(
            len(member),
            employee_id=list(member),
            team=list(member.values()),
            strength=[value[name] for name in member],
            is_manager=[int(name[1:]) % 4 == 0 for name in member],
        )
        run(store, frame, hours=hours)
        publish(store, hours)
    published = rows(
        store,
        "select measured_at, team, audience, n, mean, members from organism.team_metrics join organism.team_cohort"
        " using (cohort_id) where metric = 'strength'",
    )
    sums, runs = {frozenset(): 0.0}, defaultdict(lambda: defaultdict(list))
    for at, team, audience, n, mean, people_of_it in published:
        cohort = frozenset(people_of_it)
        assert len(cohort) == n
        assert mean == pytest.approx(sum(value[name] for name in cohort) / n)
        sums[cohort] = mean * n
        if team or audience != "everyone":
            runs[at]["teams" if team else "audiences"].append(cohort)
    for parts in runs.values():
        for cohorts in parts.values():
            # All of a kind together: disjoint, so their sums add up.
            union = frozenset().union(*cohorts)
            assert len(union) == sum(map(len, cohorts))
            sums[union] = sum(sums[cohort] for cohort in cohorts)
    assert len(published) > 100
    assert len(sums) > 20
    revealed = [
        abs(sums[one] - sums[other]) for one, other in itertools.combinations(sums, 2) if 0 < len(one ^ other) < 5
    ]
    assert revealed == []


def test_a_trend_shows_published_means_by_day(store):
    for hours in (0, 6, 30):
        run(store, people(12, scale=1.0 + hours), hours=hours)
        publish(store, hours)
    run(store, people(3), hours=54)
    publish(store, 54)
    begin = NOON.replace(hour=0)
    trend = team_trend(store, "team 0", "strength", begin, begin + timedelta(days=3))
    assert trend == [
        (begin, pytest.approx(5.5 * (1 + 7) / 2), 12, 2, 0),
        (begin + timedelta(days=1), pytest.approx(5.5 * 31), 12, 1, 0),
        (begin + timedelta(days=2), None, None, 0, 1),
    ]
    assert team_trend(store, "nobody's", "strength", begin, begin + timedelta(days=3)) == []
    with pytest.raises(InputRejected, match="no such metric"):
        team_trend(store, "team 0", "salary", begin, begin)

"""Means by hour and day, and what is dropped when."""

from datetime import timedelta

import pytest

from include.operations.errors import LeaseLost
from include.organism.metric_store import layout, retention, rollup, teams
from tests.integration.metric_store.measured import NOON, people, run

pytestmark = pytest.mark.servers


def roll(connection, hours=0):
    moment = NOON + timedelta(hours=hours)
    (epoch,) = connection.execute("select epoch from organism.metric_run where measured_at = %s", [moment]).fetchone()
    return rollup.roll_up(connection, moment, epoch)


def rows(connection, query, *values):
    found = connection.execute(query, values or None).fetchall()
    connection.commit()
    return found


def test_hours_and_days_are_means_of_their_runs(store):
    for hours, scale in ((0, 1.0), (0.5, 2.0), (6, 6.0)):
        run(store, people(3, scale=scale, team=[f"at {hours}"] * 3), hours=hours)
        assert roll(store, hours) == {"employee_metrics_hourly": 3, "employee_metrics_daily": 3}
    query = (
        "select bucket, samples, strength, burt_constraint, team from organism.{} where employee_id = 'p2' order by 1"
    )
    assert rows(store, query.format("employee_metrics_hourly")) == [
        (NOON, 2, 3.0, 0.5, "at 0.5"),
        (NOON + timedelta(hours=6), 1, 12.0, 0.5, "at 6"),
    ]
    # Weighted by runs: (2 + 4 + 12) / 3.
    assert rows(store, query.format("employee_metrics_daily")) == [(NOON.replace(hour=0), 3, 6.0, 0.5, "at 6")]
    undefined = rows(
        store, "select distinct burt_constraint from organism.employee_metrics_daily where employee_id = 'p0'"
    )
    assert undefined == [(None,)]


def test_a_mean_is_over_the_runs_that_had_a_value(store):
    run(store, people(2, burt_constraint=[None, 0.2]))
    run(store, people(2, burt_constraint=[0.6, 0.4]), hours=6)
    for hours in (0, 6):
        roll(store, hours)
    found = rows(store, "select burt_constraint, samples from organism.employee_metrics_daily order by employee_id")
    assert found == [(0.6, 2), (pytest.approx(0.3), 2)]


def test_a_repeated_run_doubles_nothing_and_takes_back_who_left(store):
    run(store, people(5))
    roll(store)
    first = rows(store, "select * from organism.employee_metrics_daily order by employee_id")
    roll(store)
    assert rows(store, "select * from organism.employee_metrics_daily order by employee_id") == first
    run(store, people(4))
    assert roll(store) == {"employee_metrics_hourly": 4, "employee_metrics_daily": 4}


def test_a_day_survives_the_loss_of_its_runs(store):
    for hours in (0, 6):
        run(store, people(2, scale=1.0 + hours), hours=hours)
        roll(store, hours)
    store.execute("delete from organism.employee_metrics where measured_at = %s", [NOON])
    run(store, people(2, scale=7.0), hours=6)
    roll(store, 6)
    assert rows(store, "select strength, samples from organism.employee_metrics_daily order by 1") == [
        (0.0, 2),
        (4.0, 2),
    ]


def test_a_fenced_try_rolls_nothing_up(store):
    run(store, people(2))
    with pytest.raises(LeaseLost):
        rollup.roll_up(store, NOON, 0)
    assert rows(store, "select count(*) from organism.employee_metrics_hourly") == [(0,)]


def test_retention_drops_each_table_at_its_age(store):
    now = NOON + timedelta(days=100)
    for days in (0, 95):
        run(store, people(12), hours=24 * days)
        roll(store, 24 * days)
        (epoch,) = store.execute("select max(epoch) from organism.metric_run").fetchone()
        teams.publish(store, NOON + timedelta(days=days), epoch)
    plain = layout.edition(store) is None
    done = retention.keep(store, now)
    # Two ahead of each table, less what the run of five days ago has made.
    assert (done.pop("made", 0) > 0) is plain
    assert done == {"employee_metrics": 1}
    assert rows(store, "select count(distinct measured_at) from organism.employee_metrics") == [(1,)]
    assert rows(store, "select count(*) from organism.employee_metrics_hourly") == [(24,)]
    assert retention.keep(store, now) == {}
    late = retention.keep(store, now + timedelta(days=1500))
    assert late.pop("made", 0) == (3 * len(layout.ALL) if plain else 0)
    assert set(late) == {layout.RAW.table, layout.HOURLY.table, layout.DAILY.table, layout.TEAMS.table, "cohorts"}
    for series in layout.ALL:
        assert rows(store, f"select count(*) from {series.name}") == [(0,)]
    assert rows(store, "select count(*) from organism.team_cohort") == [(0,)]

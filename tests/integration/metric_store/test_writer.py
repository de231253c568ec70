"""One run's measurements: whole or not at all, once whatever is repeated."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest

from include.operations.errors import InputRejected, LeaseLost
from include.organism.metric_store import layout, writer
from tests.integration.metric_store.measured import FACTS, NOON, people, run

pytestmark = pytest.mark.servers


def rows(connection, query, *values):
    found = connection.execute(query, values or None).fetchall()
    connection.commit()
    return found


def test_values_come_back_as_they_were(store):
    odd = ["plain", "", None, 'with "quotes", comma\nand line', "ünïcode"]
    frame = people(5, team=odd, strength=[0.1 + 0.2, 1e-300, 1e300, 0.0, 1 / 3])
    assert run(store, frame) == writer.Written(people=5, changed=5, removed=0, left_out=0)
    found = rows(store, "select team, strength, burt_constraint from organism.employee_metrics order by employee_id")
    assert [row[0] for row in found] == odd
    assert [row[1] for row in found] == [0.1 + 0.2, 1e-300, 1e300, 0.0, 1 / 3]
    assert [row[2] for row in found] == [None, 0.5, 0.5, 0.5, 0.5]


def test_a_repeated_run_changes_nothing(store):
    run(store, people(50))
    before = rows(store, "select *, xmin::text from organism.employee_metrics order by employee_id")
    assert run(store, people(50)) == writer.Written(people=50, changed=0, removed=0, left_out=0)
    assert rows(store, "select *, xmin::text from organism.employee_metrics order by employee_id") == before
    assert rows(store, "select epoch, people, edges, run_id from organism.metric_run") == [(2, 50, 7, "run")]


def test_a_later_try_replaces_what_an_earlier_one_wrote(store):
    run(store, people(5))
    frame = people(5, scale=2.0).filter(pl.col("employee_id") != "p4")
    assert run(store, frame) == writer.Written(people=4, changed=4, removed=1, left_out=0)
    assert rows(store, "select employee_id, strength from organism.employee_metrics order by 1") == [
        ("p0", 0.0),
        ("p1", 2.0),
        ("p2", 4.0),
        ("p3", 6.0),
    ]


def test_a_score_that_the_frame_does_not_bring_stays(store):
    run(store, people(2))
    store.execute("update organism.employee_metrics set burnout_score = 40")
    store.commit()
    run(store, people(2, scale=3.0))
    assert rows(store, "select distinct burnout_score from organism.employee_metrics") == [(40.0,)]


def test_a_fenced_try_writes_nothing(store):
    old = writer.begin(store, NOON, "run")
    new = writer.begin(store, NOON, "run")
    writer.write(store, writer.MetricRun(NOON, new, 7, FACTS), people(3))
    with pytest.raises(LeaseLost):
        writer.write(store, writer.MetricRun(NOON, old, 7, FACTS), people(9, scale=5.0))
    assert rows(store, "select count(*), max(strength) from organism.employee_metrics") == [(3, 2.0)]
    assert rows(store, "select people from organism.metric_run") == [(3,)]


def test_runs_of_other_times_are_apart_and_the_newest_complete_one_is_current(store):
    run(store, people(3), hours=6)
    run(store, people(2, scale=9.0), hours=0)
    writer.begin(store, NOON + timedelta(hours=12), "run")
    assert rows(store, "select count(*) from organism.employee_metrics") == [(5,)]
    assert rows(store, "select distinct measured_at from organism.current_metrics") == [(NOON + timedelta(hours=6),)]


def test_who_opted_out_or_is_on_leave_is_not_stored(store):
    store.execute(
        "insert into organism.privacy_choice (employee_id, opted_out_at, on_leave_from, on_leave_until, source) values"
        " ('p0', now() - interval '1 day', null, null, 'command'),"
        " ('p1', null, now() - interval '1 day', null, 'command'),"
        " ('p2', null, now() - interval '9 day', now() - interval '1 day', 'command'),"
        " ('p3', now() + interval '1 day', now() + interval '1 day', null, 'command')"
    )
    store.commit()
    assert run(store, people(5)).left_out == 2
    assert rows(store, "select employee_id from organism.employee_metrics order by 1") == [("p2",), ("p3",), ("p4",)]
    store.execute("update organism.privacy_choice set opted_out_at = now() where employee_id = 'p4'")
    store.execute("insert into organism.privacy_choice (employee_id, opted_out_at, source) values ('p4', now(), 'c')")
    store.commit()
    assert rows(store, "select employee_id from organism.current_metrics order by 1") == [("p2",), ("p3",)]
    assert run(store, people(5)) == writer.Written(people=2, changed=0, removed=1, left_out=3)


def test_an_empty_graph_is_a_complete_run_without_rows(store):
    assert run(store, people(0)).people == 0
    assert rows(store, "select people from organism.metric_run where completed_at is not null") == [(0,)]
    assert run(store, people(1)).people == 1


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (people(3, strength=[1.0, float("nan"), 2.0]), "strength is not a finite number for 1 of 3"),
        (people(3, pagerank=[1.0, None, float("inf")]), "pagerank is not a finite number for 2 of 3"),
        (people(3, burt_constraint=[1.0, None, float("-inf")]), "burt_constraint is not a finite number for 1 of 3"),
        (people(3, employee_id=["a", "b", "a"]), "1 come twice"),
        (people(3, employee_id=["a", "b", None]), "1 have no id"),
        (people(3).drop("pagerank"), "lack pagerank"),
        (people(3).with_columns(pl.lit(1).alias("salary")), "unknown: salary"),
    ],
)
def test_measurements_that_make_no_sense_are_refused_and_nothing_is_stored(store, frame, words):
    with pytest.raises(InputRejected, match=words):
        run(store, frame)
    store.rollback()
    assert rows(store, "select count(*) from organism.employee_metrics") == [(0,)]
    assert rows(store, "select completed_at from organism.metric_run") == [(None,)]


def test_a_run_of_the_future_or_without_a_zone_is_refused(store):
    with pytest.raises(InputRejected, match="future"):
        writer.begin(store, datetime.now(UTC) + timedelta(hours=2), "run")
    with pytest.raises(InputRejected, match="no time zone"):
        writer.begin(store, datetime(2026, 1, 1), "run")  # noqa: DTZ001 - that is what is refused


_WRITER = Path(__file__).with_name("write_once.py")


@pytest.mark.parametrize(
    ("point", "strength"),
    [("metrics.before_write", 2.0), ("metrics.in_transaction", 2.0), ("metrics.after_commit", 798.0)],
)
def test_a_killed_writer_leaves_the_old_rows_or_the_new_ones(store, store_url, point, strength):
    run(store, people(3))
    environment = {**os.environ, "FAULT_AT": f"{point}:kill", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, str(_WRITER), store_url], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert rows(store, "select max(strength) from organism.current_metrics") == [(strength,)]
    assert run(store, people(400, scale=2.0)).people == 400
    assert rows(store, "select count(*), max(strength) from organism.current_metrics") == [(400, 798.0)]


def test_partitions_are_made_ahead_and_dropped_when_old(store):
    if layout.edition(store) is None:
        assert layout.make_room(store, layout.RAW, NOON, NOON + timedelta(days=21)) == 4
        assert layout.make_room(store, layout.RAW, NOON, NOON + timedelta(days=21)) == 0
        with pytest.raises(psycopg.errors.CheckViolation):
            store.execute("insert into organism.employee_metrics values ('2020-01-01', 'p', null, false)")
        store.rollback()
        layout.make_room(store, layout.RAW, NOON, NOON + timedelta(days=21))
        store.commit()
    for hours in (0, 24 * 8, 24 * 16):
        run(store, people(2), hours=hours)
    # A partition goes when all of it is old, so not the one that holds the limit.
    assert layout.drop_before(store, layout.RAW, NOON + timedelta(days=8, hours=-1)) == 1
    assert layout.drop_before(store, layout.RAW, NOON + timedelta(days=8, hours=-1)) == 0
    assert rows(store, "select count(distinct measured_at) from organism.employee_metrics") == [(2,)]
    # A rerun of a time that is gone makes its place again.
    run(store, people(2))
    assert rows(store, "select count(distinct measured_at) from organism.employee_metrics") == [(3,)]


def test_buckets_are_the_same_in_every_edition(store):
    assert rows(
        store,
        "select organism.bucket('1 hour', '2026-05-04 12:59:59+00'),"
        " organism.bucket('1 day', '2026-05-04 23:30:00-05'),"
        " organism.bucket('7 days', '2026-05-10 23:00:00+00'), organism.bucket('7 days', '1999-12-31 00:00:00+00')",
    ) == [
        (
            datetime(2026, 5, 4, 12, tzinfo=UTC),
            datetime(2026, 5, 5, tzinfo=UTC),
            datetime(2026, 5, 4, tzinfo=UTC),
            datetime(1999, 12, 27, tzinfo=UTC),
        )
    ]

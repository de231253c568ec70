"""Many failures at once: one message and a roll-up (A2), and never more than the cap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.servers


def fail_everywhere(world, count, **changes):
    for number in range(count):
        world.fail(number, dag_id=f"dag_{number}", title=f"dag_{number} failed", **changes)
        world.later(seconds=60 / count)


def test_two_hundred_failures_in_a_minute_are_one_message_and_a_rollup(world):
    fail_everywhere(world, 200)
    world.later(minutes=5)
    world.flush()
    first, rollup = world.slack()
    assert "dag_0 failed" in first["text"]
    assert "199 incidents within a minute of another message" in rollup["text"]
    assert "…and 179 more." in str(rollup["blocks"])
    assert world.rows("select count(*) as n from ops.alert_outbox where sent_at is null") == [{"n": 0}]
    assert world.sink.emails() == []
    assert len(world.sink.sentry_events()) == 1


def test_two_hundred_at_the_same_moment_from_many_processes(world):
    def fail(number):
        world.fail(number, dag_id=f"dag_{number}", title=f"dag_{number} failed")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(fail, range(64)))
    world.later(minutes=5)
    world.flush()
    # Sent by different threads: either may come first.
    assert sorted("63 incidents" in message["text"] for message in world.slack()) == [False, True]


def test_a_storm_of_p1_is_mailed_twice_at_most(world):
    fail_everywhere(world, 50, error_class="AUTH", code="HTTP_401")
    world.later(minutes=5)
    world.flush()
    assert len(world.slack()) == 2
    assert ["49 incidents" in mail["subject"] for mail in world.sink.emails()] == [False, True]


def test_a_p1_is_not_held_up_by_a_storm_of_p2(world):
    fail_everywhere(world, 5)
    world.fail(99, dag_id="other", title="secret expired", error_class="AUTH", code="HTTP_401")
    assert world.slack()[-1]["text"].startswith("<!here> 🔴 P1 act now: secret expired")


def test_a_rollup_of_a_single_incident_says_all_there_is(world):
    world.fail(1, dag_id="a")
    world.later(seconds=20)
    world.fail(2, dag_id="b", title="b failed", excerpt="the words of b")
    assert "🟠 P2 failed: b failed" in world.slack()[1]["text"]
    assert "the words of b" in str(world.slack()[1]["blocks"])


def test_recoveries_of_a_storm_are_one_message(world):
    fail_everywhere(world, 30)
    world.later(minutes=5)
    world.flush()
    for number in range(1, 30):
        for run in (100, 101):
            world.succeed(run, f"dag_{number}")
    first, rollup, over = world.slack()
    assert over["thread_ts"] == rollup["ts"]
    assert "all 29 incidents" in over["text"]
    world.succeed(100, "dag_0")
    world.succeed(101, "dag_0")
    assert world.slack()[-1]["thread_ts"] == first["ts"]


def test_no_more_than_the_cap_an_hour_then_a_rollup(world):
    for number in range(60):
        world.fail(number, dag_id=f"dag_{number}", title=f"dag_{number} failed")
        world.later(seconds=61)
    told = world.slack()
    assert len(told) <= 21
    assert any("beyond the hourly limit" in message["text"] for message in told)
    everything = str([message["blocks"] for message in told])
    assert all(f"dag_{number} failed" in everything for number in range(20))


def test_a_webhook_cannot_edit_so_the_rollup_waits_for_the_end_of_its_minute(world):
    world.patch.setenv("AIRFLOW_CONN_SLACK_ALERTS", world.sink.settings.webhook_connection())
    fail_everywhere(world, 20)
    assert len(world.slack()) == 1
    world.later(minutes=5)
    world.flush()
    assert len(world.slack()) == 2
    assert "19 incidents" in world.slack()[1]["text"]
    assert {message["via"] for message in world.slack()} == {"webhook"}

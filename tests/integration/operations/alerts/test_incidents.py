"""Which event is news, and what it becomes: one incident, few messages, one recovery."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.servers


def test_a_failure_is_told_at_once(world):
    world.fail()
    (message,) = world.slack()
    assert "🟠 P2 failed: organism_incremental_update.update_graph failed" in message["text"]
    assert world.rows("select sent_at from ops.alert_event")[0]["sent_at"] is not None
    assert [event["tags"]["error_class"] for event in world.sink.sentry_events()] == ["DATABASE"]
    assert world.sink.emails() == []


def test_five_minute_dag_that_fails_for_six_hours(world):
    for number in range(72):
        world.fail(number)
        world.later(minutes=5)
    assert len(world.slack()) <= 6
    for number in range(72, 80):
        world.succeed(number)
    assert len(world.slack()) <= 7
    assert [title for title in world.titles() if "Recovered" in title] == world.titles()[-1:]

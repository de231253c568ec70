"""The organisation at work: everything a sync can miss happens, the same for the same organisation."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from local.salesforce import live
from local.salesforce.generate import fill
from local.salesforce.store import Store

START = datetime(2026, 5, 2, 12, tzinfo=UTC)


def organisation(path):
    store = Store(path)
    store.clock.set(START)
    store.clock.stop()
    fill(store, seed=5, percent=0.5)
    return store


@pytest.fixture
def store(tmp_path):
    store = organisation(tmp_path / "one")
    yield store
    store.close()


def state(store):
    return {name: {row["Id"]: row for row in store.rows(name)} for name in ("Contact", "npe5__Affiliation__c")}


def test_all_that_can_happen_happens_and_the_clock_goes_on(store):
    before = state(store)
    done = live.step(store, 300)
    assert done.keys() == {name for name, _ in live._ACTS}
    assert abs(store.clock.now() - START - timedelta(minutes=300)) < timedelta(seconds=0.01)
    after = state(store)
    contacts, old = after["Contact"], before["Contact"]
    assert len(contacts.keys() - old.keys()) >= done["new student"]
    both = [(old[key], contacts[key]) for key in old.keys() & contacts.keys()]
    silent = [(a, b) for a, b in both if a["SystemModstamp"] == b["SystemModstamp"] and a != b]
    assert silent, "formulas change without a new stamp"
    assert any(a["Contact_Type__c"] != b["Contact_Type__c"] for a, b in both)
    assert any(not a["IsDeleted"] and b["IsDeleted"] for a, b in both)
    assert any(a["MasterRecordId"] is None and b["MasterRecordId"] for a, b in both)
    assert before["npe5__Affiliation__c"].keys() - after["npe5__Affiliation__c"].keys(), "some are purged"


def test_some_changes_are_seen_only_later_with_their_old_stamps(store):
    for _ in range(60):
        live.step(store, 5, per_minute=4)
        known = {row["Id"] for row in store.rows("Contact")}
        store.clock.move(301)
        now = store.clock.stamp()
        late = [row for row in store.rows("Contact") if row["Id"] not in known]
        if late:
            break
    assert late
    assert all(row["SystemModstamp"] < now for row in late)


def test_the_same_organisation_changes_in_the_same_way(store, tmp_path):
    twin = organisation(tmp_path / "two")
    try:
        assert live.step(store, 60) == live.step(twin, 60)
        assert state(store) == state(twin)
    finally:
        twin.close()


def test_an_empty_organisation_gets_its_first_volunteers(tmp_path):
    store = Store(tmp_path / "empty")
    try:
        done = live.step(store, 60)
        assert done["new volunteer"]
        assert store.count("Contact") >= 1
    finally:
        store.close()


def test_background_follows_the_organisations_clock(store):
    store.clock.run()

    async def a_while():
        task = asyncio.create_task(live.run(store, every=0.01, per_minute=2))
        await asyncio.sleep(0)  # it looks at the clock, and sleeps
        before = store.clock.now()
        store.clock.move(600)
        changed = None
        for _ in range(3000):
            await asyncio.sleep(0.01)
            changed = [r for r in store.rows("Contact") if r["SystemModstamp"] >= before.strftime("%Y-%m-%dT%H:%M:%S")]
            if changed:
                break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return changed

    assert asyncio.run(a_while())


def test_a_change_under_way_is_finished_before_the_end(store, monkeypatch):
    began, go_on, ended = threading.Event(), threading.Event(), []

    def slow(*_, **__):
        began.set()
        assert go_on.wait(60)
        ended.append(True)

    monkeypatch.setattr(live, "step", slow)

    async def cancel():
        task = asyncio.create_task(live.run(store, every=0.01))
        assert await asyncio.to_thread(began.wait, 60)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended

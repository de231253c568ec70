"""The generated organisation behind the server: filled, queried, and at work."""

import asyncio
from functools import partial

import httpx
import pytest

from local.salesforce import live
from local.salesforce.generator import Outcome, defects
from local.salesforce.server import SalesforceSimulator
from local.salesforce.settings import Settings


def test_load_and_ask_for_what_is_wrong(salesforce):
    counts = salesforce.load(percent=0.1, seed=11)
    manifest = defects(seed=11, percent=0.1)
    headers = {"Authorization": f"Bearer {salesforce.token()}"}
    with httpx.Client(base_url=f"{salesforce.instance_url}/services/data/v62.0", headers=headers, timeout=60) as client:

        def ask(verb, soql):
            return client.get(verb, params={"q": soql}).raise_for_status().json()

        for name in ("Account", "Contact", "npe5__Affiliation__c"):
            assert ask("queryAll", f"SELECT COUNT() FROM {name}")["totalSize"] == counts[name]
        hostile = [each for each in manifest if each.kind == "hostile_name"]
        for each in hostile:
            found = client.get(f"sobjects/Contact/{each.record_id}").raise_for_status().json()
            assert found["LastName"] == each.value
        assert hostile
        soql = "SELECT Id FROM Contact WHERE (Contact_Type__c = 'Volunteer' OR Contact_Type__c = null)"
        people = {row["Id"] for row in ask("query", soql)["records"]}
    volunteers = {each.record_id for each in manifest if each.population == "volunteer"}
    gone = {d.record_id for d in manifest if d.outcome in (Outcome.DELETED, Outcome.ALIAS)} & volunteers
    assert gone.isdisjoint(people)
    assert volunteers - gone <= people


def test_it_works_for_two_hours(salesforce):
    salesforce.load(percent=0.1)
    salesforce.clock.stop()
    before = salesforce.clock.now()
    done = salesforce.live(120)
    assert sum(done.values()) > 120
    assert (salesforce.clock.now() - before).total_seconds() == pytest.approx(7200, abs=0.01)


def test_it_changes_by_itself_when_told_to(monkeypatch):
    monkeypatch.setattr(live, "run", partial(live.run, every=0.01))

    async def changes():
        simulator = SalesforceSimulator(Settings.make(live=True, demo_percent=0.1))
        await simulator.start()
        try:
            store = simulator.org.store
            before = {row["Id"]: row for row in store.rows("Contact")}
            await asyncio.sleep(0)
            simulator.org.clock.move(1800)
            for _ in range(3000):
                await asyncio.sleep(0.01)
                if before != {row["Id"]: row for row in store.rows("Contact")}:
                    return True
        finally:
            await simulator.stop()
        return False

    assert asyncio.run(changes())

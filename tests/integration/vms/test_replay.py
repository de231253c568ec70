"""Quarantined records are read again on demand: after the source was mended, or the rule."""

from dataclasses import replace

import pytest

from include.vms import quarantine, registry, sync
from include.vms.contracts import Request
from include.vms.spec import Check, Rule
from tests.integration.vms.source import Source, session

pytestmark = pytest.mark.servers

CLASSES = registry.get("classes")


@pytest.fixture
def source(salesforce, warehouse):
    return Source(salesforce, warehouse)


def test_replay_publishes_what_is_good_now_and_moves_no_watermark(source):
    store = source.server.store
    school = store.insert_many("Account", [{"Name": "Central High", "Type": "School"}])[0]
    made = store.insert_many(
        "Class__c", [{"Name": f"Class {n}", "School__c": school, "Class_Year_Number__c": -n} for n in range(3)]
    )
    source.server.clock.move(3600)
    # A rule that is too strict: the records are as they should be.
    strict = replace(
        CLASSES,
        fields=tuple(
            replace(one, checks=(*one.checks, Check(Rule.NOT_NEGATIVE))) if one.name == "Class_Year_Number__c" else one
            for one in CLASSES.fields
        ),
    )
    with session(source.server) as client:
        run = sync.run(client, source.warehouse.connect, strict, Request(), "first")
        assert (run.counts["inserted"], run.counts["rejected"]) == (1, 2)
        watermark = source.state(CLASSES, "watermark")
        one = quarantine.replay(client, source.warehouse.connect, CLASSES, "second", [made[1]])
        assert one.counts["inserted"] == 1
        rest = quarantine.replay(client, source.warehouse.connect, CLASSES, "third")
        assert (rest.read, rest.counts["inserted"]) == (1, 1)
        assert quarantine.replay(client, source.warehouse.connect, CLASSES, "fourth") is None
    assert [row[0] for row in source.warehouse.table("class", "salesforce_id")] == sorted(made)
    assert source.state(CLASSES, "watermark") == watermark
    with source.warehouse.connect() as connection:
        assert quarantine.listing(connection) == []

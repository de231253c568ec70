"""Small extractions: one call by REST."""

import pytest

from include.vms import registry
from include.vms.contracts import Mode
from tests.integration.vms.source import Source

DISTRICTS = registry.get("districts")


@pytest.fixture
def source(salesforce, warehouse):
    return Source(salesforce, warehouse)


def accounts(source, count, kind="School District", first=0):
    rows = [{"Name": f"District {number}", "Type": kind} for number in range(first, first + count)]
    return source.server.store.insert_many("Account", rows)


def test_first_run_reads_everything_and_every_id(source):
    ids = accounts(source, 3)
    accounts(source, 2, "School", 10)
    found = source.extract(DISTRICTS)
    assert (found.read, found.api, found.mode, found.swept, found.source_count) == (3, "rest", "full", True, 3)
    assert [row[0] for row in source.staged(DISTRICTS)] == sorted(ids)
    assert [row[0] for row in source.warehouse.table("districts_ids", "Id", schema="vms_stage")] == sorted(ids)


def test_without_changes_one_call(source):
    accounts(source, 3)
    source.server.clock.move(3600)
    source.published(source.extract(DISTRICTS))
    source.server.clock.move(3600)
    source.server.forget_requests()
    found = source.extract(DISTRICTS)
    assert (found.read, found.api_calls, found.mode) == (0, 1, Mode.INCREMENTAL)
    assert [entry["path"] for entry in source.server.requests("/services/data")] == ["/services/data/v62.0/composite"]

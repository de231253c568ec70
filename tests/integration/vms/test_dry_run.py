"""A dry run counts exactly and shows masked samples, and writes nothing."""

import pytest

from include.vms.objects.volunteers import OBJECT as VOLUNTEERS
from tests.integration.vms.harness import csv_bytes, record_id, stamp

pytestmark = pytest.mark.servers

_TABLES = ("person", "volunteer", "person_email", "quarantine", "data_quality_flag")


def a_volunteer(number, modified=0, **more):
    return {
        "Id": record_id("003", number),
        "FirstName": "Ada",
        "LastName": "Byron",
        "Contact_Type__c": "Volunteer",
        "MailingCity": "Kansas City",
        "SystemModstamp": stamp(modified),
        **more,
    }


def contents(warehouse):
    return {name: warehouse.rows(f"SELECT t.*, t.xmin FROM vms.{name} AS t ORDER BY 1, 2") for name in _TABLES}


def test_everything_is_counted_and_nothing_written(warehouse):
    warehouse.load(VOLUNTEERS, *(a_volunteer(number, Email=f"v{number}@example.org") for number in range(4)))
    before = contents(warehouse)
    watermark = warehouse.rows("SELECT watermark FROM ops.sync_state")
    page = [
        a_volunteer(0, 5, LastName="Lovelace", Birthdate="1980-02-03", Title="Engineer 1"),
        a_volunteer(1, 5, IsDeleted="true"),
        a_volunteer(2, 5, LastName=""),
        a_volunteer(3),
        a_volunteer(9, 5, FirstName="GRACE"),
    ]
    run = warehouse.load(VOLUNTEERS, *page, dry_run=True, moves_watermark=False)
    names = ("inserted", "updated", "unchanged", "deleted", "rejected", "flagged")
    assert tuple(run.counts[name] for name in names) == (1, 1, 1, 1, 1, 1)
    counted = f"SELECT {', '.join(names)} FROM ops.sync_run WHERE run_id = %s"
    assert warehouse.rows(counted, run.run)[0] == (1, 1, 1, 1, 1, 1)
    assert contents(warehouse) == before
    assert warehouse.rows("SELECT watermark FROM ops.sync_state") == watermark
    assert warehouse.rows("SELECT count(*) FROM pg_class WHERE relnamespace = 'vms_stage'::regnamespace") == [(0,)]
    shown = {(one["id"], one["table"]): (one["change"], one["columns"]) for one in run.samples}
    assert shown[record_id("003", 1), "volunteer"] == ("delete", {})
    change, columns = shown[record_id("003", 0), "person"]
    # Letters masked, and what is sensitive not shown at all, only that it changes.
    assert (change, columns) == ("update", {"last_name": ["xxxxx", "xxxxxxxx"], "birthdate": [None, None]})
    assert shown[record_id("003", 0), "volunteer"] == ("update", {"title": [None, "xxxxxxxx 9"]})
    change, columns = shown[record_id("003", 9), "person"]
    assert change == "insert"
    assert columns["first_name"] == [None, "xxxxx"]
    assert "Lovelace" not in str(run.to_dict())


def test_twenty_samples_at_most_and_deletions_among_them(warehouse):
    warehouse.load(VOLUNTEERS, *(a_volunteer(number) for number in range(8)))
    gone = [a_volunteer(number, 5, IsDeleted="true") for number in range(8)]
    run = warehouse.load(
        VOLUNTEERS, *gone, *(a_volunteer(number) for number in range(20, 60)), dry_run=True, moves_watermark=False
    )
    assert len(run.samples) == 20
    assert sum(one["change"] == "delete" for one in run.samples) == 5
    assert run.counts["inserted"] == 40
    assert csv_bytes(VOLUNTEERS, []).count(b"\n") == 1

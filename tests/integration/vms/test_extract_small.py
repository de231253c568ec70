"""Small extractions: what is read by REST, in how many calls, and what the manifest says of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from psycopg import sql

from include.operations.errors import InputRejected, LeaseHeld, LeaseLost, classify
from include.vms import extract, registry, staging, state
from include.vms.contracts import Mode
from include.vms.paging import statement
from include.vms.salesforce.errors import QuotaReserved
from include.vms.salesforce.rest import Describe
from include.vms.transfer import copy_page
from tests.integration.vms.source import Source

DISTRICTS = registry.get("districts")
VOLUNTEERS = registry.get("volunteers")
HOUR = 3600
# getDeleted ignores seconds.
MINUTE = 60


@pytest.fixture
def source(salesforce, warehouse):
    return Source(salesforce, warehouse)


def accounts(source, count, kind="School District"):
    return source.server.store.insert_many(
        "Account", [{"Name": f"{kind} {number}", "Type": kind} for number in range(count)]
    )


def synced(source, spec=DISTRICTS):
    """One whole run, an hour after and before everything else."""
    source.server.clock.move(HOUR)
    source.published(source.extract(spec))
    source.server.clock.move(HOUR)


def ids(source, spec=DISTRICTS):
    return [row[0] for row in source.staged(spec)]


def test_first_run_reads_everything_and_every_id(source):
    made = accounts(source, 3)
    accounts(source, 2, "School")
    source.server.store.delete("Account", made[:1])
    found = source.extract(DISTRICTS)
    assert (found.read, found.api, found.mode, found.swept, found.source_count) == (3, "rest", "full", True, 2)
    assert ids(source) == sorted(made)
    query = sql.SQL('SELECT "Id" FROM {} AS ids ORDER BY 1').format(staging.ids(DISTRICTS, of_rows=True))
    assert [row[0] for row in source.warehouse.rows(query)] == sorted(made[1:])


def test_without_changes_one_call(source):
    accounts(source, 3)
    synced(source)
    source.server.forget_requests()
    found = source.extract(DISTRICTS)
    assert (found.read, found.api_calls, found.mode) == (0, 1, Mode.INCREMENTAL)
    assert [entry["path"] for entry in source.server.requests("/services/data")] == ["/services/data/v62.0/composite"]
    row = source.warehouse.rows(
        "SELECT api_calls, api_used, api_limit, read, api FROM ops.sync_run ORDER BY started_at"
    )
    assert row[-1] == (1, found.api_used, 100_000, 0, "rest")


def test_reads_what_changed_also_what_left_the_filter_or_was_deleted(source):
    first, second, third, *_ = accounts(source, 5)
    synced(source)
    source.server.store.update("Account", first, {"Name": "New"})
    source.server.store.update("Account", second, {"Type": "School"})
    source.server.store.delete("Account", [third])
    source.server.clock.move(MINUTE)
    found = source.extract(DISTRICTS)
    assert (found.api_calls, found.deleted_ids, found.swept) == (1, 1, False)
    assert ids(source) == sorted([first, second, third])
    assert source.warehouse.rows('SELECT id FROM vms_stage."districts_deleted"') == [(third,)]


def test_hard_deleted_ids_come_from_the_log_of_deletions(source):
    made = accounts(source, 3)
    synced(source)
    source.server.store.delete("Account", made[:1])
    source.server.store.hard_delete("Account", made[:1])
    source.server.clock.move(MINUTE)
    found = source.extract(DISTRICTS)
    assert (found.read, found.deleted_ids) == (0, 1)
    assert datetime.fromisoformat(found.deleted_until) >= datetime.fromisoformat(found.window_to)


@pytest.mark.parametrize("trouble", [{"most_ids": 0}, {"log_since": "2020-01-01T00:00:00+00:00"}, "old"])
def test_ids_are_compared_when_the_log_of_deletions_cannot_tell(source, trouble):
    made = accounts(source, 3)
    synced(source)
    source.server.store.hard_delete("Account", made[:1])
    if trouble == "old":
        source.warehouse.run("UPDATE ops.sync_state SET deleted_until = deleted_until - interval '16 days'")
    elif "log_since" in trouble:
        source.server.replication(log_since=source.server.clock.now().isoformat())
    else:
        source.server.replication(**trouble)
    source.server.clock.move(MINUTE)
    found = source.extract(DISTRICTS)
    assert found.swept
    assert [row[0] for row in source.warehouse.table("districts_ids", "Id", schema="vms_stage")] == sorted(made[1:])
    assert "all ids were compared" in found.notes[0]


def test_all_ids_are_compared_each_week(source):
    accounts(source, 1)
    synced(source)
    assert not source.extract(DISTRICTS, run="before").swept
    source.server.clock.move(7 * 24 * HOUR)
    source.warehouse.run("UPDATE ops.sync_state SET lease_until = NULL")
    assert source.extract(DISTRICTS).swept


def test_future_modstamp_is_read_and_drags_nothing(source):
    """The Airbyte suite's abnormal state: the year 2999, at the source and in our own row."""
    (made,) = accounts(source, 1)
    synced(source)
    source.server.store.update("Account", made, {"Name": "Future", "SystemModstamp": "2999-01-01T00:00:00.000Z"})
    found = source.extract(DISTRICTS)
    assert ids(source) == [made]
    assert datetime.fromisoformat(found.window_to) < source.server.clock.now()
    source.published(found)
    later = accounts(source, 1)
    found = source.extract(DISTRICTS)
    assert ids(source) == sorted([made, *later])
    source.published(found)
    source.warehouse.run("UPDATE ops.sync_state SET watermark = '2999-01-01'")
    found = source.extract(DISTRICTS)
    assert (found.mode, ids(source)) == ("full", sorted([made, *later]))
    assert "future" in found.notes[0]
    source.published(found)
    assert source.state(DISTRICTS, "watermark") < source.server.clock.now()


def test_row_that_becomes_visible_hours_late_is_read(source):
    """Its modstamp is long before the watermark would be; the open transaction holds the watermark back."""
    synced(source)
    (late,) = source.server.store.insert_many("Account", [{"Name": "L", "Type": "School District"}], late_by=3 * HOUR)
    for _ in range(2):
        source.server.clock.move(HOUR)
        found = source.extract(DISTRICTS)
        assert found.read == 0
        source.published(found)
    source.server.clock.move(HOUR + MINUTE)
    source.extract(DISTRICTS)
    assert ids(source) == [late]


def test_time_is_the_servers(source):
    accounts(source, 1)
    source.server.clock.move(-5 * 365 * 24 * HOUR)
    found = source.extract(DISTRICTS)
    lag = source.server.clock.now() - datetime.fromisoformat(found.window_to)
    assert timedelta(seconds=DISTRICTS.lag_s) <= lag < timedelta(hours=1)


def test_limit_since_and_records(source):
    made = accounts(source, 5)
    found = source.extract(DISTRICTS, limit=2)
    assert (found.read, found.moves_watermark, found.swept) == (2, False, False)
    source.published(found)
    assert source.state(DISTRICTS, "watermark") is None
    found = source.extract(DISTRICTS, since=source.server.clock.now() - timedelta(hours=1))
    assert (found.read, found.moves_watermark) == (5, False)
    source.published(found)
    found = source.extract(DISTRICTS, Mode.RECORDS, ids=(*made[:2], made[0]))
    assert (found.read, found.moves_watermark, found.deleted_ids) == (2, False, 0)
    source.published(found)
    with pytest.raises(InputRejected, match="record id"):
        source.extract(DISTRICTS, Mode.RECORDS, ids=("' OR Id != null --",))


def test_many_records_by_their_ids(source):
    made = accounts(source, 450)
    found = source.extract(DISTRICTS, Mode.RECORDS, ids=tuple(made))
    assert ids(source) == sorted(made)
    assert found.api_calls == 1 + 3


def test_master_of_a_merged_record_is_selected_where_there_is_one(source):
    winner, loser = source.server.store.insert_many("Contact", [{"LastName": "A"}, {"LastName": "B"}])
    source.server.store.merge("Contact", winner, [loser])
    source.extract(VOLUNTEERS)
    assert source.staged(VOLUNTEERS, "Id", "MasterRecordId") == sorted([(winner, None), (loser, winner)])


def test_pages_of_rest_add_up(source):
    made = accounts(source, 4_500)
    found = source.extract(DISTRICTS, rest_below=10_000)
    assert (found.read, found.api, source.state(DISTRICTS, "pages")) == (4_500, "rest", 3)
    assert ids(source) == sorted(made)


def test_reserve_of_the_quota_is_refused_early(source):
    accounts(source, 1)
    source.server.quotas(DailyApiRequests={"max": 100, "used": 90})
    with pytest.raises(QuotaReserved, match="reserved for others"):
        source.extract(DISTRICTS)
    assert source.state(DISTRICTS, "phase") is None
    assert source.warehouse.rows("SELECT api_used, api_calls FROM ops.sync_run") == [(91, 1)]


def test_one_run_at_a_time(source):
    accounts(source, 1)
    first = source.extract(DISTRICTS, run="a")
    with pytest.raises(LeaseHeld, match="run a"):
        source.extract(DISTRICTS, run="b")
    with source.warehouse.connect() as conn:
        state.release(conn, "districts", first.epoch)
    source.extract(DISTRICTS, run="b")
    with pytest.raises(LeaseLost), source.warehouse.connect() as conn:
        state.publish(conn, first)
    assert source.state(DISTRICTS, "watermark") is None


def test_same_run_does_not_read_twice_what_it_has_staged(source):
    accounts(source, 2)
    first = source.extract(DISTRICTS, run="a")
    source.server.forget_requests()
    again = source.extract(DISTRICTS, run="a")
    assert again.epoch == first.epoch + 1
    assert {**again.to_dict(), "epoch": 0} == {**first.to_dict(), "epoch": 0, **calls(again)}
    assert source.server.requests("/services") == []


def calls(manifest):
    return {name: getattr(manifest, name) for name in ("api_calls", "api_used", "api_limit")}


def test_field_that_is_gone_is_named(source):
    accounts(source, 1)
    synced(source)
    source.server.store.remove_field("Account", "ParentId")
    with pytest.raises(Exception, match="ParentId") as refused:
        source.extract(registry.get("schools"))
    assert str(classify(refused.value).error_class) == "VALIDATION"


def test_object_without_our_system_fields(source):
    """The ladder of cursors: login histories and the like know when a record was made, and nothing else."""
    spec = replace(DISTRICTS, sobject="LoginHistory")
    found = Describe({"fields": [{"name": name} for name in ("Id", "CreatedDate", *(one.name for one in spec.fields))]})
    fields = extract.queried(spec, found)
    assert found.cursor == "CreatedDate"
    assert fields[:2] == ("Id", "CreatedDate")
    table = staging.table(spec)
    row = ",".join('"2026-01-01T00:00:00Z"' for _ in fields)
    page = (",".join(f'"{name}"' for name in fields) + "\n" + row + "\n").encode()
    with source.warehouse.connect() as conn:
        extract.create_staging(conn, spec, fields, found)
        assert copy_page(conn, statement(table, fields), fields, [page], 1) == 1
    assert source.staged(DISTRICTS, "SystemModstamp", "LastModifiedDate", "IsDeleted") == [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "false")
    ]


def test_nasty_values_pass_unchanged(source):
    names = [
        'O\'Neil "x"',
        "a\nb\r\nc",
        "=1+1",
        "{{ var }}",
        "\\.",
        "NULL",
        "N/A",
        "None",
        "é😀",
        "'; DROP TABLE x; --",
    ]
    for name in names:
        source.server.store.insert("Account", {"Name": name, "Type": "School District"})
    source.extract(DISTRICTS)
    assert sorted(row[0] for row in source.staged(DISTRICTS, "Name")) == sorted(names)

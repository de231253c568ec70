"""Big extractions by Bulk 2.0, and everything that goes wrong on the way: right class, right repeat, nothing lost."""

from datetime import datetime

import pytest

from include.operations.errors import ErrorClass, classify
from include.vms import registry
from include.vms.contracts import Mode
from include.vms.salesforce.errors import DownloadIncomplete, JobFailed, QuotaReserved, SalesforceFailed, Unreachable
from tests.integration.vms.source import Source

DISTRICTS = registry.get("districts")
ROWS = 90
PAGE = 20
PAGES = 5
BULK = {"page_rows": PAGE, "rest_below": 1}


@pytest.fixture
def source(salesforce, warehouse):
    salesforce.store.insert_many(
        "Account", [{"Name": f'The "{number}"\nDistrict, é', "Type": "School District"} for number in range(ROWS)]
    )
    salesforce.clock.move(3600)
    salesforce.bulk(page_rows=PAGE)
    return Source(salesforce, warehouse)


def jobs(source):
    return [one for one in source.server.requests("/jobs/query") if one["method"] == "POST"]


def fetched(source):
    return len([one for one in source.server.requests("/results") if one["path"].endswith("/results")])


def all_there(source):
    expected = sorted((row["Id"], row["Name"]) for row in source.server.store.rows("Account"))
    assert sorted(set(source.staged(DISTRICTS, "Id", "Name"))) == expected


def test_pages_come_several_at_a_time_and_in_order(source):
    found = source.extract(DISTRICTS, **BULK)
    assert (found.read, found.api, found.api_reason, source.state(DISTRICTS, "pages")) == (
        ROWS,
        "bulk",
        "90 rows",
        PAGES,
    )
    all_there(source)
    order = source.warehouse.rows('SELECT "Id" FROM vms_stage."districts" ORDER BY row_no')
    assert order == sorted(order)


def test_small_job_is_five_calls(source):
    assert source.extract(DISTRICTS, rest_below=1).api_calls == 5
    paths = [one["path"].rpartition("/")[2] for one in source.server.requests("/services/data")]
    assert paths[:3] == ["composite", "limits", "query"]
    assert paths[-1] == "results"


def test_old_api_versions_fetch_page_by_page(source):
    uri = source.server.connection_uri.replace("version=62.0", "version=57.0")
    found = source.extract(DISTRICTS, uri=uri, **BULK)
    assert (found.read, found.api, fetched(source)) == (ROWS, "bulk", PAGES)
    assert not source.server.requests("resultPages")


ONCE = [
    {"kind": "cut", "on": "results", "after": 2, "inside": "quotes"},
    {"kind": "cut", "on": "results", "after": 1, "inside": "row"},
    {"kind": "truncate", "on": "results", "after": 2, "inside": "quotes"},
    {"kind": "truncate", "on": "results", "after": 1, "inside": "row"},
    {"kind": "short_rows", "on": "results", "after": 2},
    {"kind": "wrong_count", "on": "results", "after": 3},
    {"kind": "reset", "on": "results", "after": 1},
    {"kind": "drop", "on": "results", "after": 1},
    {"kind": "expire_token", "on": "results", "after": 2},
    {"kind": "bad_auth_header", "on": "results", "after": 2},
    {"kind": "not_acceptable", "on": "results"},
    {"kind": "enhance_calm", "on": "results"},
    {"kind": "rate_limit", "on": "results", "retry_after": 1},
    {"kind": "server_error", "on": "results", "times": 2},
    {"kind": "bad_gateway", "on": "result_pages", "times": 2},
    {"kind": "unavailable", "on": "job_info", "times": 2},
    {"kind": "unavailable", "on": "composite"},
    {"kind": "not_acceptable", "on": "limits", "times": 2},
    {"kind": "no_count", "on": "results", "times": None},
    {"kind": "no_header_row", "on": "results", "after": 1, "times": None},
    {"kind": "no_locator", "on": "results", "times": None},
    {"kind": "job_slow", "on": "job_create"},
]


@pytest.mark.parametrize("step", ONCE, ids=lambda step: f"{step['kind']}-{step['on']}")
def test_is_overcome_within_the_run_and_the_job(source, step):
    source.server.behave(step)
    found = source.extract(DISTRICTS, **BULK)
    assert (found.read, found.api, len(jobs(source))) == (ROWS, "bulk", 1)
    all_there(source)


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "job_failed", "on": "job_create"},
        {"kind": "job_aborted", "on": "job_create"},
        {"kind": "job_vanished", "on": "job_info"},
        {"kind": "job_vanished", "on": "results", "after": 2},
        {"kind": "invalid_locator", "on": "results", "after": 3},
        {"kind": "wrong_processed", "on": "job_create"},
    ],
    ids=lambda step: f"{step['kind']}-{step['on']}",
)
def test_job_that_is_lost_is_made_anew(source, step):
    source.server.behave(step)
    found = source.extract(DISTRICTS, **BULK)
    assert (found.read, found.api, len(jobs(source))) == (ROWS, "bulk", 2)
    all_there(source)


@pytest.mark.parametrize(
    ("step", "error", "error_class", "transient"),
    [
        ({"kind": "cut", "on": "results", "inside": "quotes"}, DownloadIncomplete, ErrorClass.NETWORK, True),
        ({"kind": "truncate", "on": "results", "inside": "quotes"}, DownloadIncomplete, ErrorClass.NETWORK, True),
        ({"kind": "short_rows", "on": "results"}, DownloadIncomplete, ErrorClass.NETWORK, True),
        ({"kind": "wrong_processed", "on": "job_create"}, DownloadIncomplete, ErrorClass.NETWORK, True),
        ({"kind": "job_failed", "on": "job_create"}, JobFailed, ErrorClass.NETWORK, True),
        ({"kind": "job_aborted", "on": "job_create"}, JobFailed, ErrorClass.NETWORK, True),
        ({"kind": "unauthorized", "on": "results"}, SalesforceFailed, ErrorClass.AUTH, False),
        ({"kind": "forbidden", "on": "job_create"}, SalesforceFailed, ErrorClass.AUTH, False),
        ({"kind": "rate_limit", "on": "results", "retry_after": 90}, SalesforceFailed, ErrorClass.RATE_LIMIT, True),
        ({"kind": "concurrent_requests", "on": "results"}, SalesforceFailed, ErrorClass.RATE_LIMIT, True),
        ({"kind": "total_requests", "on": "results"}, SalesforceFailed, ErrorClass.RATE_LIMIT, False),
        ({"kind": "unavailable", "on": "results"}, SalesforceFailed, ErrorClass.NETWORK, True),
        ({"kind": "query_timeout", "on": "job_create"}, SalesforceFailed, ErrorClass.TIMEOUT, True),
    ],
    ids=lambda step: f"{step['kind']}-{step['on']}" if isinstance(step, dict) else "",
)
def test_what_lasts_fails_in_its_class_and_the_next_run_ends_it(source, step, error, error_class, transient):
    source.server.behave({**step, "after": 2 if step["on"] == "results" else 0, "times": None})
    with pytest.raises(error) as failed:
        source.extract(DISTRICTS, run="a", **BULK)
    found = classify(failed.value)
    assert (found.error_class, found.transient) == (error_class, transient)
    if step.get("retry_after"):
        assert found.retry_after.total_seconds() == 90
    assert source.state(DISTRICTS, "watermark") is None
    source.server.behave()
    # Another run need not wait for the end of its lease.
    assert source.extract(DISTRICTS, run="b", **BULK).read == ROWS
    all_there(source)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"kind": "bulk_unsupported", "on": "job_create"}, "not supported by the Bulk API"),
        ({"kind": "job_limit", "on": "job_create"}, "used up"),
        ({"kind": "storage_limit", "on": "job_create"}, "used up"),
    ],
)
def test_rest_when_bulk_is_refused_and_the_reason_is_told(source, step, reason):
    source.server.behave(step)
    found = source.extract(DISTRICTS, **BULK)
    assert (found.read, found.api, found.source_count) == (ROWS, "rest", ROWS)
    assert reason in found.api_reason
    all_there(source)


def test_rest_when_jobs_are_used_up_to_the_reserve(source):
    source.server.quotas(DailyBulkV2QueryJobs={"max": 100, "used": 80})
    found = source.extract(DISTRICTS, **BULK)
    assert (found.api, jobs(source)) == ("rest", [])
    assert "reserve" in found.api_reason


def test_refused_early_when_calls_would_not_suffice(source):
    source.server.quotas(DailyApiRequests={"max": 100, "used": 74})
    with pytest.raises(QuotaReserved, match="more are needed"):
        source.extract(DISTRICTS, **BULK)
    assert jobs(source) == []


@pytest.mark.parametrize("field", ["Name", "Id"])
def test_nul_bytes_are_left_out(source, field):
    source.server.behave({"kind": "nul", "on": "results", "field": field, "after": 1})
    assert source.extract(DISTRICTS, **BULK).read == ROWS


def test_ids_that_come_twice_are_staged_and_none_is_missing(source):
    source.server.behave({"kind": "duplicate_rows", "on": "results", "after": 1, "rows": 3})
    source.extract(DISTRICTS, **BULK)
    all_there(source)


def test_wrong_clock_of_one_reply_does_not_drag_the_watermark(source):
    source.server.behave({"kind": "clock_skew", "seconds": 7200, "times": None})
    found = source.extract(DISTRICTS, **BULK)
    assert datetime.fromisoformat(found.window_to) <= source.server.clock.now()


def test_big_window_reads_with_the_filter_and_those_who_left_by_their_ids(source):
    source.published(source.extract(DISTRICTS, **BULK))
    made = [row["Id"] for row in source.server.store.rows("Account")]
    with source.warehouse.connect() as conn:
        conn.execute(
            "INSERT INTO vms.district (salesforce_id, name, system_modstamp, created_at, last_modified_at, synced_at) "
            'SELECT "Id", "Name", now(), now(), now(), now() FROM vms_stage."districts"'
        )
    source.server.clock.move(3600)
    source.server.store.update_many("Account", [{"Id": one, "Name": "New"} for one in made[:50]])
    source.server.store.update("Account", made[0], {"Type": "Household"})
    source.server.store.insert_many("Account", [{"Name": "Other", "Type": "Household"} for _ in range(30)])
    found = source.extract(DISTRICTS, **BULK)
    assert (found.api, found.read) == ("bulk", 50)
    assert (made[0], "Household") in source.staged(DISTRICTS, "Id", "Type")
    assert any("may have left" in note for note in found.notes)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL])
def test_a_merged_record_that_is_not_ours_is_read_all_the_same(source, mode):
    """Records of ours may point at it; the filter would hide that they point elsewhere now."""
    store = source.server.store
    winner, loser = store.insert_many("Account", [{"Name": "Other", "Type": "Household"} for _ in range(2)])
    source.published(source.extract(DISTRICTS, **BULK))
    source.server.clock.move(3600)
    store.merge("Account", winner, [loser])
    found = source.extract(DISTRICTS, mode, **BULK)
    assert found.api == "bulk"
    assert (loser, "true", winner) in source.staged(DISTRICTS, "Id", "IsDeleted", "MasterRecordId")


@pytest.mark.parametrize("on", ["composite", "job_info"])
def test_server_that_hangs_is_left(source, on):
    source.server.behave({"kind": "hang", "on": on, "times": None, "seconds": 60})
    with pytest.raises(Unreachable) as failed:
        source.extract(DISTRICTS, read_s=0.3, **BULK)
    found = classify(failed.value)
    assert (found.error_class, found.transient, found.service) == (ErrorClass.TIMEOUT, True, "salesforce")
    source.server.behave()
    source.extract(DISTRICTS, **BULK)
    all_there(source)


def test_sweep_by_bulk(source):
    source.published(source.extract(DISTRICTS, **BULK))
    source.warehouse.run("UPDATE ops.sync_state SET swept_at = NULL")
    found = source.extract(DISTRICTS, Mode.INCREMENTAL)
    assert found.swept
    assert source.warehouse.rows('SELECT count(*) FROM vms_stage."districts_ids"') == [(ROWS,)]

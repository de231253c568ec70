"""What goes wrong under a whole sync by REST: right class, right repeat, and in the end every record once.

The pages of Bulk are in test_extract_bulk, kills in tests/faults/vms.
"""

import pytest
import redis

from include import connections
from include.operations.breaker import breaker
from include.operations.breaker_state import KEY
from include.operations.context import bind
from include.operations.errors import DailyLimitReached, ErrorClass, classify
from include.operations.retry import retry_delay
from include.vms.contracts import Mode
from include.vms.extract import Tuning
from include.vms.salesforce import rest, soql
from include.vms.salesforce.errors import DownloadIncomplete, SalesforceFailed, Unreachable
from tests.integration.vms.source import Source

pytestmark = pytest.mark.servers

# Two pages.
ROWS = 2_010
BY_REST = Tuning(rest_below=10_000)
AUTH, RATE, NETWORK, TIMEOUT = ErrorClass.AUTH, ErrorClass.RATE_LIMIT, ErrorClass.NETWORK, ErrorClass.TIMEOUT


@pytest.fixture
def source(salesforce, warehouse):
    rows = [{"Name": f"District {number}", "Type": "School District"} for number in range(ROWS)]
    salesforce.store.insert_many("Account", rows)
    salesforce.clock.move(3600)
    return Source(salesforce, warehouse)


def sync(source, **asked):
    return source.sync("districts", tuning=BY_REST, **asked)


def every_record_once(source):
    expected = {(row["Id"], row["Name"]) for row in source.server.store.rows("Account") if not row["IsDeleted"]}
    found = source.warehouse.rows("SELECT salesforce_id, name FROM vms.district WHERE deleted_at IS NULL")
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("expire_token", {}),
        ("bad_auth_header", {"on": "query_all"}),
        ("not_acceptable", {}),
        ("enhance_calm", {}),
        ("rate_limit", {"retry_after": 1}),
        ("server_error", {"times": 2}),
        ("bad_gateway", {"on": "query_all", "times": 2}),
        ("unavailable", {"times": 2}),
        ("reset", {}),
        ("drop", {}),
        ("lose_reply", {}),
        ("cut", {}),
        ("duplicate_rows", {"rows": 3}),
    ],
)
def test_is_overcome_within_the_run(source, kind, more):
    source.server.behave({"kind": kind, "on": "query_more", **more})
    assert sync(source).counts["inserted"] == ROWS
    every_record_once(source)


@pytest.mark.parametrize(
    ("step", "error", "error_class", "transient"),
    [
        ({"kind": "truncate"}, Unreachable, NETWORK, True),
        # What a proxy says.
        ({"kind": "error", "status": 200, "body": "html"}, Unreachable, NETWORK, True),
        ({"kind": "error", "status": 200, "body": "html", "on": "composite"}, Unreachable, NETWORK, True),
        ({"kind": "short_rows"}, DownloadIncomplete, NETWORK, True),
        ({"kind": "invalid_locator"}, SalesforceFailed, TIMEOUT, True),
        ({"kind": "unauthorized"}, SalesforceFailed, AUTH, False),
        ({"kind": "forbidden"}, SalesforceFailed, AUTH, False),
        ({"kind": "not_acceptable"}, SalesforceFailed, NETWORK, True),
        ({"kind": "enhance_calm"}, SalesforceFailed, NETWORK, True),
        ({"kind": "server_error"}, SalesforceFailed, NETWORK, True),
        ({"kind": "unavailable"}, SalesforceFailed, NETWORK, True),
        ({"kind": "rate_limit", "retry_after": 90}, SalesforceFailed, RATE, True),
        ({"kind": "concurrent_requests"}, SalesforceFailed, RATE, True),
        ({"kind": "total_requests"}, SalesforceFailed, RATE, False),
        ({"kind": "query_timeout", "on": "query_all"}, SalesforceFailed, TIMEOUT, True),
    ],
    ids=lambda step: f"{step['kind']}-{step.get('body', '')}{step.get('on', '')}" if isinstance(step, dict) else "",
)
def test_what_lasts_fails_in_its_class_and_the_next_run_ends_it(source, step, error, error_class, transient):
    source.server.behave({"on": "query_more", "times": None, **step})
    with pytest.raises(error) as failed:
        sync(source, run="a")
    found = classify(failed.value)
    assert (found.error_class, found.transient) == (error_class, transient)
    delay = retry_delay(found, 1, lambda: 0.5)
    assert (delay is not None) is transient
    if "retry_after" in step:
        assert delay.total_seconds() >= 90
    assert source.warehouse.rows("SELECT watermark FROM ops.sync_state") == [(None,)]
    assert source.warehouse.rows("SELECT count(*) FROM vms.district") == [(0,)]
    source.server.behave()
    assert sync(source, run="b").counts["inserted"] == ROWS
    every_record_once(source)


def test_a_page_that_is_short_is_never_taken_for_the_last(source):
    """The record that did not come has changed, so that no count shows it."""
    sync(source)
    source.server.clock.move(86_400)
    rows = [{"Id": row["Id"], "Name": f"{row['Name']} new"} for row in source.server.store.rows("Account")]
    source.server.store.update_many("Account", rows)
    source.server.clock.move(3600)
    source.server.behave({"kind": "short_rows", "on": "query_more"})
    with pytest.raises(DownloadIncomplete):
        sync(source)
    assert sync(source).counts["updated"] == ROWS
    every_record_once(source)


def test_records_that_came_short_by_their_ids_are_not_taken_for_deleted(source):
    sync(source)
    ids = tuple(row["Id"] for row in source.server.store.rows("Account"))[:3]
    source.server.behave({"kind": "short_rows", "on": "query_all"})
    with pytest.raises(DownloadIncomplete):
        sync(source, mode=Mode.RECORDS, ids=ids)
    every_record_once(source)


def test_a_change_at_the_very_edge_of_two_windows_is_read(source):
    """Many records share a second; this one is visible only after the window that ends in that second."""
    sync(source)
    source.server.clock.set(source.server.clock.now().replace(microsecond=0))
    source.server.clock.stop()
    first = source.server.store.rows("Account")[0]["Id"]
    source.server.store.update("Account", first, {"Name": "On the edge"}, late_by=661, told=False)
    # Look-back and lag.
    source.server.clock.move(660)
    assert sync(source).read == 0
    source.server.clock.move(1)
    assert sync(source).counts["updated"] == 1
    every_record_once(source)


def test_records_change_between_two_pages(source):
    """One that was read is renamed, one that was not is deleted: the cursor shows neither, the next window does."""
    ids = [row["Id"] for row in source.server.store.rows("Account")]
    operations = [
        {"op": "update", "object": "Account", "rows": [{"Id": ids[0], "Name": "Renamed"}]},
        {"op": "delete", "object": "Account", "ids": [ids[-1]]},
    ]
    source.server.behave({"kind": "do", "on": "query_more", "operations": operations})
    sync(source)
    source.server.clock.move(3600)
    sync(source)
    every_record_once(source)


def test_a_daily_limit_keeps_every_sync_from_asking(salesforce, redis_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", salesforce.connection_uri)
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    query = soql.count("Account")
    with redis.Redis.from_url(redis_server.url) as client, bind(task="extract"):
        client.delete(f"{KEY}salesforce")
        try:
            salesforce.behave({"kind": "total_requests", "on": "query_all"})
            with pytest.raises(SalesforceFailed) as failed, connections.salesforce() as asking:
                rest.first_page(asking, query)
            # As the wrapper of every task does.
            found = classify(failed.value)
            breaker(found.service).stop(found.retry_after, found.code)
            salesforce.forget_requests()
            with pytest.raises(DailyLimitReached) as refused, connections.salesforce():
                pytest.fail("it was let in")
            assert salesforce.requests() == []
            assert refused.value.retry_after is not None
        finally:
            client.delete(f"{KEY}salesforce")


@pytest.mark.parametrize("name", ["A\0B District", "Half a \ud83d District"])
def test_what_postgres_cannot_hold_is_left_out_of_a_value(salesforce, warehouse, name):
    """A NUL byte; half of a character that was cut in two."""
    source = Source(salesforce, warehouse)
    (made,) = salesforce.store.insert_many("Account", [{"Name": "District", "Type": "School District"}])
    salesforce.clock.move(3600)
    salesforce.behave({"kind": "alter", "on": "query_all", "field": "Name", "value": name})
    sync(source)
    stored = name.replace("\0", "").replace("\ud83d", "?")
    assert source.warehouse.rows("SELECT salesforce_id, name FROM vms.district") == [(made, stored)]

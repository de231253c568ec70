"""Kill -9 in every phase of an extraction: the next run goes on, in the same job, and nothing is missing or twice."""

import pytest

from include.operations.errors import LeaseHeld, LeaseLost
from include.vms import registry
from include.vms.contracts import Mode
from tests.faults.vms.processes import KILLED, Running, extract_once
from tests.integration.vms.source import Source

DISTRICTS = registry.get("districts")
PAGE = 20
ROWS = 90


@pytest.fixture
def source(salesforce, warehouse):
    salesforce.store.insert_many(
        "Account", [{"Name": f"District {number}", "Type": "School District"} for number in range(ROWS)]
    )
    salesforce.bulk(page_rows=PAGE)
    return Source(salesforce, warehouse)


def elsewhere(source, *arguments, **options):
    return start(source, *arguments, **options).end()


def start(source, run_id="a", *, fault="", bulk=True, mode=Mode.INCREMENTAL):
    return Running(
        extract_once,
        source.server.connection_uri,
        source.warehouse.url,
        "districts",
        run_id,
        PAGE,
        1 if bulk else 10_000,
        mode,
        fault=fault,
    )


def jobs(source):
    return [one for one in source.server.requests("/jobs/query") if one["method"] == "POST"]


def pages_fetched(source):
    return len(source.server.requests("/results"))


def all_there(source):
    expected = sorted(row["Id"] for row in source.server.store.rows("Account"))
    assert [row[0] for row in source.staged(DISTRICTS)] == expected


@pytest.mark.parametrize("phase", ["opened", "begun", "in_page", "after_page", "extracted"])
def test_by_rest(source, phase):
    assert elsewhere(source, fault=f"vms.extract.{phase}:kill", bulk=False) == (KILLED, None)
    code, manifest = elsewhere(source, bulk=False)
    assert (code, manifest["read"], manifest["source_count"]) == (0, ROWS, ROWS)
    all_there(source)


@pytest.mark.parametrize(
    ("phase", "jobs_made"),
    [
        ("opened", 1),
        ("begun", 1),
        # Made, and nobody has written down its id.
        ("job_made", 2),
        ("job_noted", 1),
        ("job_complete", 1),
        ("in_page", 1),
        ("in_page:kill:3", 1),
        ("after_page", 1),
        ("after_page:kill:3", 1),
        ("after_page:kill:5", 1),
        ("extracted", 1),
    ],
)
def test_by_bulk(source, phase, jobs_made):
    name, _, action = phase.partition(":")
    assert elsewhere(source, fault=f"vms.extract.{name}:{action or 'kill'}") == (KILLED, None)
    code, manifest = elsewhere(source)
    assert (code, manifest["read"], manifest["api"]) == (0, ROWS, "bulk")
    assert len(jobs(source)) == jobs_made
    all_there(source)


@pytest.fixture
def wide(source):
    """Two pages of REST."""
    source.server.store.insert_many("Account", [{"Name": "More", "Type": "School District"} for _ in range(2_000)])
    return source


@pytest.mark.parametrize("expired", [False, True])
def test_by_rest_at_the_second_page(wide, expired):
    assert elsewhere(wide, fault="vms.extract.after_page:kill", bulk=False)[0] == KILLED
    if expired:
        wide.server.expire_locators()
    _, manifest = elsewhere(wide, bulk=False)
    assert manifest["read"] == ROWS + 2_000
    all_there(wide)


def test_zombie_writes_nothing_after_it_was_replaced(source):
    """Stopped in the middle of a page, taken for dead, replaced by its own retry, and woken again."""
    zombie = start(source, fault="vms.extract.in_page:hang:2")
    zombie.wait_stopped()
    _, manifest = elsewhere(source)
    zombie.wake()
    with pytest.raises(LeaseLost):
        zombie.end()
    assert (manifest["read"], len(jobs(source))) == (ROWS, 1)
    all_there(source)


def test_zombie_between_pages_loses_the_lease(source):
    zombie = start(source, fault="vms.extract.after_page:hang:2")
    zombie.wait_stopped()
    elsewhere(source)
    zombie.wake()
    with pytest.raises(LeaseLost):
        zombie.end()
    all_there(source)


def test_goes_on_at_the_page_after_the_last_committed(source):
    elsewhere(source, fault="vms.extract.after_page:kill:3")
    source.server.forget_requests()
    _, manifest = elsewhere(source)
    assert "Went on with an extraction after 3 pages." in manifest["notes"]
    assert pages_fetched(source) == 2


def test_another_run_waits_for_the_lease_and_then_goes_on_whatever_its_mode(source):
    elsewhere(source, "full", fault="vms.extract.after_page:kill:2", mode=Mode.FULL)
    with pytest.raises(LeaseHeld):
        elsewhere(source, "later")
    source.warehouse.run("UPDATE ops.sync_state SET lease_until = now()")
    _, manifest = elsewhere(source, "later")
    assert (manifest["mode"], manifest["swept"], len(jobs(source))) == ("full", True, 1)
    all_there(source)


def test_is_killed_at_every_page_and_ends(source):
    """Four tries go on with it, page by page."""
    for _ in range(4):
        assert elsewhere(source, fault="vms.extract.after_page:kill")[0] == KILLED
    _, manifest = elsewhere(source)
    assert (manifest["read"], len(jobs(source))) == (ROWS, 1)
    all_there(source)


def test_is_dropped_after_five_tries(source):
    for _ in range(5):
        elsewhere(source, fault="vms.extract.in_page:kill")
    _, manifest = elsewhere(source)
    assert "dropped after 5 tries" in manifest["notes"][0]
    assert len(jobs(source)) == 2
    all_there(source)


def test_crash_of_postgres_empties_the_staging_table(source):
    """An unlogged table is empty after a crash; here it is emptied by hand."""
    elsewhere(source, fault="vms.extract.after_page:kill:3")
    source.warehouse.run('TRUNCATE vms_stage."districts"')
    _, manifest = elsewhere(source)
    assert any("lost in a crash" in note for note in manifest["notes"])
    assert len(jobs(source)) == 1
    all_there(source)

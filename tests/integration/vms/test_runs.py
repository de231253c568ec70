"""What a failed run leaves behind: its row says so, the next one begins at once, and another try of it goes on."""

import pytest

from include.operations.errors import LeaseLost
from include.vms import extract, links, merge, reconcile, registry, runs, state, validate
from include.vms.contracts import Accept, Request
from include.vms.state import NotValidated
from include.vms.validate import TooManyRejected
from tests.integration.vms.source import Source, session

pytestmark = pytest.mark.servers

CLASSES = registry.get("classes")
ROW = "SELECT outcome, finished_at IS NULL FROM ops.sync_run WHERE run_id = %s"


@pytest.fixture
def source(salesforce, warehouse):
    school = salesforce.store.insert("Account", {"Name": "Lee High", "Type": "School"})
    salesforce.store.insert_many(
        "Class__c", [{"Name": f"Class {n}", "School__c": school, "Class_Year_Number__c": n} for n in range(3)]
    )
    salesforce.clock.move(3600)
    return Source(salesforce, warehouse)


def broken(*_args, **_kwargs):
    raise OSError("the network is gone")


@pytest.mark.parametrize("step", ["validate", "merge", "links", "reconcile"])
def test_a_run_that_fails_says_so_and_gives_way_at_once(source, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(f"include.vms.{step}.{'resolve' if step == 'links' else step}", broken)
        with pytest.raises(OSError, match="network"):
            source.sync("classes", run="first")
    assert source.warehouse.rows(ROW, "first") == [("failed", False)]
    assert source.sync("classes", run="second").source_count == 3
    assert source.warehouse.rows(ROW, "second") == [("success", False)]
    assert len(source.warehouse.table("class", "salesforce_id")) == 3


def test_another_try_of_a_step_goes_on_with_the_run(source):
    connect = source.warehouse.connect
    with session(source.server) as client:
        manifest = extract.extract(client, connect, CLASSES, Request(), "run")
        for step in (
            lambda done: validate.validate(connect, CLASSES, done),
            lambda done: merge.merge(connect, CLASSES, done),
            lambda done: links.resolve(connect, CLASSES, done),
            lambda done: reconcile.reconcile(client, connect, CLASSES, done),
        ):
            with pytest.raises(OSError, match="network"), runs.guarded(connect, CLASSES, manifest):
                broken()
            assert source.warehouse.rows(ROW, "run") == [("failed", False)]
            assert source.state(CLASSES, "holder") is None
            with runs.guarded(connect, CLASSES, manifest):
                assert source.warehouse.rows(ROW, "run") == [(None, True)]
                assert source.state(CLASSES, "holder") == "run"
                manifest = step(manifest)
    assert source.warehouse.rows(ROW, "run") == [("success", False)]
    assert source.state(CLASSES, "holder") is None
    assert manifest.counts["inserted"] == 3


def test_who_comes_after_a_take_over_changes_nothing_of_the_new_run(source):
    connect = source.warehouse.connect
    with session(source.server) as client:
        first = extract.extract(client, connect, CLASSES, Request(), "first")
        with pytest.raises(OSError, match="network"), runs.guarded(connect, CLASSES, first):
            broken()
        second = extract.extract(client, connect, CLASSES, Request(), "second")
        with pytest.raises(LeaseLost), runs.guarded(connect, CLASSES, first):
            validate.validate(connect, CLASSES, first)
        assert source.warehouse.rows(ROW, "first") == [("failed", False)]
        assert source.state(CLASSES, "holder") == "second"
        # An old process of the same run: the later try has the lease, and the row.
        with connect() as connection:
            state.open_run(connection, "classes", "second")
        with pytest.raises(LeaseLost), runs.guarded(connect, CLASSES, second):
            validate.validate(connect, CLASSES, second)
    assert source.state(CLASSES, "holder") == "second"
    assert source.warehouse.rows(ROW, "second") == [(None, True)]


def test_a_refused_run_stays_refused(source):
    school = source.server.store.insert("Account", {"Name": "Central High", "Type": "School"})
    source.server.store.insert_many("Class__c", [{"School__c": school, "Name": None} for _ in range(20)])
    source.server.clock.move(3600)
    connect = source.warehouse.connect
    with session(source.server) as client:
        manifest = extract.extract(client, connect, CLASSES, Request(), "run")

    def step(body):
        with runs.guarded(connect, CLASSES, manifest):
            return body(connect, CLASSES, manifest)

    with pytest.raises(NotValidated, match="extracted, not validated"):
        step(merge.merge)
    for _ in range(2):
        # Also when somebody clears `validate` alone.
        with pytest.raises(TooManyRejected):
            step(validate.validate)
        assert source.warehouse.rows(ROW, "run") == [("refused", False)]
        assert source.state(CLASSES, "holder") is None
    with pytest.raises(NotValidated, match="refused, not validated"):
        step(merge.merge)
    assert source.warehouse.rows(ROW, "run") == [("refused", False)]
    assert source.warehouse.table("class", "salesforce_id") == []
    # A rule that was mended meanwhile: the staged rows are good, and may be published.
    manifest.accept = ["rejected_share"]
    manifest = step(validate.validate)
    assert step(merge.merge).counts["inserted"] == 3


def test_a_refused_run_is_not_gone_on_with(source):
    school = source.server.store.insert("Account", {"Name": "Central High", "Type": "School"})
    source.server.store.insert_many("Class__c", [{"School__c": school, "Name": None} for _ in range(20)])
    source.server.clock.move(3600)
    with pytest.raises(TooManyRejected):
        source.sync("classes", run="refused")
    done = source.sync("classes", run="accepted", accept=(Accept.REJECTED_SHARE,))
    assert done.notes == []
    assert (done.counts["inserted"], done.counts["rejected"]) == (3, 20)
    assert source.warehouse.rows(ROW, "refused") == [("refused", False)]

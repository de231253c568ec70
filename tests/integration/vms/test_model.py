"""Model test: whatever happens to an organisation while it is synced, the tables end up saying what Salesforce says.

Hypothesis draws what people do, how time passes, which syncs run, how Salesforce misbehaves and where a process is
killed. The model is `mapping`: the rules in plain Python, told from the simulator's records alone.
"""

import sys
from collections import Counter
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from psycopg import sql

from include.operations.errors import PipelineError
from include.vms import registry, sync
from include.vms.contracts import Accept, Mode, Request
from include.vms.extract import Tuning
from include.vms.salesforce.errors import SalesforceFailed, Unreachable
from local.salesforce.metadata import FieldMeta
from tests.faults.vms.processes import KILLED, run, sync_once
from tests.integration.vms import mapping
from tests.integration.vms.harness import Warehouse
from tests.integration.vms.source import session

pytestmark = pytest.mark.servers

EXAMPLES, STEPS = 7, 60
SOBJECTS = ("Account", "Contact", "Class__c", "npe5__Affiliation__c")
# In an organisation this small a few records are a large share.
ACCEPT = (Accept.MASS_DELETE, Accept.REJECTED_SHARE)
# So that a dozen rows are a Bulk job of some pages.
SMALL = Tuning(page_rows=4, rest_below=6)
FAULTS = (
    *("extract.opened", "extract.begun", "extract.job_made", "extract.job_noted", "extract.job_complete"),
    *("extract.in_page", "extract.after_page", "extract.extracted", "merge.before_commit", "merge.after_commit"),
    *("links.begun", "links.in_transaction", "reconcile.mended", "formulas.read"),
)
TROUBLES = (
    *("unavailable", "server_error", "bad_gateway", "rate_limit", "expire_token", "invalid_locator"),
    *("cut", "truncate", "drop", "reset", "lose_reply"),
)

sobjects = st.sampled_from(SOBJECTS)
# Names one of those that are there, the newest first.
picks = st.integers(0, 30)
account_types = st.sampled_from(["School", "School District", "Business", None, "Household"])
contact_types = st.sampled_from(["Volunteer", None, "Student", "Teacher"])
names = st.sampled_from(["Lincoln High", "O'BRIEN", "MCDONALD, Inc.", "{{ x }}", "'; DROP TABLE vms.person; --", "Ünï"])
lateness = st.sampled_from([0, 0, 0, 600])
objects = st.sampled_from(tuple(registry.objects()))
modes = st.sampled_from([*[Mode.INCREMENTAL] * 3, Mode.FULL])


class Organisation(RuleBasedStateMachine):
    """People at work in an organisation, and syncs of it. `seen` counts what happened, for the test's own sake."""

    def __init__(self, server, warehouse, seen):
        super().__init__()
        self.server, self.store, self.warehouse, self.seen = server, server.store, warehouse, seen
        self.runs = 0
        self.rooms = []
        server.reset()
        server.clock.set(datetime(2026, 3, 1, 12, tzinfo=UTC))
        server.clock.stop()

    @initialize()
    def begin(self):
        for kind in ("School", "School District", "Business", None):
            self.store.insert_many("Account", [{"Name": f"{kind} {number}", "Type": kind} for number in range(3)])
        for number in range(9):
            self.hire("Volunteer", f"Person {number}", number, number, 0)
            self.tie(number, number, 0)
        self.server.clock.move(3600)
        # A field that was there before an object's first sync is none that was added.
        for name in registry.objects():
            self.sync(name, Mode.INCREMENTAL)

    # --- people ------------------------------------------------------------------------------------
    @rule(kind=account_types, name=names, parent=picks)
    def found(self, kind, name, parent):
        self.store.insert("Account", {"Name": name, "Type": kind, "ParentId": self.pick("Account", parent)})

    @rule(kind=contact_types, name=names, account=picks, primary=picks, late=lateness)
    def hire(self, kind, name, account, primary, late):
        row = {"FirstName": "Ana", "LastName": name, "Contact_Type__c": kind, "Email": f"a{account}@example.org"}
        row |= {"AccountId": self.pick("Account", account)}
        row |= {
            "npsp__Primary_Affiliation__c": self.pick("Account", primary),
            "Volunteer_Skills__c": f"Skill {primary}",
        }
        self.store.insert("Contact", row, late_by=late)

    @rule(person=picks, account=picks, late=lateness)
    def tie(self, person, account, late):
        ends = {
            "npe5__Contact__c": self.pick("Contact", person),
            "npe5__Organization__c": self.pick("Account", account),
        }
        if all(ends.values()):
            self.store.insert("npe5__Affiliation__c", ends, late_by=late)

    @rule(school=picks, name=names)
    def teach(self, school, name):
        if found := self.pick("Account", school):
            self.store.insert("Class__c", {"Name": name, "School__c": found, "Class_Year_Number__c": 2030})

    @rule(which=picks, sobject=sobjects, name=names, late=lateness)
    def rename(self, which, sobject, name, late):
        field = {"Contact": "LastName", "npe5__Affiliation__c": "npe5__Role__c"}.get(sobject, "Name")
        values = {field: f"{name} {which}"} | {room: name for room in self.rooms if sobject == "Class__c"}
        self.change(sobject, which, values, late_by=late)

    @rule(which=picks, kind=account_types)
    def account_becomes(self, which, kind):
        self.change("Account", which, {"Type": kind})

    @rule(which=picks, kind=contact_types)
    def contact_becomes(self, which, kind):
        self.change("Contact", which, {"Contact_Type__c": kind})

    @rule(which=picks, sessions=st.integers(0, 9))
    def formula_changes_without_a_stamp(self, which, sessions):
        self.change("Contact", which, {"Number_of_Attended_Volunteer_Sessions__c": sessions}, stamps="none")

    @rule(which=picks, sobject=sobjects, late=lateness)
    def delete(self, which, sobject, late):
        if found := self.pick(sobject, which):
            self.store.delete(sobject, [found], late_by=late)

    @rule(which=picks, sobject=sobjects)
    def undelete(self, which, sobject):
        if found := self.pick(sobject, which, deleted=True):
            self.store.undelete(sobject, [found])

    @rule(which=picks, sobject=sobjects, logged=st.booleans())
    def purge(self, which, sobject, logged):
        if found := self.pick(sobject, which):
            self.store.hard_delete(sobject, [found], logged=logged)

    @rule(sobject=st.sampled_from(["Account", "Contact"]), which=picks, losers=st.integers(1, 2))
    def merge(self, sobject, which, losers):
        chosen = list(dict.fromkeys(self.pick(sobject, which + step) for step in range(losers + 1)))
        if len(chosen) > 1 and None not in chosen:
            self.store.merge(sobject, chosen[0], chosen[1:])
            self.seen["merge"] += 1

    @precondition(lambda self: len(self.rooms) < 2)
    @rule()
    def add_a_field(self):
        self.rooms.append(f"Room{len(self.rooms)}__c")
        self.store.add_field("Class__c", FieldMeta(name=self.rooms[-1], type="string", label="Room", length=80))
        self.seen["field"] += 1

    # --- time and syncs ----------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([1, 30, 600, 7200, 9 * 86400]))
    def time_passes(self, seconds):
        self.server.clock.move(seconds)

    @rule(name=objects, mode=modes)
    def syncs(self, name, mode):
        self.sync(name, mode)

    @rule(name=objects, mode=modes, kind=st.sampled_from(TROUBLES), after=st.integers(0, 6), times=st.integers(1, 12))
    def salesforce_fails_a_sync(self, name, mode, kind, after, times):
        self.server.behave({"kind": kind, "after": after, "times": times})
        try:
            self.sync(name, mode)
        except (PipelineError, SalesforceFailed, Unreachable) as error:
            self.seen[f"failed: {type(error).__name__}"] += 1
        finally:
            self.server.behave()

    @rule(name=objects, mode=modes, point=st.sampled_from(FAULTS), again=st.booleans())
    def killed_in_a_sync(self, name, mode, point, again):
        self.runs += 1
        self.lease_runs_out()
        given = (self.server.connection_uri, self.warehouse.url, name, f"run-{self.runs}", Request(mode, accept=ACCEPT))
        code, _ = run(sync_once, *given, SMALL, fault=f"vms.{point}:kill")
        self.seen["killed"] += code == KILLED
        if again:
            run(sync_once, *given, SMALL)

    # --- afterwards --------------------------------------------------------------------------------
    def teardown(self):
        # Not after a step that failed: its error is the news.
        if sys.exc_info()[0] is None:
            self.come_to_rest()
            self.compare()

    def come_to_rest(self):
        """Let what is late be visible and formulas be due, and sync everything twice, parents first."""
        for _ in range(2):
            self.server.clock.move(7200)
            self.warehouse.run("UPDATE ops.sync_state SET formulas_at = '2000-01-01'")
            for name in registry.objects():
                self.sync(name, Mode.INCREMENTAL)

    def compare(self):
        rows = self.warehouse.rows
        store = {sobject: self.store.rows(sobject) for sobject in SOBJECTS}
        refused = {row[0] for row in rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
        tables = mapping.expected(store, refused)
        assert mapping.differences(rows, tables, refused) == []
        classes = {row["Id"]: row for row in store["Class__c"] if not row["IsDeleted"] and row["Id"] not in refused}
        for room in self.rooms:
            column = sql.Identifier(room.removesuffix("__c").lower())
            found = rows(sql.SQL("SELECT salesforce_id, {} FROM vms.class WHERE deleted_at IS NULL").format(column))
            assert {key: value for key, value in found if key in classes} == {k: v[room] for k, v in classes.items()}
        self.seen["rows"] += sum(map(len, tables.values()))

    # --- helpers -----------------------------------------------------------------------------------
    def pick(self, sobject, which, *, deleted=False):
        """The id of a record, if there is one."""
        found = [row["Id"] for row in self.store.rows(sobject) if bool(row["IsDeleted"]) == deleted]
        return sorted(found, reverse=True)[which % len(found)] if found else None

    def change(self, sobject, which, values, **options):
        if found := self.pick(sobject, which):
            self.store.update(sobject, found, values, **options)

    def sync(self, name, mode):
        self.runs += 1
        self.seen["syncs"] += 1
        self.lease_runs_out()
        with session(self.server) as client:
            request = Request(mode, accept=ACCEPT)
            sync.run(client, self.warehouse.connect, registry.get(name), request, f"run-{self.runs}", SMALL)

    def lease_runs_out(self):
        """A run that failed or died gives way after some minutes."""
        self.warehouse.run("UPDATE ops.sync_state SET lease_until = now()")


def test_tables_equal_the_source_after_any_history(salesforce, postgres_server, vms_template, warehouse):
    """Without shrinking, which would take many minutes: the steps that Hypothesis prints can be cut by hand."""
    seen = Counter()

    def organisation():
        with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
            admin.execute("DROP DATABASE vms_test WITH (FORCE)")
            admin.execute(
                sql.SQL("CREATE DATABASE vms_test TEMPLATE {} OWNER warehouse").format(sql.Identifier(vms_template))
            )
        return Organisation(salesforce, Warehouse(warehouse.url), seen)

    run_state_machine_as_test(
        organisation,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.stderr.write(f"{dict(seen)}\n")
    # What the histories were drawn for did happen in them.
    assert min(seen["merge"], seen["field"], seen["killed"]) > 0
    assert any(what.startswith("failed") for what in seen)

"""People at work in a small organisation, and syncs of it: the steps that the model test's histories are made of."""

from contextlib import closing, contextmanager
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from include.operations.errors import PipelineError
from include.vms import registry, sync
from include.vms.contracts import Accept, Mode, Request
from include.vms.extract import Tuning
from include.vms.salesforce.errors import SalesforceFailed, Unreachable
from local.salesforce.metadata import FieldMeta
from tests.faults.vms.processes import KILLED, run, sync_once
from tests.integration.vms import mapping
from tests.integration.vms.source import session

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# In an organisation this small a few records are a large share.
ACCEPT = (Accept.MASS_DELETE, Accept.REJECTED_SHARE)
# So that a dozen rows are a Bulk job of some pages.
SMALL = Tuning(page_rows=4, rest_below=6)
FAULTS = (
    *("extract.opened", "extract.begun", "extract.job_made", "extract.job_noted", "extract.job_complete"),
    *("extract.in_page", "extract.after_page", "extract.extracted", "merge.before_commit"),
    *("validate.in_transaction", "merge.after_commit"),
    *("links.begun", "links.in_transaction", "reconcile.mended", "formulas.read"),
)
TROUBLES = (
    *("unavailable", "server_error", "bad_gateway", "rate_limit", "expire_token", "invalid_locator", "not_acceptable"),
    *("cut", "truncate", "drop", "reset", "lose_reply", "short_rows", "duplicate_rows", "job_failed", "job_vanished"),
    *("wrong_processed", "clock_skew", "total_requests", "query_timeout", "bulk_unsupported"),
)
# The field of each object that people change.
NAMED = {"Account": "Name", "Contact": "LastName", "Class__c": "Name", "npe5__Affiliation__c": "npe5__Role__c"}


class Pool:
    """Connections that are used again: a sync opens some forty, and most of a short one's time goes there."""

    def __init__(self, url):
        self._url = url
        self._idle = []

    @contextmanager
    def connect(self):
        """As `include.connections.warehouse`."""
        connection = self._idle.pop() if self._idle else psycopg.connect(self._url)
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def close(self):
        """Close those that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class Organisation:
    """People at work in an organisation, and syncs of it: each public method is a step.

    `seen` counts what happened, for the test's own sake.
    """

    def __init__(self, server, warehouse, seen, *, people=True):
        self.server, self.store, self.warehouse, self.seen = server, server.store, warehouse, seen
        self.pool = Pool(warehouse.url)
        self.runs = 0
        self.rooms = []
        server.reset()
        server.clock.set(START)
        server.clock.stop()
        if people:
            # Far from all windows before and after.
            server.clock.move(3600)
            self.begin()
            server.clock.move(3600)

    def live(self, steps):
        """Go through a history, come to rest, and compare. Each step is the name of a method and its arguments."""
        with closing(self.pool):
            for name, given in steps:
                try:
                    getattr(self, name)(**given)
                except ValueError as refused:
                    # Somebody's deletion was under way and is done first.
                    if "ENTITY_IS_DELETED" not in str(refused):
                        raise
            self.come_to_rest()
            self.compare()

    def begin(self):
        for kind in ("School", "School District", "Business", None):
            self.store.insert_many("Account", [{"Name": f"{kind} {number}", "Type": kind} for number in range(3)])
        for number in range(9):
            self.hire("Volunteer", f"Person {number}", number, number, {})
        for number in range(9):
            self.tie(number, number, {})

    # --- people ------------------------------------------------------------------------------------
    def found(self, kind, name, parent):
        self.store.insert("Account", {"Name": name, "Type": kind, "ParentId": self.pick("Account", parent)})

    def hire(self, kind, name, account, primary, late):
        row = {"FirstName": "Ana", "LastName": name, "Contact_Type__c": kind, "Email": f"a{account}@example.org"}
        row |= {"AccountId": self.pick("Account", account)}
        row |= {
            "npsp__Primary_Affiliation__c": self.pick("Account", primary),
            "Volunteer_Skills__c": f"Skill {primary}",
        }
        self.store.insert("Contact", row, **late)

    def tie(self, person, account, late):
        ends = {
            "npe5__Contact__c": self.pick("Contact", person),
            "npe5__Organization__c": self.pick("Account", account),
        }
        if all(ends.values()):
            self.store.insert("npe5__Affiliation__c", ends, **late)

    def teach(self, school, name):
        if found := self.pick("Account", school):
            self.store.insert("Class__c", {"Name": name, "School__c": found, "Class_Year_Number__c": 2030})

    def rename(self, which, sobject, name, late):
        values = {NAMED[sobject]: f"{name} {which}"} | {room: name for room in self.rooms if sobject == "Class__c"}
        self.change(sobject, which, values, **late)

    def account_becomes(self, which, kind):
        self.change("Account", which, {"Type": kind})

    def contact_becomes(self, which, kind):
        self.change("Contact", which, {"Contact_Type__c": kind})

    def formula_changes_without_a_stamp(self, which, sessions):
        self.change("Contact", which, {"Number_of_Attended_Volunteer_Sessions__c": sessions}, stamps="none")

    def delete(self, which, sobject, late):
        if found := self.pick(sobject, which):
            self.store.delete(sobject, [found], **late)

    def undelete(self, which, sobject):
        if found := self.pick(sobject, which, deleted=True):
            self.store.undelete(sobject, [found])

    def purge(self, which, sobject, logged):
        if found := self.pick(sobject, which):
            self.store.hard_delete(sobject, [found], logged=logged)

    def merge(self, sobject, which, losers):
        chosen = list(dict.fromkeys(self.pick(sobject, which + step) for step in range(losers + 1)))
        if len(chosen) > 1 and None not in chosen:
            self.store.merge(sobject, chosen[0], chosen[1:])
            self.seen["merge"] += 1

    def add_a_field(self):
        if len(self.rooms) == 2:
            return
        self.seen["field"] += 1
        self.rooms.append(f"Room{self.seen['field']}__c")
        self.store.add_field("Class__c", FieldMeta(name=self.rooms[-1], type="string", label="Room", length=80))

    def remove_a_field(self):
        """One that came by itself: its column stays as it is, and nobody looks at it any more."""
        if self.rooms:
            self.store.remove_field("Class__c", self.rooms.pop())

    # --- time and syncs ----------------------------------------------------------------------------
    def time_passes(self, seconds):
        self.server.clock.move(seconds)

    def syncs(self, name, mode):
        self.sync(name, mode)

    def a_sync_goes_past_a_change(self, name, which, called):
        """A change that nothing tells of is seen only after a sync whose window reaches beyond it."""
        sobject = registry.get(name).sobject
        self.catch_up(name)
        self.change(sobject, which, {NAMED[sobject]: f"{called} {which}"}, late_by=600, told=False)
        self.server.clock.move(599)
        self.sync(name, Mode.INCREMENTAL)
        self.server.clock.move(61)

    def people_work_while_a_sync_reads(self, name, which, called, after, gone):
        sobject = registry.get(name).sobject
        if found := self.pick(sobject, which, deleted=gone):
            row = {"Id": found, NAMED[sobject]: f"{called} {which}"}
            change = {"op": "undelete", "ids": [found]} if gone else {"op": "update", "rows": [row]}
            step = {"kind": "do", "after": after, "operations": [{"object": sobject, **change}]}
            self.in_trouble(step, name, Mode.FULL if after > 1 else Mode.INCREMENTAL)

    def a_replica_lags(self, name):
        """A job reads earlier versions of records that are here already: nothing may go back to them."""
        self.catch_up(name)
        sobject = registry.get(name).sobject
        for field, value in (("SystemModstamp", "2026-01-01T00:00:00.000Z"), (NAMED[sobject], "Stale")):
            self.server.behave({"kind": "alter", "on": "results", "field": field, "value": value, "times": None})
        self.sync(name, Mode.FULL, Tuning(page_rows=4, rest_below=1))
        self.server.behave()

    def salesforce_fails_a_sync(self, name, mode, kind, after, times):
        self.in_trouble({"kind": kind, "after": after, "times": times}, name, mode)

    def killed_in_a_sync(self, name, mode, point, again):
        self.runs += 1
        self.lease_runs_out()
        request, run_id = Request(mode, accept=ACCEPT), f"run-{self.runs}"
        given = (self.server.connection_uri, self.warehouse.url, name, run_id, request, SMALL)
        code, _ = run(sync_once, *given, fault=f"vms.{point}:kill")
        self.seen["killed"] += code == KILLED
        if again:
            self.sync(name, mode, run_id=run_id)

    # --- afterwards --------------------------------------------------------------------------------
    def come_to_rest(self):
        """Let what is late be visible and formulas be due, and sync everything, parents first."""
        self.server.clock.move(7300)
        self.warehouse.run("UPDATE ops.sync_state SET formulas_at = '2000-01-01'")
        for name in registry.objects():
            self.catch_up(name)

    def compare(self):
        rows = self.rows
        store = {sobject: self.store.rows(sobject) for sobject in NAMED}
        refused = {row[0] for row in rows("SELECT record_key FROM vms.quarantine WHERE resolved_at IS NULL")}
        tables = mapping.expected(store, refused)
        found = mapping.differences(rows, tables, refused)
        assert not found, found
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

    def rows(self, query):
        """The rows of a query."""
        with self.pool.connect() as connection:
            return connection.execute(query).fetchall()

    def change(self, sobject, which, values, **options):
        if found := self.pick(sobject, which):
            self.store.update(sobject, found, values, **options)

    def sync(self, name, mode, tuning=SMALL, run_id=None):
        self.runs += 1
        self.seen["syncs"] += 1
        self.lease_runs_out()
        request = Request(mode, accept=ACCEPT)
        with session(self.server) as client:
            return sync.run(
                client, self.pool.connect, registry.get(name), request, run_id or f"run-{self.runs}", tuning
            )

    def catch_up(self, name):
        """Sync until a window ends now, unless a change under way holds it back: a run may end one of hours ago."""
        while any("Went on" in note for note in self.sync(name, Mode.INCREMENTAL).notes):
            pass

    def in_trouble(self, step, name, mode):
        self.server.behave(step)
        try:
            self.sync(name, mode)
        except (PipelineError, SalesforceFailed, Unreachable) as error:
            self.seen[f"failed: {type(error).__name__}"] += 1
        finally:
            self.server.behave()

    def lease_runs_out(self):
        """A run that failed or died gives way after some minutes."""
        with self.pool.connect() as connection:
            connection.execute("UPDATE ops.sync_state SET lease_until = now()")

"""The proof of a run: both sides have the same records. What differs is named by its id, mended, and looked at again.

Each run compares the source's COUNT() with our active rows. When they differ, or all ids were read anyway (a full run,
the weekly sweep, `--full`), the ids with their modstamps are compared; records that differ are read once more by their
ids. What still differs then is an error. Afterwards come the fields that change without a modstamp: `formulas`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import ErrorClass, PipelineError
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.vms import deletes, differences, drift, formulas, sides, staging, state
from include.vms.contracts import Accept, Manifest, Mode, Request
from include.vms.salesforce import rest, soql

if TYPE_CHECKING:
    from include.vms.contracts import Connect
    from include.vms.differences import Look
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)

# Beyond so many, everything is read once more instead of record by record.
MOST_RECORDS: Final = 5_000
_NAMED: Final = 20


class NotReconciled(PipelineError):  # noqa: N818 - named for what happened
    """Both sides differ, and reading the records again has not changed that."""

    error_class = ErrorClass.UNKNOWN
    code = "NOT_RECONCILED"


def reconcile(client: Salesforce, connect: Connect, spec: SyncObject, manifest: Manifest) -> Manifest:
    """Compare, mend, refresh; the run's row is complete afterwards and the lease given back.

    Args:
        client: a session with Salesforce.
        connect: opens a connection to the warehouse.
        spec: the object.
        manifest: of the run.

    Raises:
        NotReconciled: records differ for good; they are named in `ops.sync_run.reconciled`.
        LeaseHeld: another run has begun meanwhile.
    """
    if manifest.dry_run or not manifest.moves_watermark:
        # Only a part of the source was read, or nothing written: there is nothing to compare.
        _finish(connect, manifest, {})
        return manifest
    return _Check(client, connect, spec, manifest, full=manifest.mode == Mode.FULL).run()


def check(client: Salesforce, connect: Connect, spec: SyncObject, run_id: str, *, full: bool) -> Manifest:
    """Compare and mend without a sync before it.

    Args:
        client: a session with Salesforce.
        connect: opens a connection to the warehouse.
        spec: the object.
        run_id: of the command.
        full: compare all ids even if the counts agree.

    Raises:
        As `reconcile`.
    """
    manifest = Manifest(spec.name, run_id, 0, "reconcile")
    with connect() as conn:
        manifest.epoch = state.open_run(conn, spec.name, run_id).epoch
        state.start_run(conn, manifest)
        staging.create_side(conn, spec, "_ids")
        staging.create_side(conn, spec, "_deleted")
    counted = rest.first_page(client, soql.count(spec.sobject, [spec.filter_soql]), deleted_too=False)
    manifest.source_count = counted.total
    return _Check(client, connect, spec, manifest, full=full).run()


@dataclass
class _Check:
    """One comparison with what follows from it."""

    client: Salesforce
    connect: Connect
    spec: SyncObject
    manifest: Manifest
    full: bool
    figures: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Manifest:
        before = self.client.calls
        try:
            due, swept = self._take()
            agrees = self._agrees()
            # The ids of a full run are those of the rows it read: they prove nothing about rows it did not get.
            swept = swept and (agrees or self.manifest.mode != Mode.FULL)
            if agrees and not (self.full or swept):
                self.figures["swept"] = False
            else:
                self._compare(due, swept=swept)
            formulas.refresh(self.client, self.connect, self.spec, self.manifest)
        finally:
            calls, quota = self.client.calls - before, self.client.quota
            used = (quota.used, quota.limit) if quota else (None, None)
            self.manifest.api_calls += calls
            with self.connect() as conn:
                state.note_calls(conn, self.spec.name, self.manifest.run, calls, *used)
                _write(conn, self.manifest, self.figures)
        _finish(self.connect, self.manifest, self.figures)
        return self.manifest

    def _take(self) -> tuple[datetime, bool]:
        """Take the lease anew, since a task that is tried again has an old number; whether `_ids` is of this run."""
        with self.connect() as conn:
            opened = state.open_run(conn, self.spec.name, self.manifest.run)
            self.spec = drift.effective(conn, self.spec)
        undisturbed = opened.epoch == self.manifest.epoch + 1
        self.manifest.epoch = opened.epoch
        if opened.watermark is None:
            raise NotReconciled(
                f"{self.spec.name} has never been synced as a whole.", what_to_do="Sync it first, then compare."
            )
        return opened.watermark, self.manifest.swept and undisturbed

    def _agrees(self) -> bool:
        """Whether the counts of both sides are equal."""
        with self.connect() as conn:
            ours, held = differences.active(conn, self.spec)
        source = self.manifest.source_count
        self.figures |= {"read": self.manifest.read, "source": source, "ours": ours, "rejected": held}
        return source is None or source == ours + held

    def _compare(self, due: datetime, *, swept: bool) -> None:
        if not swept:
            self._read_ids()
        found, half = self._look(due, of_rows=swept and self.manifest.mode == Mode.FULL), []
        if swept:
            with self.connect() as conn:
                half = deletes.half_gone(conn, self.spec)
        self.figures |= {"swept": True, **found.figures, **found.counts}
        if found.kinds:
            self._tell(found)
        if not found.kinds and not half:
            return
        begun = self.client.server_now() - timedelta(seconds=self.spec.lag_s)
        self._mend(found, half)
        fault_point("vms.reconcile.mended")
        if found.kinds:
            self._look_again(found, begun)

    def _read_ids(self) -> None:
        sides.stage_ids(
            self.client,
            self.connect,
            self.spec,
            self.manifest.epoch,
            self.manifest.source_count or self.figures["ours"],
        )

    def _look(self, due: datetime, *, of_rows: bool = False) -> Look:
        with self.connect() as conn:
            return differences.look(conn, self.spec, due, self.client.server_now(), MOST_RECORDS + 1, of_rows=of_rows)

    def _tell(self, found: Look) -> None:
        named = dict(list(found.kinds.items())[:_NAMED])
        log_event(log, "vms_mismatch", level=logging.WARNING, object=self.spec.name, **found.counts, records=str(named))
        self.figures["records"] = named
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counts.items()))
        self.manifest.notes.append(f"Records that differed from the source were read again: {said}.")

    def _mend(self, found: Look, half: list[str]) -> None:
        """Read the records again, as a run of its own that takes over our lease."""
        from include.vms import extract, links, merge, validate

        newer = [one for one, kind in found.kinds.items() if kind == differences.NEWER]
        if newer:
            with self.connect() as conn:
                state.fence(conn, self.spec.name, self.manifest.epoch)
                differences.forget_version(conn, self.spec, newer)
        # A rejected record is as good as read: it is in quarantine then.
        accept = (Accept.REJECTED_SHARE, *(Accept(one) for one in self.manifest.accept if one == Accept.MASS_DELETE))
        ids = sorted({*found.kinds, *half})
        many = len(ids) > MOST_RECORDS
        request = Request(Mode.FULL, accept=accept) if many else Request(Mode.RECORDS, accept=accept, ids=tuple(ids))
        run = f"{self.manifest.run}/repair"
        done = extract.extract(self.client, self.connect, self.spec, request, run)
        done = validate.validate(self.connect, self.spec, done)
        done = merge.merge(self.connect, self.spec, done)
        done = links.resolve(self.connect, self.spec, done)
        _finish(self.connect, done, {"repair_of": self.manifest.run})
        with self.connect() as conn:
            self.manifest.epoch = state.open_run(conn, self.spec.name, self.manifest.run).epoch

    def _look_again(self, first: Look, begun: datetime) -> None:
        self._read_ids()
        second = self._look(begun)
        # What was deleted between the two looks was no difference at the first.
        left = {
            one: kind
            for one, kind in second.kinds.items()
            if one in first.kinds and (kind != differences.EXTRA or first.kinds[one] == kind)
        }
        self.manifest.counts["repaired"] = len(first.kinds) - len(left)
        self.figures |= {"repaired": len(first.kinds) - len(left), "second_look": second.figures}
        if left:
            named = dict(list(left.items())[:_NAMED])
            self.figures["unrepaired"] = named
            raise NotReconciled(
                f"{self.spec.name}: {len(left)} records still differ from Salesforce after they were read again: "
                + ", ".join(f"{one} {kind}" for one, kind in named.items()),
                what_to_do="Look at these records in Salesforce and in the table; docs/runbooks/vms-sync.md says how.",
            )


def _write(conn: Any, manifest: Manifest, figures: dict[str, Any]) -> None:
    from psycopg.types.json import Jsonb

    conn.execute(
        "UPDATE ops.sync_run SET reconciled = %s, repaired = %s, notes = %s WHERE object = %s AND run_id = %s",
        [
            Jsonb(figures) if figures else None,
            manifest.counts.get("repaired", 0),
            Jsonb(manifest.notes),
            manifest.object,
            manifest.run,
        ],
    )


def _finish(connect: Connect, manifest: Manifest, figures: dict[str, Any]) -> None:
    """Complete the run's row and give the lease back."""
    with connect() as conn:
        _write(conn, manifest, figures)
        conn.execute(
            "UPDATE ops.sync_run SET finished_at = now(), outcome = 'success' WHERE object = %s AND run_id = %s",
            [manifest.object, manifest.run],
        )
        state.release(conn, manifest.object, manifest.epoch)

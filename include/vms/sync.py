"""All steps of a sync in a row, for the command line, replays and tests; the DAG runs the same steps as tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.vms import extract, links, merge, reconcile, runs, validate

if TYPE_CHECKING:
    from include.vms.contracts import Connect, Manifest, Request
    from include.vms.extract import Tuning
    from include.vms.salesforce.client import Salesforce
    from include.vms.spec import SyncObject


def run(
    client: Salesforce, connect: Connect, spec: SyncObject, request: Request, run_id: str, tuning: Tuning | None = None
) -> Manifest:
    """Sync one object; returns the manifest of the last step. `tuning` as in `extract.extract`.

    Raises what the steps raise: what was published before stays, nothing else was; the run's row says that it failed.
    """
    with runs.guarded(connect, spec, run_id):
        manifest = extract.extract(client, connect, spec, request, run_id, tuning)
        manifest = validate.validate(connect, spec, manifest)
        manifest = merge.merge(connect, spec, manifest)
        manifest = links.resolve(connect, spec, manifest)
        return reconcile.reconcile(client, connect, spec, manifest)

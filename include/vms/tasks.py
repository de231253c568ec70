"""The bodies of the VMS's Airflow tasks: open the connections, call the step, hand the manifest on.

Drivers are imported inside: every parse of a DAG file imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.connections import redis_client, salesforce, warehouse
from include.operations.errors import LeaseHeld
from include.vms import registry, state
from include.vms.runs import guarded

if TYPE_CHECKING:
    from include.vms.contracts import Manifest

Plain = dict[str, Any]


def extract(name: str, run_id: str, params: Plain) -> Plain:
    """Stage what changed at the source; skipped where there is no Salesforce.

    While another run is at work, the usual run is skipped, since the next one reads the same. One that was asked for
    something of its own, all rows say, fails: it is tried again when the lease is over, and is red if that is no use.
    """
    from include.vms.contracts import Request
    from include.vms.extract import extract as step

    spec, request = registry.get(name), Request.from_params(params)
    try:
        with salesforce() as client, guarded(warehouse, spec, run_id):
            return step(client, warehouse, spec, request, run_id).to_dict()
    except LeaseHeld as held:
        if request != Request():
            raise
        raise AirflowSkipException(str(held)) from held
    except AirflowNotFoundException as missing:
        with warehouse() as connection:
            if state.in_use(connection):
                raise
        said = "There is no connection `salesforce`, and never was: docs/salesforce.md says how to make one."
        raise AirflowSkipException(said) from missing


def validate(name: str, manifest: Plain) -> Plain:
    """Count what breaks a rule; stops before anything is published when too much does."""
    from include.vms.validate import validate as step

    spec, read = registry.get(name), _read(manifest)
    with guarded(warehouse, spec, read):
        return step(warehouse, spec, read).to_dict()


def merge(name: str, manifest: Plain) -> Plain:
    """Publish rows, tombstones, quarantine, flags and watermark in one transaction."""
    from include.vms.merge import merge as step

    spec, read = registry.get(name), _read(manifest)
    with guarded(warehouse, spec, read):
        return step(warehouse, spec, read).to_dict()


def resolve_links(name: str, manifest: Plain) -> Plain:
    """Set references whose parent is there; note those that wait."""
    from include.vms.links import resolve

    spec, read = registry.get(name), _read(manifest)
    with guarded(warehouse, spec, read):
        return resolve(warehouse, spec, read).to_dict()


def reconcile(name: str, manifest: Plain) -> Plain:
    """Compare both sides and mend what differs."""
    from include.vms.reconcile import reconcile as step

    spec, read = registry.get(name), _read(manifest)
    with salesforce() as client, guarded(warehouse, spec, read):
        return step(client, warehouse, spec, read).to_dict()


def invalidate_caches(name: str, manifest: Plain) -> Plain:
    """Delete cached reports that are stale; returns what the run came to."""
    from include.vms import caches

    read = _read(manifest)
    deleted = 0 if read.dry_run else caches.invalidate(warehouse, redis_client, registry.get(name))
    stored = sum(read.counts.get(count, 0) for count in ("inserted", "updated", "unchanged"))
    return {"read": read.read, "stored": stored, "caches": deleted, **read.counts}


def full_sync(name: str, run_id: str) -> None:
    """Run one object's sync in full mode, and wait for its end; fails when it fails."""
    from airflow.sdk.exceptions import DagRunTriggerException

    raise DagRunTriggerException(
        trigger_dag_id=f"vms_sync_{name}",
        dag_run_id=f"full_sync__{run_id}",
        conf={"mode": "full"},
        # A second try of this task begins the same run anew.
        reset_dag_run=True,
        skip_when_already_exists=False,
        wait_for_completion=True,
        allowed_states=["success"],
        failed_states=["failed"],
        poke_interval=2,
        deferrable=False,
    )


def all_synced() -> None:
    """Do nothing: this task runs only when every object was synced, and is the run's outcome."""


def _read(manifest: Plain) -> Manifest:
    from include.vms.contracts import Manifest

    return Manifest.from_dict(manifest)

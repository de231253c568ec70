"""The bodies of the VMS's Airflow tasks: open the connections, call the step, hand the manifest on.

Drivers are imported inside: every parse of a DAG file imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.connections import redis_client, salesforce, warehouse
from include.operations.errors import LeaseHeld
from include.vms import full_sync, registry, state
from include.vms.runs import guarded

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol as DagRun
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as RuntimeTaskInstance

    from include.vms.contracts import Connect, Manifest
    from include.vms.spec import SyncObject

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

    return _go_on(step, name, manifest)


def merge(name: str, manifest: Plain) -> Plain:
    """Publish rows, tombstones, quarantine, flags and watermark in one transaction."""
    from include.vms.merge import merge as step

    return _go_on(step, name, manifest)


def resolve_links(name: str, manifest: Plain) -> Plain:
    """Set references whose parent is there; note those that wait."""
    from include.vms.links import resolve

    return _go_on(resolve, name, manifest)


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


def check_conf(dag_run: DagRun) -> None:
    """Refuse a nightly run that was asked for something."""
    full_sync.check(dag_run.conf)


def start_sync(name: str, run_id: str, dag_run: DagRun) -> None:
    """Start one object's sync in full mode."""
    if dag_run.conf:
        raise AirflowSkipException("The run was refused: see `check_conf`.")
    full_sync.start(name, run_id)


def wait_for_sync(name: str, run_id: str, ti: RuntimeTaskInstance) -> None:
    """Wait for the end of one object's sync; fails when it failed, and says why."""
    full_sync.wait(warehouse, name, run_id, ti.get_dagrun_state)


def all_synced() -> None:
    """Do nothing: this task runs only when every object was synced, and is the run's outcome."""


def _go_on(step: Callable[[Connect, SyncObject, Manifest], Manifest], name: str, manifest: Plain) -> Plain:
    spec, read = registry.get(name), _read(manifest)
    with guarded(warehouse, spec, read):
        return step(warehouse, spec, read).to_dict()


def _read(manifest: Plain) -> Manifest:
    from include.vms.contracts import Manifest

    return Manifest.from_dict(manifest)

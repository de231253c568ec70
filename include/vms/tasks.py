"""The bodies of the VMS's Airflow tasks: open the connections, call the step, hand the manifest on.

Drivers are imported inside: every parse of a DAG file imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.connections import redis_client, salesforce, warehouse
from include.operations.errors import LeaseHeld
from include.vms import registry

if TYPE_CHECKING:
    from include.vms.contracts import Manifest

Plain = dict[str, Any]


def extract(name: str, run_id: str, params: Plain) -> Plain:
    """Stage what changed at the source; skipped while another run of the object is at work."""
    from include.vms import extract as step
    from include.vms.contracts import Request

    with salesforce() as client:
        try:
            return step.extract(client, warehouse, registry.get(name), Request.from_params(params), run_id).to_dict()
        except LeaseHeld as held:
            raise AirflowSkipException(str(held)) from held


def validate(name: str, manifest: Plain) -> Plain:
    """Count what breaks a rule; stops before anything is published when too much does."""
    from include.vms import validate as step

    return step.validate(warehouse, registry.get(name), _read(manifest)).to_dict()


def merge(name: str, manifest: Plain) -> Plain:
    """Publish rows, tombstones, quarantine, flags and watermark in one transaction."""
    from include.vms import merge as step

    return step.merge(warehouse, registry.get(name), _read(manifest)).to_dict()


def resolve_links(name: str, manifest: Plain) -> Plain:
    """Set references whose parent is there; note those that wait."""
    from include.vms import links

    return links.resolve(warehouse, registry.get(name), _read(manifest)).to_dict()


def reconcile(name: str, manifest: Plain) -> Plain:
    """Compare both sides and mend what differs."""
    from include.vms import reconcile as step

    with salesforce() as client:
        return step.reconcile(client, warehouse, registry.get(name), _read(manifest)).to_dict()


def invalidate_caches(name: str, manifest: Plain) -> Plain:
    """Delete cached reports that the run has made stale."""
    from include.vms import caches

    with redis_client() as redis:
        return {**manifest, "caches": caches.invalidate(redis, registry.get(name), _read(manifest))}


def _read(manifest: Plain) -> Manifest:
    from include.vms.contracts import Manifest

    return Manifest.from_dict(manifest)

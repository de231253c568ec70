"""The bodies of the organism's Airflow tasks: open the connections, call the step, record the run.

Drivers are imported inside: every parse of a DAG file imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.connections import neo4j_driver, redis_client, warehouse
from include.operations.errors import LeaseHeld
from include.organism.settings import Settings

if TYPE_CHECKING:
    from include.organism.update import Clients

Manifest = dict[str, Any]


@contextmanager
def _clients() -> Iterator[Clients]:
    from include.organism.update import Clients

    with redis_client() as redis, neo4j_driver() as (driver, database):
        yield Clients(redis, driver, database)


def _settings(params: dict[str, Any]) -> Settings:
    return Settings.from_env(batch_size=params.get("batch_size"), time_budget_s=params.get("time_budget_s"))


def fetch_interactions(run_id: str, params: dict[str, Any]) -> Manifest:
    """Make the stream ready and size the backlog; skipped when another run is draining it."""
    from include.organism import update

    with _clients() as clients:
        try:
            return update.fetch_interactions(clients, _settings(params), run_id)
        except LeaseHeld as held:
            raise AirflowSkipException(str(held)) from held


def update_graph(manifest: Manifest, params: dict[str, Any]) -> Manifest:
    """Drain the stream into the graph; leaves the run's row in `ops.graph_update`."""
    from include.organism import report, update

    with _clients() as clients:
        result = update.update_graph(clients, _settings(params), manifest)
    with warehouse() as connection:
        report.write(connection, manifest["run"], result)
    return result


def acknowledge(manifest: Manifest, result: Manifest, params: dict[str, Any]) -> Manifest:
    """Acknowledge what the graph has committed, never before."""
    from include.organism import report, update

    with _clients() as clients:
        done = update.acknowledge(clients, _settings(params), result)
    with warehouse() as connection:
        report.amend(connection, manifest["run"], done)
    return done


def invalidate_cache(manifest: Manifest, params: dict[str, Any]) -> Manifest:
    """Delete cached figures of everyone touched."""
    from include.organism import report, update

    with _clients() as clients:
        done = update.invalidate_cache(clients, _settings(params), manifest)
    with warehouse() as connection:
        report.close(connection, manifest["run"], done)
    return done

"""A simulated org as the source of syncs: a session with it, and steps that end at the staging table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import Connection

from include.vms import extract, registry, sync
from include.vms.contracts import Manifest, Mode, Request
from include.vms.extract import Tuning
from include.vms.salesforce.client import Salesforce
from include.vms.salesforce.settings import Settings
from include.vms.spec import SyncObject
from local.salesforce.testing import SalesforceServer
from tests.integration.vms.harness import Warehouse


def no_sleep(_seconds: float) -> None:
    """Wait for nothing."""


def settings(server: SalesforceServer, method: str = "client_credentials") -> Settings:
    """Settings of a connection to the simulator."""
    return settings_of(server.connection(method))


def settings_of(uri: str) -> Settings:
    """Settings of a connection."""
    return Settings.from_connection(Connection.from_uri(uri, conn_id="salesforce"))


@contextmanager
def session(server: SalesforceServer) -> Iterator[Salesforce]:
    """A session that does not wait between repeats."""
    with Salesforce(settings(server), sleep=no_sleep) as client:
        yield client


class Source:
    """Extracts from one simulated org into one warehouse."""

    def __init__(self, server: SalesforceServer, warehouse: Warehouse) -> None:
        self.server = server
        self.warehouse = warehouse
        self._runs = 0

    def extract(
        self,
        spec: SyncObject,
        mode: Mode = Mode.INCREMENTAL,
        *,
        run: str | None = None,
        page_rows: int = 50_000,
        rest_below: int = extract.REST_BELOW,
        uri: str | None = None,
        read_s: float = 60,
        **asked: Any,
    ) -> Manifest:
        """Run the extraction alone."""
        self._runs += 1
        tuning = Tuning(page_rows, rest_below)
        found = settings_of(uri or self.server.connection_uri)
        with Salesforce(found, sleep=no_sleep, read_s=read_s) as client:
            return extract.extract(
                client, self.warehouse.connect, spec, Request(mode, **asked), run or f"run-{self._runs}", tuning
            )

    def sync(
        self,
        name: str,
        mode: Mode = Mode.INCREMENTAL,
        *,
        run: str | None = None,
        tuning: Tuning | None = None,
        **asked: Any,
    ) -> Manifest:
        """Run all steps of a sync."""
        self._runs += 1
        run_id, request = run or f"run-{self._runs}", Request(mode, **asked)
        with session(self.server) as client:
            return sync.run(client, self.warehouse.connect, registry.get(name), request, run_id, tuning)

    def published(self, manifest: Manifest) -> None:
        """Stand in for the steps after it: move the watermark and give the lease back."""
        from include.vms import state

        with self.warehouse.connect() as conn:
            state.publish(conn, manifest)
            state.release(conn, manifest.object, manifest.epoch)

    def staged(self, spec: SyncObject, *fields: str) -> list[tuple[Any, ...]]:
        """Staged rows."""
        return self.warehouse.table(spec.name, *(fields or ("Id",)), schema="vms_stage")

    def state(self, spec: SyncObject, column: str) -> Any:
        """A column of the object's row in ops.sync_state."""
        return self.warehouse.rows(f"SELECT {column} FROM ops.sync_state WHERE object = %s", spec.name)[0][0]

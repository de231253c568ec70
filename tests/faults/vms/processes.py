"""Syncs in processes of their own, to be killed: forked from one that has imported everything.

Nothing here may import `tests.integration`: outside pytest that name is a package of some library's.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import psutil
import psycopg
from airflow.sdk import Connection as AirflowConnection

from include.vms import extract, merge, registry, sync
from include.vms.contracts import Manifest, Mode, Request
from include.vms.salesforce.client import Salesforce
from include.vms.salesforce.settings import Settings

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.vms.processes"])
_PATIENCE_S = 120
KILLED = -signal.SIGKILL


@contextmanager
def session(connection: str) -> Iterator[Salesforce]:
    """A session with the simulator that does not wait between repeats."""
    found = Settings.from_connection(AirflowConnection.from_uri(connection, conn_id="salesforce"))
    with Salesforce(found, sleep=lambda _: None) as client:
        yield client


def extract_once(
    connection: str, warehouse: str, name: str, run: str, page_rows: int, rest_below: int, mode: Mode
) -> dict[str, Any]:
    """One extraction; returns the manifest."""
    tuning = extract.Tuning(page_rows, rest_below)
    with session(connection) as client:
        return extract.extract(
            client, lambda: psycopg.connect(warehouse), registry.get(name), Request(mode), run, tuning
        ).to_dict()


def merge_once(warehouse: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """One merge of what is staged; returns the manifest."""
    found = Manifest.from_dict(manifest)
    return merge.merge(lambda: psycopg.connect(warehouse), registry.get(found.object), found).to_dict()


def sync_once(
    connection: str,
    warehouse: str,
    name: str,
    run: str,
    asked: Request | None = None,
    tuning: extract.Tuning | None = None,
) -> dict[str, Any]:
    """One sync with all its steps; returns the manifest."""
    with session(connection) as client:
        return sync.run(
            client, lambda: psycopg.connect(warehouse), registry.get(name), asked or Request(), run, tuning
        ).to_dict()


class Running:
    """A function at work in a process of its own.

    Args:
        function: at the top of a module.
        arguments: can be pickled.
        fault: value of FAULT_AT there.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, fault: str = "") -> None:
        self._ours, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_child, args=(theirs, fault, function, arguments))
        self._process.start()
        theirs.close()

    def wait_stopped(self) -> None:
        """Until a fault point has stopped it."""
        deadline = time.monotonic() + _PATIENCE_S
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            if time.monotonic() > deadline or not self._process.is_alive():
                raise TimeoutError("it did not stop")
            time.sleep(0.01)

    def wake(self) -> None:
        """Let it go on."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> tuple[int, Any]:
        """Wait for its end; returns the exit code and what it returned, None when it was killed. Raises its error."""
        try:
            found = self._ours.recv() if self._ours.poll(_PATIENCE_S) else None
        except EOFError:
            found = None
        self._process.join(_PATIENCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError("it did not end")
        if isinstance(found, BaseException):
            raise found
        return self._process.exitcode, found


def run(function: Callable[..., Any], *arguments: Any, fault: str = "") -> tuple[int, Any]:
    """Call a function elsewhere and wait; see `Running`."""
    return Running(function, *arguments, fault=fault).end()


def _child(pipe: Connection, fault: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ["FAULT_AT"] = fault
    try:
        pipe.send(function(*arguments))
    except Exception as error:  # noqa: BLE001 - it is the test's
        pipe.send(error)

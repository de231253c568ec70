"""How a run that fails is left behind: its row says so, and its lease is free for the next one."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from include.operations.errors import LeaseLost
from include.operations.log import log_event
from include.vms import state
from include.vms.contracts import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from include.vms.contracts import Connect
    from include.vms.spec import SyncObject

log = logging.getLogger(__name__)


@contextmanager
def guarded(connect: Connect, spec: SyncObject, run: Manifest | str) -> Iterator[None]:
    """Do one step of a run, or all of them: whatever it raises marks the run as failed and frees its lease.

    A step that is tried again takes the lease back, unless another run has taken over meanwhile: then the step itself
    raises LeaseLost. What was staged stays, so that the next run, or the next try, goes on with it.

    Args:
        connect: opens a connection to the warehouse.
        spec: the object.
        run: its manifest, or before there is one its id.
    """
    run_id = run.run if isinstance(run, Manifest) else run
    if isinstance(run, Manifest):
        with connect() as conn:
            state.retake(conn, run)
    try:
        yield
    except BaseException as error:
        try:
            with connect() as conn:
                state.fail_run(conn, spec.name, run_id, superseded=isinstance(error, LeaseLost))
        except Exception as why:  # noqa: BLE001 - the first error is the one to tell; the lease ends by itself
            log_event(
                log,
                "vms_run_left_open",
                level=logging.WARNING,
                object=spec.name,
                error=type(why).__name__,
            )
        raise

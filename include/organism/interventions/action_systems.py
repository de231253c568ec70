"""Actions in other systems, calendar and tasks, over one small HTTP contract (docs/interventions.md).

    PUT /<system>/actions/<key>   {"state": "active" | "cancelled", "revision": N, "person", "action", "parameters"}

The key is the idempotency key: the same PUT again changes nothing. `revision` is our fence: one lower than the newest
is refused (409). Cancelled is final, also of an action that was never made, so a late writer cannot make it any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from include.operations.breaker import breaker
from include.operations.context import in_task
from include.operations.errors import LeaseLost
from include.operations.faults import fault_point
from include.organism.interventions.errors import ActionRefused
from include.organism.interventions.executor import Done, Undone

if TYPE_CHECKING:
    import httpx

    from include.organism.interventions.store import Intervention, Step

SERVICE: Final = "actions"
_CONFLICT: Final = 409
_REQUEST_TIMEOUT: Final = 408
_RATE_LIMIT: Final = 429
_SERVER_ERROR: Final = 500


class ActionSystems:
    """Executor for calendar and tasks.

    Args:
        client: an HTTP client with base URL, log-in and time-outs.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def apply(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Done]:
        """See `Executor.apply`; a request for each person."""
        for step in steps:
            body = {"person": step.employee_id, "action": row.action, "parameters": dict(row.parameters)}
            answer = self._put(step, {**body, "state": "active", "revision": fence})
            fault_point("interventions.webhook.answered")
            yield Done(step.employee_id, answer.get("captured") or {})

    def undo(self, row: Intervention, steps: Sequence[Step], fence: int) -> Iterator[Undone]:
        """See `Executor.undo`; a request for each person, the last one first."""
        for step in reversed(steps):
            body = {"person": step.employee_id, "action": row.action, "parameters": dict(row.parameters)}
            answer = self._put(step, {**body, "state": "cancelled", "revision": fence})
            fault_point("interventions.webhook.cancelled")
            yield Undone(step.employee_id, bool(answer.get("restored", True)))

    def _put(self, step: Step, body: dict[str, Any]) -> dict[str, Any]:
        path = f"/{step.system}/actions/{step.key}"
        if not in_task():
            return self._send(path, body)
        with breaker(SERVICE).guard(alone=True):
            return self._send(path, body)

    def _send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.put(path, json=body, headers={"Idempotency-Key": path.rpartition("/")[2]})
        if answer.is_success:
            found = answer.json()
            if not isinstance(found, dict):
                raise ActionRefused("the action system did not answer with an object", what_to_do="check its address")
            return found
        status = answer.status_code
        if status == _CONFLICT:
            raise LeaseLost(
                "the action system knows a newer writer, or the action was cancelled; nothing was changed",
                what_to_do="nothing: the run that took it goes on",
            )
        if status >= _SERVER_ERROR or status in (_REQUEST_TIMEOUT, _RATE_LIMIT):
            answer.raise_for_status()
        raise ActionRefused(
            f"the action system answered {status}",
            what_to_do="check the connection interventions, and whether the system knows this action",
        )

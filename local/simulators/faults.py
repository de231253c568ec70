"""How a simulated service misbehaves: chosen over the reader's API, for a number of requests or until changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import Any

_HTTP = {"ok", "hang", "rate_limit", "server_error", "reset", "drop", "lose_reply"}
# What each service knows. `reset` and `drop` end the connection before anything is done (RST, FIN);
# `lose_reply` does the work and then ends it, so that the client cannot know.
MODES: dict[str, set[str]] = {
    "slack": {*_HTTP, "error", "invalid_auth"},
    "sentry": {*_HTTP, "refuse"},
    "actions": {*_HTTP, "refuse"},
    "smtp": {"ok", "hang", "drop", "lose_reply", "refuse_login", "reject_recipient", "temporary"},
}


@dataclass(frozen=True)
class Fault:
    """One way to misbehave."""

    mode: str = "ok"
    seconds: float = 60.0  # hang: so long; then the answer is what it would have been
    retry_after: int = 30  # rate_limit: the header Retry-After, in seconds
    status: int = 500  # server_error: 502 to 504 come with an HTML page, as from a load balancer
    code: str = "fatal_error"  # error: Slack's word for it
    method: str = ""  # only this method (chat.update, webhook, envelope, ...); empty: all of them
    times: int | None = None  # so many requests; None: until changed


class Faults:
    """The chosen faults, and a log of the newest requests."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._changed = asyncio.Event()
        self._requests: deque[dict[str, Any]] = deque(maxlen=2000)

    def choose(self, service: str, wanted: dict[str, Any]) -> None:
        """Set the fault of a service; requests that hang at this moment go on. Raises ValueError when unknown."""
        if service not in MODES:
            raise ValueError(f"unknown service {service!r}: one of {', '.join(sorted(MODES))}")
        try:
            fault = Fault(**wanted)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if fault.mode not in MODES[service]:
            raise ValueError(f"{service} cannot {fault.mode!r}: one of {', '.join(sorted(MODES[service]))}")
        if fault.mode == "invalid_auth":
            fault = replace(fault, mode="error", code="invalid_auth")
        self._faults[service] = fault
        self._release()

    def clear(self) -> None:
        """Let every service work, and forget the requests."""
        self._faults.clear()
        self._requests.clear()
        self._release()

    def chosen(self) -> dict[str, dict[str, Any]]:
        """Return the fault of each service."""
        return {service: asdict(self._faults.get(service, Fault())) for service in MODES}

    def take(self, service: str, method: str = "") -> Fault:
        """Return what to do with one request, and count it."""
        fault = self._faults.get(service, Fault())
        if fault.method and fault.method != method:
            return Fault()
        if fault.times is not None:
            if fault.times <= 0:
                return Fault()
            self._faults[service] = replace(fault, times=fault.times - 1)
        return fault

    def mode(self, service: str) -> str:
        """Return the chosen mode without counting a request."""
        return self._faults.get(service, Fault()).mode

    async def hang(self, fault: Fault) -> None:
        """Wait as long as the fault says, or until another is chosen."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), fault.seconds)

    def note(self, service: str, method: str, outcome: str) -> None:
        """Remember a request."""
        self._requests.append({"service": service, "method": method, "outcome": outcome, "at": time.time()})

    def requests(self) -> list[dict[str, Any]]:
        """Return the newest requests, oldest first."""
        return list(self._requests)

    def _release(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

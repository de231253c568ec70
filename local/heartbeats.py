"""Ends a process of Airflow that lives and does nothing: the supervisor then starts another.

Seen with Airflow 3.3.2: the metadata database was killed, and the scheduler waited for ever in the LocalExecutor's
shutdown. Its process was there, so nothing restarted it, and no run began any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from local.airflow import Component
from local.part import NotReadyError

SILENCE: Final = 60.0
"""Seconds without a healthy answer; Airflow itself calls a component unhealthy 30 s after its last heartbeat."""
INTERVAL: Final = 10.0
"""Seconds between two looks."""
_log = logging.getLogger("local.supervisor")


class Heartbeats:
    """Who is silent, and since when.

    A silence counts only while the api-server answers and says that its database is well: without them nobody can show
    a heartbeat, and both need time to come back. A component that is still starting is not judged either.
    """

    def __init__(
        self,
        components: Sequence[Component],
        health: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._components = [component for component in components if component.health]
        self._health = health
        # Monotonic: it stands still while the machine sleeps.
        self._clock = clock
        self._silent: dict[int, float] = {}

    def look(self) -> None:
        """Ask once, and end the components that have been silent for too long."""
        silent = self._unhealthy()
        now = self._clock()
        self._silent = {pid: self._silent.get(pid, now) for pid in silent}
        for pid, component in silent.items():
            silence = now - self._silent[pid]
            if silence >= SILENCE and component.stop_if(pid):
                _log.warning("%s hung: ended after %.0f s (log: %s)", component.name, silence, component.log)

    def _unhealthy(self) -> dict[int, Component]:
        try:
            answer = self._health()
        except NotReadyError:
            return {}
        if not _is_healthy(answer, "metadatabase"):
            return {}
        return {
            component.pid: component
            for component in self._components
            if component.is_ready and component.pid is not None and not _is_healthy(answer, component.health)
        }


def _is_healthy(answer: Mapping[str, Any], name: str) -> bool:
    return (answer.get(name) or {}).get("status") == "healthy"

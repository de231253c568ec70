"""A private, complete system for end-to-end and fault tests: own ports, own data, own supervisor."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from local import launcher, process
from local.declared import login
from local.launcher import Launch
from local.salesforce.testing import SalesforceServer
from local.simulators.testing import AlertSink

# Tests destroy data: servers and settings of the person who runs them are none of their business.
FOREIGN = (
    "AIRFLOW_CONN_",
    "AIRFLOW__",
    "AIRFLOW_VAR_",
    "AIRFLOW_HOME",
    "AIRFLOW_CONFIG",
    "AIRFLOW_API_",
    "ORGANISM_",
    "INTERVENTION_",
    "BACKUP_",
    "UPKEEP_",
)
# Airflow runs what it has missed, and so a whole night's backups and seven syncs at each start.
QUIET = {"UPKEEP_SCHEDULE": "none", "SALESFORCE_SCHEDULE": "none"}


class AirflowSystem:
    """Servers and Airflow in a state directory of their own; ends with this process at the latest."""

    def __init__(self, state_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self._launch = Launch(state_dir, usual_ports=False, environ=environ | QUIET | dict(settings or {}))
        self._clients: list[httpx.Client] = []
        self.state_dir = self._launch.state_dir

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> float:
        """Start everything; returns the seconds it took."""
        return self._launch.start()

    def stop(self) -> None:
        """Stop everything, and whatever a test has left."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._launch.stop()
        launcher.stop(self.state_dir)

    @property
    def env(self) -> dict[str, str]:
        """Variables by which a program attaches: AIRFLOW_CONN_*, AIRFLOW_API_*, AIRFLOW__*."""
        return self._launch.env

    @property
    def url(self) -> str:
        """Address of the api-server."""
        return self.env["AIRFLOW_API_URL"]

    @property
    def api(self) -> httpx.Client:
        """A logged-in HTTP client for the REST API (`/api/v2/...`)."""
        if not self._clients:
            env = self.env
            self._clients.append(login(self.url, env["AIRFLOW_API_USERNAME"], env["AIRFLOW_API_PASSWORD"]))
        return self._clients[0]

    @property
    def alerts(self) -> AlertSink:
        """What has arrived at the simulated Slack, mail server and Sentry, and how they behave."""
        return AlertSink.attach(self.env)

    @property
    def salesforce(self) -> SalesforceServer:
        """The simulated Salesforce: its records, its clock, what was asked of it."""
        return SalesforceServer.attach(self.env)

    @property
    def supervisor_log(self) -> Path:
        """Log of starts, crashes and restarts."""
        return self._launch.log

    def pid_of(self, part: str) -> int:
        """Return the process id of a part: a server, alert-sink, api-server, scheduler, dag-processor, triggerer."""
        return int(launcher.describe(self.state_dir)["parts"][part]["pid"])

    def kill(self, part: str, *, keep_orphans: bool = False) -> int:
        """SIGKILL a part; the supervisor restarts it. Returns the killed pid.

        Processes it leaves behind are ended as well, unless `keep_orphans`: then the LocalExecutor's workers of a
        killed scheduler go on and become zombie writers, as they do in production.
        """
        if keep_orphans:
            self.keep_orphans()
        else:
            self._keep_orphans_flag.unlink(missing_ok=True)
        pid = self.pid_of(part)
        psutil.Process(pid).kill()
        return pid

    def wait_for(self, part: str, old_pid: int, timeout: float = 120) -> int:
        """Wait until the supervisor has replaced a killed part by a healthy new one; returns its pid."""
        deadline = time.monotonic() + timeout
        while True:
            found = launcher.describe(self.state_dir).get("parts", {}).get(part, {})
            if found.get("ready") and found["pid"] != old_pid:
                return int(found["pid"])
            if not process.wait_until(deadline, 0.1):
                raise TimeoutError(f"{part} did not come back within {timeout:.0f} s: {self.supervisor_log}")

    def kill_scheduler(self, *, keep_orphans: bool = False) -> int:
        """SIGKILL the scheduler. Returns the killed pid."""
        return self.kill("scheduler", keep_orphans=keep_orphans)

    def restart_scheduler(self, *, keep_orphans: bool = False) -> int:
        """SIGKILL the scheduler and wait for the new one. Returns the new pid."""
        return self.wait_for("scheduler", self.kill_scheduler(keep_orphans=keep_orphans))

    @property
    def _keep_orphans_flag(self) -> Path:
        return self.state_dir / "run" / "keep-orphans"

    def keep_orphans(self) -> None:
        """Let processes whose parent is killed live on, until `end_orphans`."""
        self._keep_orphans_flag.touch()

    def orphans(self) -> list[psutil.Process]:
        """Return the processes a killed part has left (only with `keep_orphans`)."""
        found = launcher.describe(self.state_dir)
        known = {part["pid"] for part in found["parts"].values()}
        with contextlib.suppress(psutil.NoSuchProcess):
            return [p for p in psutil.Process(found["supervisor"]["pid"]).children() if p.pid not in known]
        return []

    def end_orphans(self) -> None:
        """End the kept orphans, with their families."""
        for orphan in self.orphans():
            for member in reversed(process.family(orphan.pid)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        self._keep_orphans_flag.unlink(missing_ok=True)

"""The simulators as a part of the local system: started by `make up`, restarted when killed, data kept."""

from __future__ import annotations

from typing import ClassVar

from local.ports import is_free, must_be_ours
from local.simulated import SimulatorServer
from local.simulators.settings import SECRETS, Settings


class AlertSinkServer(SimulatorServer):
    """Slack, a mail server, Sentry, a calendar and a task system in one process."""

    name: ClassVar[str] = "alert-sink"
    package: ClassVar[str] = "local.simulators"
    usual_port: ClassVar[int] = 8025
    usual_smtp_port: ClassVar[int] = 2525
    _smtp_name: ClassVar[str] = "alert-sink-smtp"

    @property
    def settings(self) -> Settings:
        """Ports and secrets of this state directory."""
        made = {name: self._secrets.get_or_make(f"{self.name}.{name}", make()) for name, make in SECRETS.items()}
        smtp_port = self._ports.ensure(self._smtp_name, self.usual_smtp_port)
        journal = str(self.directory / "inbox.jsonl")
        return Settings(http_port=self.port, smtp_port=smtp_port, journal=journal, **made)

    @property
    def url(self) -> str:
        """The page where a person reads what arrived."""
        return self.settings.inbox_url

    @property
    def connections(self) -> dict[str, str]:
        """AIRFLOW_CONN_SLACK_ALERTS, AIRFLOW_CONN_SMTP_ALERTS, AIRFLOW_CONN_SENTRY and AIRFLOW_CONN_INTERVENTIONS."""
        return self.settings.connections()

    def _prepare(self) -> None:
        self._choose_smtp_port()
        super()._prepare()

    def _choose_smtp_port(self) -> int:
        return self._ports.choose(self._smtp_name, self.usual_smtp_port)

    def _before_check(self) -> None:
        super()._before_check()
        if self.pid is not None:
            must_be_ours(self.pid, self.settings.smtp_port)
        self._ports.release(self._smtp_name)

    def _has_ports(self, port: int) -> bool:
        return super()._has_ports(port) and is_free(self.settings.smtp_port)

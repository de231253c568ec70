"""From Airflow connections to channels; a channel that is not configured is no error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from include.operations.alerts.channels.base import Channel, NotDelivered
from include.operations.alerts.settings import Settings
from include.operations.log import log_event

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

CONNECTIONS: Final[Mapping[str, str]] = {"slack": "slack_alerts", "email": "smtp_alerts", "sentry": "sentry"}


class Channels(Mapping[str, Channel]):
    """The channels that are configured; `missing` names the others, `broken` those whose connection is unusable."""

    def __init__(self, channels: Mapping[str, Channel], missing: tuple[str, ...], broken: Mapping[str, str]) -> None:
        self._channels = dict(channels)
        self.missing = missing
        self.broken = dict(broken)

    def __getitem__(self, name: str) -> Channel:
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def editing(self) -> dict[str, bool]:
        """Each channel, and whether it can edit what it sent."""
        return {name: channel.edits for name, channel in self._channels.items()}


def open_channels(settings: Settings) -> Channels:
    """Look the connections up and make a channel of each; nothing is sent and no server is reached."""
    from include.operations.alerts.channels import email, sentry, slack

    makers: dict[str, Callable[[Connection, Settings], Channel]] = {
        "slack": lambda connection, _: slack.from_connection(connection),
        "email": email.from_connection,
        "sentry": lambda connection, _: sentry.from_connection(connection),
    }
    found: dict[str, Channel] = {}
    missing: list[str] = []
    broken: dict[str, str] = {}
    for name, conn_id in CONNECTIONS.items():
        connection = _connection(conn_id)
        if connection is None:
            missing.append(name)
            continue
        try:
            found[name] = makers[name](connection, settings)
        except (NotDelivered, ValueError) as error:
            broken[name] = error.code if isinstance(error, NotDelivered) else type(error).__name__
            log_event(log, "alert_channel_unusable", level=logging.ERROR, channel=name, code=broken[name])
    return Channels(found, tuple(missing), broken)


def _connection(conn_id: str) -> Any:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        return Connection.get(conn_id)
    except (AirflowNotFoundException, AirflowRuntimeError):
        return None

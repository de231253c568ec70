"""Where messages go: Slack, e-mail, Sentry. Each is optional and described by an Airflow connection."""

from __future__ import annotations

from include.operations.alerts.channels.base import Channel, NotDelivered
from include.operations.alerts.channels.registry import CONNECTIONS, Channels, open_channels

__all__ = ["CONNECTIONS", "Channel", "Channels", "NotDelivered", "open_channels"]

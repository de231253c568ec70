"""What every channel can do, and how it says that it could not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Protocol

from include.operations.alerts.message import Message

# Seconds a channel may take to accept a connection, and over any one reply. A callback holds its task up.
CONNECT_S: Final = 2.0
READ_S: Final = 3.0


class NotDelivered(Exception):  # noqa: N818 - named for what happened
    """A channel did not take a message. `code` is a word of the channel's protocol, free of values."""

    def __init__(self, code: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


class Channel(Protocol):
    """One configured channel."""

    @property
    def name(self) -> str:
        """`slack`, `email` or `sentry`."""

    @property
    def edits(self) -> bool:
        """Whether a message that was sent can be replaced."""

    def send(self, message: Message, *, key: str, place: Mapping[str, Any], edit: bool) -> dict[str, Any]:
        """Send one message once, without trying again; returns where it is now.

        `key` is the same whenever this message is sent again. `place` is where the incident's first message is: this
        one answers it, or replaces it with `edit`.

        Raises:
            NotDelivered: the channel refused it or did not answer in time.
        """

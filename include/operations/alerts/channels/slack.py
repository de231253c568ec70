"""Slack: the Web API with a bot token (threads, edits, files), or an incoming webhook as the simple mode.

Connection `slack_alerts`: type `slack` with the bot token as password and the channel in the extra `channel`; or type
`slackwebhook` with the webhook's address as password. The token needs the scopes chat:write and, for the digest's
picture, files:write.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.alerts import slack_blocks
from include.operations.alerts.channels.base import READ_S, NotDelivered
from include.operations.alerts.message import Message
from include.operations.errors import classify, parse_retry_after

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from slack_sdk import WebClient

CHANNEL: Final = "#alerts"
# Slack refused what the message looks like, not who sends it or where to.
_MALFORMED: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


def from_connection(connection: Connection) -> Bot | Webhook:
    """Make the channel a connection describes.

    Raises:
        NotDelivered: it lacks a token or an address.
    """
    extra = connection.extra_dejson
    secret = (connection.password or "").strip()
    if not secret:
        raise NotDelivered("NO_TOKEN")
    if connection.conn_type == "slackwebhook" or "://" in secret:
        base = connection.host or "hooks.slack.com/services"
        url = secret if "://" in secret else f"{base if '://' in base else f'https://{base}'}/{secret.lstrip('/')}"
        return Webhook(url, extra.get("proxy"))
    return Bot(secret, str(extra.get("channel") or CHANNEL), extra.get("base_url"), extra.get("proxy"))


@dataclass(frozen=True, slots=True)
class Bot:
    """The Web API."""

    token: str
    channel: str
    base_url: str | None = None
    proxy: str | None = None
    name: str = "slack"
    edits: bool = True

    def send(self, message: Message, *, key: str, place: Mapping[str, Any], edit: bool) -> dict[str, Any]:  # noqa: ARG002
        """Post, answer in the incident's thread, or edit; see `Channel.send`."""
        client = self._client()
        content = {"text": slack_blocks.fallback(message), "blocks": slack_blocks.blocks(message)}
        here = {"channel": place["channel"], "ts": place["ts"]} if place.get("ts") else {}
        common: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}
        if edit and here:
            try:
                self._call(client.chat_update, **here, **content)
            except NotDelivered as error:
                if error.code not in _GONE:
                    raise
                here = {}
            else:
                return here
        if here:
            # A recovery and a reminder are news: shown in the channel, too.
            common |= {"thread_ts": here["ts"], "reply_broadcast": True}
        channel = here.get("channel", self.channel)
        try:
            answer = self._call(client.chat_postMessage, channel=channel, **common, **content)
        except NotDelivered as error:
            if error.code not in _MALFORMED:
                raise
            answer = self._call(client.chat_postMessage, channel=channel, **common, text=content["text"])
        posted = {"channel": answer["channel"], "ts": answer["ts"]}
        if message.picture:
            self._upload(client, message, posted)
        return here or posted

    def _client(self) -> WebClient:
        from slack_sdk import WebClient

        return WebClient(
            token=self.token,
            base_url=self.base_url or WebClient.BASE_URL,
            timeout=int(READ_S),
            proxy=self.proxy,
            # They would wait and try again by themselves, and hold the task up.
            retry_handlers=[],
        )

    def _upload(self, client: WebClient, message: Message, posted: Mapping[str, str]) -> None:
        try:
            picture = base64.b64decode(message.picture, validate=True)
        except binascii.Error:
            return
        self._call(
            client.files_upload_v2,
            channel=posted["channel"],
            thread_ts=posted["ts"],
            content=picture,
            filename="statistics.png",
            title=message.title,
        )

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return method(**arguments)
        except SlackApiError as error:
            response = error.response
            code = str(response.get("error") or f"HTTP_{response.status_code}")
            headers = {name.lower(): value for name, value in (response.headers or {}).items()}
            raise NotDelivered(code, retry_after=_seconds(headers.get("retry-after"))) from None
        except (SlackClientError, OSError, ValueError) as error:
            raise NotDelivered(classify(error).code) from None


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming webhook: it can neither thread nor edit."""

    url: str
    proxy: str | None = None
    name: str = "slack"
    edits: bool = False

    def send(self, message: Message, *, key: str, place: Mapping[str, Any], edit: bool) -> dict[str, Any]:  # noqa: ARG002
        """Post; see `Channel.send`."""
        from slack_sdk.webhook import WebhookClient

        client = WebhookClient(self.url, timeout=int(READ_S), proxy=self.proxy, retry_handlers=[])
        try:
            answer = client.send(
                text=slack_blocks.fallback(message), blocks=slack_blocks.blocks(message), unfurl_links=False
            )
        except (OSError, ValueError) as error:
            raise NotDelivered(classify(error).code) from None
        if answer.status_code != 200:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            code = answer.body if answer.body.isidentifier() else f"HTTP_{answer.status_code}"
            raise NotDelivered(code[:60], retry_after=_seconds(headers.get("retry-after")))
        return {}


def _seconds(value: Any) -> timedelta | None:
    value = value[0] if isinstance(value, list) and value else value
    return parse_retry_after(value, datetime.now(UTC))

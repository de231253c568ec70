"""A Slack workspace as a bot sees it: channels, messages, threads, edits, files. Raises Slack's own error codes."""

from __future__ import annotations

import base64
import copy
import secrets
import time
from typing import Any

from local.simulators import blocks as block_limits
from local.simulators.inbox import Inbox

TEAM, BOT, USER, APP = "T0SIMULATE", "B0SIMULATE", "U0SIMULATE", "A0SIMULATE"
# name: id. The bot may post to the first two, is no member of the third; the last one is archived.
CHANNELS = {"alerts": "C0ALERTS01", "general": "C0GENERAL1", "secret": "C0SECRET01", "old-alerts": "C0OLDALERT"}
_NOT_MEMBER, _ARCHIVED = CHANNELS["secret"], CHANNELS["old-alerts"]
# docs.slack.dev: chat.postMessage cuts nothing up to here; chat.update refuses more than 4,000.
MOST_TEXT, MOST_TEXT_OF_EDIT = 40_000, 4_000
MOST_ATTACHMENTS = 100
MOST_BYTES = 8_000_000
MOST_UPLOADS = 20

Message = dict[str, Any]


class SlackError(Exception):
    """A request Slack refuses: its code, and details."""

    def __init__(self, code: str, details: list[str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.details = details or []


class Workspace:
    """Messages and files of the simulated workspace."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._last = 0
        self._uploads: dict[str, dict[str, Any]] = {}

    # --- channels --------------------------------------------------------------------------------
    def channels(self) -> list[dict[str, Any]]:
        """Return the channels as conversations.list does."""
        return [self.channel(name) for name in CHANNELS]

    def channel(self, name: str) -> dict[str, Any]:
        """Return one channel."""
        found = CHANNELS[name]
        return {
            "id": found,
            "name": name,
            "is_channel": True,
            "is_archived": found == _ARCHIVED,
            "is_member": found not in (_NOT_MEMBER, _ARCHIVED),
            "is_private": found == _NOT_MEMBER,
            "num_members": 3,
        }

    def channel_id(self, given: object, *, by_name: bool = False) -> str:
        """Return the id of the channel a request names; only chat.postMessage takes names."""
        if not given:
            raise SlackError("invalid_arguments", ["missing required field: channel"])
        text = str(given)
        found = text if text in CHANNELS.values() else CHANNELS.get(text.removeprefix("#")) if by_name else None
        if found is None:
            raise SlackError("channel_not_found")
        return found

    # --- messages --------------------------------------------------------------------------------
    def post(self, given: dict[str, Any], *, via: str = "api") -> Message:
        """Post a message; `given` are the arguments of chat.postMessage."""
        channel = self._writable(self.channel_id(given.get("channel"), by_name=True))
        content = _content(given, MOST_TEXT)
        if not any(content.values()):
            raise SlackError("no_text")
        message = self._new(channel, via) | content
        if given.get("thread_ts"):
            message["thread_ts"] = self._root(channel, given["thread_ts"])
            message["reply_broadcast"] = str(given.get("reply_broadcast")).lower() in ("1", "true")
        if given.get("metadata"):
            message["metadata"] = given["metadata"]
        self._save(message)
        return message

    def update(self, given: dict[str, Any]) -> Message:
        """Edit a message; `given` are the arguments of chat.update."""
        message = copy.deepcopy(self._own(given))
        if len(str(given.get("text") or "")) > MOST_TEXT_OF_EDIT:
            raise SlackError("msg_too_long")
        content = _content(given, MOST_TEXT)
        before = {name: message[name] for name in ("text", "blocks", "attachments")}
        if given.get("text") is not None:
            message["text"] = content["text"]
        # Slack's rule: a text without blocks removes the blocks.
        if given.get("text") is not None or given.get("blocks") is not None:
            message["blocks"] = content["blocks"]
        if given.get("attachments") is not None:
            message["attachments"] = content["attachments"]
        new = {name: message[name] for name in before}
        if (new == before and not any(content.values())) or not any(new.values()):
            raise SlackError("no_text")
        message["edits"].append({"at": time.time(), **before})
        message["edited"] = {"user": USER, "ts": self._ts()}
        self._save(message)
        return message

    def delete(self, given: dict[str, Any]) -> Message:
        """Delete a message. The inbox goes on showing it, as deleted."""
        message = {**self._own(given), "deleted": True}
        self._save(message)
        return message

    def messages(self, channel: str) -> list[Message]:
        """Return the messages of a channel, oldest first."""
        return [m for m in self._inbox.all("slack") if m["channel"] == channel and not m["deleted"]]

    def replies(self, channel: str, ts: object) -> list[Message]:
        """Return a thread: its first message and the replies."""
        root = self._root(channel, ts)
        return [m for m in self.messages(channel) if root in (m["ts"], m.get("thread_ts"))]

    def _writable(self, channel: str) -> str:
        if channel == _ARCHIVED:
            raise SlackError("is_archived")
        if channel == _NOT_MEMBER:
            raise SlackError("not_in_channel")
        return channel

    def _root(self, channel: str, ts: object) -> str:
        """Return the first message of a thread, given any message of it."""
        found = self._find(channel, str(ts))
        if found is None:
            raise SlackError("thread_not_found")
        return str(found.get("thread_ts") or found["ts"])

    def _own(self, given: dict[str, Any]) -> Message:
        channel = self.channel_id(given.get("channel"))
        if not given.get("ts"):
            raise SlackError("invalid_arguments", ["missing required field: ts"])
        message = self._find(channel, str(given["ts"]))
        if message is None:
            raise SlackError("message_not_found")
        if message["via"] != "api":
            raise SlackError("cant_update_message")
        return message

    def _find(self, channel: str, ts: str) -> Message | None:
        found = self._inbox.get("slack", ts)
        return found if found is not None and found["channel"] == channel and not found["deleted"] else None

    def _new(self, channel: str, via: str) -> Message:
        name = next(name for name, known in CHANNELS.items() if known == channel)
        return {
            "type": "message",
            "ts": self._ts(),
            "channel": channel,
            "channel_name": name,
            "user": USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "via": via,
            "files": [],
            "edits": [],
            "deleted": False,
            "received_at": time.time(),
        }

    def _ts(self) -> str:
        """Return a new time stamp; Slack's are unique and ascend within a channel."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def _save(self, message: Message) -> None:
        self._inbox.put("slack", message["ts"], message)

    # --- files -----------------------------------------------------------------------------------
    def announce(self, given: dict[str, Any]) -> dict[str, Any]:
        """Begin an upload (files.getUploadURLExternal)."""
        name, length = str(given.get("filename") or ""), str(given.get("length") or "")
        if not name or not length.isdigit() or int(length) == 0:
            missing = "filename" if not name else "length"
            raise SlackError("invalid_arguments", [f"missing required field: {missing}"])
        if int(length) > MOST_BYTES:
            raise SlackError("file_upload_size_restricted")
        while len(self._uploads) >= MOST_UPLOADS:
            del self._uploads[next(iter(self._uploads))]  # begun and never completed
        key = f"F{secrets.token_hex(5).upper()}"
        self._uploads[key] = {"id": key, "name": name, "length": int(length), "secret": secrets.token_urlsafe(24)}
        return self._uploads[key]

    def receive(self, secret: str, content: bytes) -> dict[str, Any] | None:
        """Take the bytes sent to an upload address; None when the address is unknown."""
        upload = next((u for u in self._uploads.values() if secrets.compare_digest(u["secret"], secret)), None)
        if upload is not None:
            upload["content"] = base64.b64encode(content).decode()
            upload["size"] = len(content)
        return upload

    def complete(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        """End uploads and share the files in a channel (files.completeUploadExternal)."""
        wanted = given.get("files")
        if not isinstance(wanted, list) or not wanted:
            raise SlackError("invalid_arguments", ["missing required field: files"])
        ready = []
        for item in wanted:
            upload = self._uploads.get(str(item.get("id"))) if isinstance(item, dict) else None
            if upload is None or "content" not in upload:
                raise SlackError("file_not_found")
            ready.append((upload, str(item.get("title") or upload["name"])))
        channel = self._writable(self.channel_id(given["channel_id"])) if given.get("channel_id") else None
        thread = self._root(channel, given["thread_ts"]) if channel and given.get("thread_ts") else None
        files = []
        for upload, title in ready:
            del self._uploads[upload["id"]]
            entry = {"id": upload["id"], "name": upload["name"], "title": title, "size": upload["size"]}
            self._inbox.put("file", upload["id"], {**entry, "content": upload["content"]})
            files.append(entry)
        if channel is not None:
            comment = str(given.get("initial_comment") or "")
            message = self._new(channel, "api") | {"text": comment, "blocks": [], "attachments": [], "files": files}
            if thread is not None:
                message |= {"thread_ts": thread, "reply_broadcast": False}
            self._save(message)
        return files


def _content(given: dict[str, Any], most: int) -> dict[str, Any]:
    """Return text, blocks and attachments after the checks Slack makes."""
    text = str(given.get("markdown_text") or given.get("text") or "")
    if len(text) > most:
        raise SlackError("msg_too_long")
    blocks = given.get("blocks") or []
    errors = block_limits.check(blocks)
    if errors:
        raise SlackError("invalid_blocks", errors)
    if block_limits.text_size(blocks) > block_limits.MOST_TEXT:
        raise SlackError("msg_blocks_too_long")
    attachments = given.get("attachments") or []
    if not isinstance(attachments, list):
        raise SlackError("invalid_attachments")
    if len(attachments) > MOST_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    for index, attachment in enumerate(attachments):
        found = block_limits.check(attachment.get("blocks") or [], f"/attachments/{index}/blocks")
        if found:
            raise SlackError("invalid_attachments", found)
    named = [{**block, "block_id": block.get("block_id") or secrets.token_hex(2)} for block in blocks]
    return {"text": text, "blocks": named, "attachments": attachments}

"""Slack messages as HTML: blocks, attachments, threads, edits, pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from local.simulators.mrkdwn import link, render
from local.simulators.slack_messages import CHANNELS

Message = Mapping[str, Any]


def clock(seconds: float) -> str:
    """Return a point of time as this machine's clock shows it."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def channels(messages: Sequence[Message], key: str) -> str:
    """Return every channel that has messages, newest conversation first."""
    parts = []
    for name, channel in CHANNELS.items():
        found = [m for m in messages if m["channel"] == channel]
        if found:
            parts.append(f"<h2># {escape(name)}</h2>" + "".join(_conversations(found, key)))
    return "".join(parts) or '<p class="empty">Nothing has arrived in Slack yet.</p>'


def _conversations(messages: Sequence[Message], key: str) -> list[str]:
    replies: dict[str, list[Message]] = {}
    for message in messages:
        if message.get("thread_ts"):
            replies.setdefault(message["thread_ts"], []).append(message)
    known = {message["ts"] for message in messages}
    # A reply whose first message was dropped from the inbox stands alone.
    first = [m for m in messages if not m.get("thread_ts") or m["thread_ts"] not in known]
    shown = []
    for message in reversed(first):
        thread = [reply for reply in replies.get(message["ts"], []) if reply is not message]
        below = "".join(_message(reply, key) for reply in thread)
        count = f'<div class="count">{len(thread)} {"reply" if len(thread) == 1 else "replies"}</div>' if thread else ""
        shown.append(
            f'<div class="conversation">{_message(message, key)}{count}<div class="thread">{below}</div></div>'
        )
    return shown


def _message(message: Message, key: str) -> str:
    marks = [f"<time>{clock(message['received_at'])}</time>"]
    if message["via"] == "webhook":
        marks.append("by webhook")
    if message["edits"]:
        marks.append("(edited)")
    if message["deleted"]:
        marks.append("(deleted)")
    anchor = "m" + message["ts"].replace(".", "")
    gone = " gone" if message["deleted"] else ""
    earlier = "".join(
        f"<details><summary>before the edit of {clock(edit['at'])}</summary>{_content(edit, key)}</details>"
        for edit in message["edits"]
    )
    return (
        f'<article class="message{gone}" id="{anchor}"><div class="who"><b>pipelines</b> <span class="app">APP</span> '
        f"{' '.join(marks)}</div>{_content(message, key)}{earlier}</article>"
    )


def _content(message: Message, key: str) -> str:
    blocks = message["blocks"]
    parts = [_block(block, key) for block in blocks] if blocks else [f"<div>{render(message['text'])}</div>"]
    if blocks and message["text"]:
        # What a phone's notification and a screen reader say instead of the blocks.
        parts.append(f'<div class="fallback" title="notification text">🔔 {render(message["text"])}</div>')
    parts += [_attachment(attachment, key) for attachment in message["attachments"]]
    parts += [_file(file, key) for file in message.get("files", [])]
    return "".join(parts)


def _block(block: Message, key: str) -> str:
    kind = str(block.get("type"))
    if kind == "header":
        return f"<h3>{_text(block.get('text'))}</h3>"
    if kind == "divider":
        return "<hr>"
    if kind == "section":
        fields = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields") or [])
        grid = f'<div class="fields">{fields}</div>' if fields else ""
        return (
            f'<div class="section"><div>{_text(block.get("text"))}{grid}</div>{_element(block.get("accessory"))}</div>'
        )
    if kind == "context":
        return f'<div class="context">{" ".join(_element(e) or _text(e) for e in block["elements"])}</div>'
    if kind == "actions":
        return f'<div class="actions">{"".join(_element(element) for element in block["elements"])}</div>'
    if kind == "image":
        return _image(block, key)
    if kind == "markdown":
        return f'<div class="markdown">{escape(str(block.get("text")))}</div>'
    return f'<div class="markdown">[{escape(kind)}]</div>'


def _element(element: object) -> str:
    """Return a button or a picture's description; nothing for a text."""
    if not isinstance(element, Mapping):
        return ""
    if element.get("type") == "button":
        label = str((element.get("text") or {}).get("text", ""))
        style = escape(str(element.get("style") or ""))
        address = str(element.get("url") or "")
        inside = link(address, label) if address else escape(label)
        return f'<span class="button {style}" title="{escape(address)}">{inside}</span>'
    if element.get("type") == "image":
        # Never loaded: reading the inbox must not tell another server.
        return link(str(element.get("image_url") or ""), f"[{element.get('alt_text')}]")
    return ""


def _image(block: Message, key: str) -> str:
    uploaded = (block.get("slack_file") or {}).get("id")
    title = f"<div>{_text(block.get('title'))}</div>" if block.get("title") else ""
    if uploaded:
        return title + _picture(str(uploaded), str(block.get("alt_text")), key)
    return title + link(str(block.get("image_url") or ""), f"[{block.get('alt_text')}]")


def _attachment(attachment: Message, key: str) -> str:
    colour = str(attachment.get("color") or "#dddddd")
    colour = colour if re.fullmatch(r"#[0-9A-Fa-f]{6}", colour) else "#dddddd"
    blocks = "".join(_block(block, key) for block in attachment.get("blocks") or [])
    text = render(str(attachment.get("text") or "")) if not blocks else ""
    title = f"<b>{escape(str(attachment['title']))}</b><br>" if attachment.get("title") else ""
    return f'<div class="attachment" style="border-color:{colour}">{title}{text}{blocks}</div>'


def _file(file: Message, key: str) -> str:
    name = escape(str(file["title"]))
    if str(file["name"]).lower().endswith(".png"):
        return f"<div>{name}</div>{_picture(str(file['id']), str(file['title']), key)}"
    return (
        f'<div>📎 <a href="/inbox/files/{escape(str(file["id"]))}?key={key}">{name}</a>, {file["size"]:,} bytes</div>'
    )


def _picture(file_id: str, description: str, key: str) -> str:
    return f'<img src="/inbox/files/{escape(file_id)}?key={key}" alt="{escape(description)}">'


def _text(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    return render(str(value.get("text") or ""), plain=value.get("type") == "plain_text")

"""A message as the text and the HTML of an e-mail. Everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from include.operations.alerts.links import runbook_file
from include.operations.alerts.message import Message

PICTURE: Final = "statistics@digest"
_COLOURS: Final = {"P1": "#b00020", "P2": "#c25700", "P3": "#8a6d00", "P4": "#0b5cad"}
_RECOVERED: Final = "#1b7a3d"
_EXCERPT: Final = "white-space:pre-wrap;background:#f4f4f4;padding:8px"


def text(message: Message) -> str:
    """The plain text."""
    return "\n".join(_lines(message)) + "\n"


def _lines(message: Message) -> Iterator[str]:
    yield f"{message.icon} {message.word}: {message.title}"
    yield from message.detail
    yield ""
    if message.impact:
        yield f"Impact: {message.impact}"
    yield from (f"{label}: {value}" for label, value in message.facts.items() if value)
    for member in message.members:
        mark = "recovered" if member.recovered else member.severity
        yield f"- {mark}: {member.title} {member.url}".rstrip()
    if message.more:
        yield f"- and {message.more} more"
    if message.what_to_do:
        yield f"What to do: {message.what_to_do}"
    if message.runbook and "Runbook" not in message.links:
        yield f"Runbook: {runbook_file(message.runbook)}"
    yield from (f"{label}: {url}" for label, url in message.links.items())
    if message.excerpt:
        yield from ("", message.excerpt)
    if message.text:
        yield from ("", message.text)
    yield from ("", *message.notes, " · ".join(message.meta))


def html(message: Message, *, has_picture: bool = False) -> str:
    """The HTML; a digest brings its own body."""
    colour = _RECOVERED if message.kind == "recovery" else _COLOURS[message.severity]
    parts = [
        '<!doctype html><html><head><meta charset="utf-8"></head>'
        '<body style="font-family:sans-serif;max-width:42em;color:#222;background:#fff">',
        f'<h2 style="color:{colour};font-size:1.15em">{escape(f"{message.icon} {message.word}: {message.title}")}</h2>',
        *(f"<p>{escape(line)}</p>" for line in message.detail),
    ]
    if message.impact:
        parts.append(f"<p><b>Impact:</b> {escape(message.impact)}</p>")
    rows = [_row(label, value) for label, value in message.facts.items() if value]
    if rows:
        parts.append(f'<table style="border-collapse:collapse">{"".join(rows)}</table>')
    if message.members:
        parts.append(f"<ul>{''.join(_items(message))}</ul>")
    if message.what_to_do:
        parts.append(f"<p><b>What to do:</b> {escape(message.what_to_do)}</p>")
    if message.runbook and "Runbook" not in message.links:
        parts.append(f"<p><b>Runbook:</b> <code>{escape(runbook_file(message.runbook))}</code></p>")
    links = [_link(label, url) for label, url in message.links.items()]
    if any(links):
        parts.append(f"<p>{' · '.join(link for link in links if link)}</p>")
    if message.excerpt:
        parts.append(f'<pre style="{_EXCERPT}">{escape(message.excerpt)}</pre>')
    if message.html:
        parts.append(message.html)
    elif message.text:
        parts.append(f'<pre style="white-space:pre-wrap">{escape(message.text)}</pre>')
    if has_picture:
        parts.append(f'<p><img src="cid:{PICTURE}" alt="{escape(message.title)}" style="max-width:100%"></p>')
    closing = "<br>".join(escape(line) for line in (*message.notes, " · ".join(message.meta)))
    parts.append(f'<p style="color:#666;font-size:0.85em">{closing}</p></body></html>')
    return "\n".join(parts)


def _row(label: str, value: str) -> str:
    return (
        f'<tr><th style="text-align:left;padding:2px 12px 2px 0">{escape(label)}</th>'
        f'<td style="padding:2px 0">{escape(value)}</td></tr>'
    )


def _items(message: Message) -> Iterator[str]:
    for member in message.members:
        mark = "recovered" if member.recovered else member.severity
        yield f"<li><b>{escape(mark)}</b> {_link(member.title, member.url) or escape(member.title)}</li>"
    if message.more:
        yield f"<li>and {message.more} more</li>"


def _link(label: str, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return ""
    return f'<a href="{escape(url)}">{escape(label)}</a>'

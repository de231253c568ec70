"""A message as Slack blocks, and as the text for push notices and screen readers.

Everything that comes from data is escaped: `&`, `<` and `>` so that no `<!channel>` and no link can be made of it, and
`@here` and its like are broken up. Slack's limits: 50 blocks, 3000 characters a text, 150 a header, 10 fields of 2000,
25 buttons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from include.operations.alerts.links import runbook_file
from include.operations.alerts.message import Member, Message

_SECTION: Final = 2900
_HEADER: Final = 150
_FIELD: Final = 300
_FALLBACK: Final = 1000
_BUTTONS: Final = 5
_URL: Final = 3000
_CALLS: Final = re.compile(r"@(?=(?:here|channel|everyone)\b)", re.IGNORECASE)
# Single quotation marks that look alike.
_ANGLES: Final = str.maketrans({"<": "\u2039", ">": "\u203a"})
Block = dict[str, Any]


def escape(text: str) -> str:
    """Make data inert in mrkdwn."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A word joiner: the name stays readable and calls nobody.
    return _CALLS.sub("@\u2060", text)


def _plain(text: str) -> str:
    """Make data inert in plain text, where entities would be shown as they are written."""
    return _CALLS.sub("@\u2060", text.translate(_ANGLES))


def fallback(message: Message) -> str:
    """The text of push notices: who is called, severity, title, first thing to do."""
    call = "<!here> " if message.ping and message.kind != "recovery" else ""
    rest = f" - {message.what_to_do}" if message.what_to_do and message.kind != "recovery" else ""
    return call + _cut(f"{message.icon} {message.word}: {escape(message.title + rest)}", _FALLBACK)


def blocks(message: Message) -> list[Block]:
    """The message as blocks."""
    head = _cut(f"{message.icon} {message.word}: {_plain(message.title)}", _HEADER)
    made: list[Block] = [{"type": "header", "text": {"type": "plain_text", "text": head, "emoji": True}}]
    lead = [escape(line) for line in message.detail]
    if message.ping and message.kind != "recovery":
        lead.insert(0, "<!here>")
    if message.impact:
        lead.append(f"*Impact:* {escape(message.impact)}")
    made += _sections(lead)
    made += _fields(message.facts.items())
    made += _sections([_member(member) for member in message.members])
    if message.more:
        made += _sections([f"…and {message.more} more."])
    todo = f"*What to do:* {escape(message.what_to_do)}" if message.what_to_do else ""
    made += _sections([line for line in (todo, _runbook_line(message)) if line])
    if message.excerpt:
        made += _sections(["```" + escape(message.excerpt).replace("```", "'''") + "```"])
    if message.text:
        made += _sections(escape(message.text).splitlines())
    made += _buttons(message)
    closing = [*message.notes, " · ".join(message.meta)]
    elements = [{"type": "mrkdwn", "text": _cut(escape(line), _FIELD)} for line in closing if line][:10]
    if elements:
        made.append({"type": "context", "elements": elements})
    # The last ones are the buttons and the context: keep them.
    return made if len(made) <= 50 else [*made[:46], *made[-4:]]


def _sections(lines: Iterable[str]) -> list[Block]:
    """Lines in as few sections as fit."""
    texts: list[str] = []
    for each in lines:
        line = _cut(each, _SECTION)
        if texts and len(texts[-1]) + 1 + len(line) <= _SECTION:
            texts[-1] += f"\n{line}"
        elif line:
            texts.append(line)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts]


def _fields(facts: Iterable[tuple[str, str]]) -> list[Block]:
    texts = [f"*{escape(label)}*\n{_cut(escape(value), _FIELD)}" for label, value in facts if value]
    fields = [{"type": "mrkdwn", "text": text} for text in texts]
    return [{"type": "section", "fields": fields[:10]}] if fields else []


def _member(member: Member) -> str:
    mark = "🟢 recovered:" if member.recovered else f"*{escape(member.severity)}*"
    title = escape(member.title)
    return f"• {mark} <{_address(member.url)}|{title}>" if _address(member.url) else f"• {mark} {title}"


def _runbook_line(message: Message) -> str:
    # With an address it is a button.
    return f"*Runbook:* `{escape(runbook_file(message.runbook))}`" if _needs_runbook_line(message) else ""


def _needs_runbook_line(message: Message) -> bool:
    return bool(message.runbook) and "Runbook" not in message.links


def _buttons(message: Message) -> list[Block]:
    buttons = [
        {
            "type": "button",
            "action_id": f"open_{number}",
            "text": {"type": "plain_text", "text": label[:75]},
            "url": _address(url, escaped=False),
        }
        for number, (label, url) in enumerate(message.links.items())
        if _address(url, escaped=False)
    ]
    return [{"type": "actions", "elements": buttons[:_BUTTONS]}] if buttons else []


def _address(url: str, *, escaped: bool = True) -> str:
    """An address a reader may follow; anything else is left out."""
    if not url.startswith(("http://", "https://")) or len(url) > _URL or any(char in url for char in " <>|\n"):
        return ""
    return escape(url) if escaped else url


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    # Never in the middle of an entity.
    return re.sub(r"&\w{0,4}$", "", text[: limit - 1]) + "…"

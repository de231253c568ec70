"""Slack's text format as safe HTML: what a reader in Slack would see."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

_EMOJI = {
    "rotating_light": "🚨",
    "red_circle": "🔴",
    "large_red_circle": "🔴",
    "large_orange_circle": "🟠",
    "large_yellow_circle": "🟡",
    "large_green_circle": "🟢",
    "large_blue_circle": "🔵",
    "white_circle": "⚪",
    "white_check_mark": "✅",
    "heavy_check_mark": "✔️",
    "x": "❌",
    "warning": "⚠️",
    "information_source": "ℹ️",  # noqa: RUF001 - that is the sign
    "fire": "🔥",
    "boom": "💥",
    "bell": "🔔",
    "no_bell": "🔕",
    "hourglass_flowing_sand": "⏳",
    "arrows_counterclockwise": "🔄",
    "bar_chart": "📊",
    "chart_with_upwards_trend": "📈",
    "mag": "🔍",
    "lock": "🔒",
    "broken_heart": "💔",
    "mute": "🔇",
    "books": "📚",
}
_STYLES = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), r"<s>\1</s>"),
)
_WEB = re.compile(r"https?://", re.IGNORECASE)


def render(text: str, *, plain: bool = False) -> str:
    """Return HTML for mrkdwn; `plain`: only emoji and line ends mean something."""
    text = text.replace("\0", "")
    kept: list[str] = []

    def keep(make: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            kept.append(make(match[1]))
            return f"\0{len(kept) - 1}\0"

        return replace

    if not plain:
        text = re.sub(r"```\n?(.+?)```", keep(lambda code: f"<pre>{_text(code)}</pre>"), text, flags=re.DOTALL)
        text = re.sub(r"`([^`\n]+)`", keep(lambda code: f"<code>{_text(code)}</code>"), text)
        text = re.sub(r"<([^<>\n]+)>", keep(_reference), text)
    shown = escape(text) if plain else _text(text)
    if not plain:
        for pattern, replacement in _STYLES:
            shown = pattern.sub(replacement, shown)
        shown = re.sub(r"(?m)^&gt; ?(.*)$\n?", r"<blockquote>\1</blockquote>", shown)
    shown = re.sub(r":([a-z0-9_+-]+):", lambda m: _EMOJI.get(m[1], m[0]), shown).replace("\n", "<br>")
    return re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], shown)


def link(address: str, label: str) -> str:
    """Return a link that opens elsewhere; only web addresses become one."""
    if not _WEB.match(address):
        return escape(label)
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(label)}</a>'


def _reference(inside: str) -> str:
    """Return what stands for `<...>`: a mention, a channel, a date or a link."""
    target, _, label = inside.partition("|")
    if target.startswith("!date^"):
        return _text(label)
    if target.startswith(("!", "@", "#")):
        name = label or target[1:].removeprefix("subteam^")
        sign = "#" if target.startswith("#") else "@"
        return f'<span class="mention">{sign}{_text(name.lstrip("@#"))}</span>'
    return link(_entities(target), _entities(label or target))


def _text(text: str) -> str:
    return escape(_entities(text))


def _entities(text: str) -> str:
    """Undo the escaping Slack asks of senders."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

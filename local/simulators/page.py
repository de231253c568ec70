"""The inbox as a page: what a person would have seen in Slack, in the mailbox and in Sentry."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from local.simulators.faults import MODES, Faults
from local.simulators.inbox import Inbox
from local.simulators.page_slack import channels, clock

_FILES = Path(__file__).parent
_TITLES = {"slack": "Slack", "email": "Mail", "sentry": "Sentry", "requests": "Requests"}


def render(inbox: Inbox, faults: Faults, view: str, key: str) -> tuple[str, str]:
    """Return the page of one view, and its content security policy."""
    views: dict[str, Callable[[], str]] = {
        "slack": lambda: channels(inbox.all("slack"), key),
        "email": lambda: _mails(inbox.all("email")),
        "sentry": lambda: _events(inbox.all("sentry")),
        "requests": lambda: _requests(faults.requests()),
    }
    view = view if view in views else "slack"
    nonce = secrets.token_urlsafe(16)
    # Mails bring their own styles. Scripts run only with the nonce; nothing is loaded from elsewhere.
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    tabs = "".join(_tab(name, inbox, view, key) for name in views)
    services = "".join(_service(name, fault) for name, fault in faults.chosen().items())
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{_TITLES[view]} | alert inbox</title><style>{_read("page.css")}</style></head>
<body data-version="{inbox.version}"><header><h1>Alert inbox</h1><nav>{tabs}</nav></header>
<div class="services"><span>Simulated: nothing leaves this machine. Misbehave:</span>{services}
<span class="bad" id="stale" hidden>the simulators do not answer</span></div>
<main>{views[view]()}</main><script nonce="{nonce}">{_read("page.js")}</script></body></html>
"""
    return page, policy


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _tab(name: str, inbox: Inbox, view: str, key: str) -> str:
    current = ' aria-current="page"' if name == view else ""
    count = "" if name == "requests" else f" ({len(inbox.all(name))})"
    return f'<a href="/?view={name}&amp;key={key}"{current}>{_TITLES[name]}{count}</a>'


def _service(name: str, fault: Mapping[str, Any]) -> str:
    bad = ' class="bad"' if fault["mode"] != "ok" else ""
    options = "".join(
        f"<option{' selected' if mode == fault['mode'] else ''}>{mode}</option>"
        for mode in ["ok", *sorted(MODES[name] - {"ok"})]
    )
    return f'<label{bad}>{name} <select name="{name}">{options}</select></label>'


# --- mail ------------------------------------------------------------------------------------------
def _mails(mails: Sequence[Mapping[str, Any]]) -> str:
    return "".join(map(_mail, reversed(mails))) or '<p class="empty">No mail has arrived yet.</p>'


def _mail(mail: Mapping[str, Any]) -> str:
    headers = "".join(f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in mail["headers"].items())
    files = "".join(
        f"<div>📎 {escape(f['name'] or f['cid'] or f['type'])}, {f['size']:,} bytes</div>" for f in mail["attachments"]
    )
    # In a sandbox without permissions: no scripts, no links to the page around it.
    html = (
        f'<iframe sandbox srcdoc="{escape(_with_pictures(mail))}" title="HTML part"></iframe>' if mail["html"] else ""
    )
    text = f"<details{'' if html else ' open'}><summary>text part</summary><pre>{escape(mail['text'])}</pre></details>"
    return (
        f'<article class="mail"><div class="who"><time>{clock(mail["received_at"])}</time> '
        f"{escape(str(mail['from']))} → {escape(', '.join(mail['to']))}</div><h3>{escape(mail['subject'])}</h3>"
        f"{html}{text}{files}<details><summary>headers</summary><table>{headers}</table></details></article>"
    )


def _with_pictures(mail: Mapping[str, Any]) -> str:
    """Return the HTML with its embedded pictures in place."""
    pictures = {
        f["cid"]: f for f in mail["attachments"] if f["cid"] and re.fullmatch(r"image/(png|jpeg|gif)", f["type"])
    }
    return re.sub(
        r"cid:([^\"'\s>]+)",
        lambda m: f"data:{pictures[m[1]]['type']};base64,{pictures[m[1]]['content']}" if m[1] in pictures else m[0],
        str(mail["html"]),
    )


# --- Sentry ----------------------------------------------------------------------------------------
def _events(items: Sequence[Mapping[str, Any]]) -> str:
    return "".join(map(_event, reversed(items))) or '<p class="empty">No event has arrived yet.</p>'


def _event(item: Mapping[str, Any]) -> str:
    payload = item["payload"]
    level = str(payload.get("level") or ("error" if item["type"] == "event" else item["type"]))
    raised = ((payload.get("exception") or {}).get("values") or [{}])[-1]
    message = payload.get("message") or (payload.get("logentry") or {}).get("message") or ""
    title = f"{raised.get('type')}: {raised.get('value')}" if raised.get("type") else str(message or item["type"])
    names = ("environment", "release", "transaction", "logger", "fingerprint", "server_name")
    facts = {name: payload[name] for name in names if payload.get(name)} | _tags(payload.get("tags"))
    rows = "".join(f"<tr><th>{escape(str(n))}</th><td>{escape(str(v))}</td></tr>" for n, v in facts.items())
    frames = (raised.get("stacktrace") or {}).get("frames") or []
    trace = "\n".join(f"{f.get('filename')}:{f.get('lineno')} in {f.get('function')}" for f in frames)
    shown = f"<details><summary>stack</summary><pre>{escape(trace)}</pre></details>" if trace else ""
    raw = escape(json.dumps(payload, indent=1, ensure_ascii=False))
    return (
        f'<article class="event"><div class="who"><time>{clock(item["received_at"])}</time> '
        f'<span class="level {escape(level)}">{escape(level)}</span></div><h3>{escape(title)}</h3>'
        f"<table>{rows}</table>{shown}<details><summary>everything that was sent</summary><pre>{raw}</pre></details>"
        "</article>"
    )


def _tags(tags: object) -> dict[str, Any]:
    """Return the tags, which the protocol allows as an object or as a list of pairs."""
    if isinstance(tags, Mapping):
        return dict(tags)
    return {str(pair[0]): pair[1] for pair in tags if len(pair) == 2} if isinstance(tags, list) else {}


# --- requests --------------------------------------------------------------------------------------
def _requests(requests: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{clock(r['at'])}</td><td>{escape(r['service'])}</td><td>{escape(r['method'])}</td>"
        f"<td>{escape(r['outcome'])}</td></tr>"
        for r in reversed(requests[-200:])
    )
    head = "<tr><th>when</th><th>service</th><th>method</th><th>answer</th></tr>"
    return f"<table>{head}{rows}</table>" if rows else '<p class="empty">Nothing was asked since the start.</p>'

"""The page shows what was sent, and runs nothing of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from local.simulators.faults import Faults
from local.simulators.inbox import Inbox
from local.simulators.mrkdwn import render
from local.simulators.page import render as page
from local.simulators.slack_messages import Workspace

EVIL = '<script>alert("x")</script>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _it_ ~gone~", "<b>bold</b> <i>it</i> <s>gone</s>"),
        ("a*b*c snake_case_name 2*3*4", "a*b*c snake_case_name 2*3*4"),
        ("`a *b*` x", "<code>a *b*</code> x"),
        ("```\nTrace\n *x*\n```", "<pre>Trace\n *x*\n</pre>"),
        ("&lt;b&gt; &amp; &amp;lt;", "&lt;b&gt; &amp; &amp;lt;"),
        (
            "<https://x.example/?a=1&amp;b=2|log>",
            '<a href="https://x.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">log</a>',
        ),
        ("<javascript:alert(1)|log>", "log"),
        ("<!here> <!channel|channel>", '<span class="mention">@here</span> <span class="mention">@channel</span>'),
        ("<!date^1700000000^{date}|yesterday>", "yesterday"),
        ("&gt; quoted\nplain", "<blockquote>quoted</blockquote>plain"),
        (":red_circle: :unknown: 10:30:05", "🔴 :unknown: 10:30:05"),
        ("one\ntwo", "one<br>two"),
        # What stands in angle brackets is a reference; without an address only its words are left.
        (EVIL, "scriptalert(&quot;x&quot;)/script"),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("\x000\x00", "0"),
    ],
)
def test_mrkdwn(text: str, html: str) -> None:
    assert render(text) == html


def test_plain_text_keeps_its_signs() -> None:
    assert render("*not bold* <b> :x:", plain=True) == "*not bold* &lt;b&gt; ❌"


@pytest.fixture
def filled() -> tuple[Inbox, Faults]:
    inbox = Inbox()
    workspace = Workspace(inbox)
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"section {EVIL}"}}
    button = {"type": "button", "text": {"type": "plain_text", "text": EVIL}, "url": "javascript:alert(1)"}
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": f"header {EVIL}"}},
        section,
        {"type": "actions", "elements": [button]},
        {"type": "image", "image_url": "https://elsewhere.example/pixel.png", "alt_text": "a picture"},
    ]
    first = workspace.post({"channel": "alerts", "text": f"push {EVIL}", "blocks": blocks})
    workspace.post({"channel": "alerts", "text": "in the thread", "thread_ts": first["ts"]})
    workspace.update({"channel": first["channel"], "ts": first["ts"], "text": "recovered", "attachments": [
        {"color": '"><script>', "text": EVIL}
    ]})  # fmt: skip
    picture = {"name": "w.png", "type": "image/png", "cid": "week", "size": 3, "content": "AAAA"}
    mail = {"id": "1", "from": EVIL, "to": [EVIL], "subject": EVIL, "headers": {"X": EVIL}, "text": EVIL}
    html = f'<b>styled</b>{EVIL}<img src="cid:week"><img src="cid:other">'
    inbox.put("email", "1", {**mail, "html": html, "attachments": [picture], "received_at": 1.0})
    event = {"level": EVIL, "exception": {"values": [{"type": EVIL, "value": EVIL}]}, "tags": [["dag_id", EVIL]]}
    inbox.put("sentry", "1", {"event_id": "1", "type": "event", "payload": event, "received_at": 1.0})
    faults = Faults()
    faults.note("slack", EVIL, EVIL)
    return inbox, faults


@pytest.mark.parametrize("view", ["slack", "email", "sentry", "requests", EVIL])
def test_nothing_that_was_sent_can_run(filled: tuple[Inbox, Faults], view: str) -> None:
    html, policy = page(*filled, view, "key")
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert html.count("<script") == html.count(f'<script nonce="{nonce}"') == 1
    assert 'href="javascript:' not in html
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_a_thread_and_its_edits_can_be_read(filled: tuple[Inbox, Faults]) -> None:
    html, _ = page(*filled, "slack", "key")
    conversation = html.split('class="conversation"')[1]
    assert conversation.index("recovered") < conversation.index("before the edit of") < conversation.index("header ")
    assert conversation.index("1 reply") < conversation.index("in the thread")
    # A picture elsewhere is a link: opening the inbox tells nobody.
    assert '<img src="https://' not in html
    assert "[a picture]" in html


def test_a_mail_is_shown_in_a_sandbox_with_its_pictures(filled: tuple[Inbox, Faults]) -> None:
    html, _ = page(*filled, "email", "key")
    assert "<iframe sandbox srcdoc=" in html
    assert "data:image/png;base64,AAAA" in html
    assert "cid:other" in html


def test_a_chosen_fault_stands_out() -> None:
    async def chosen() -> str:
        faults = Faults()
        faults.choose("slack", {"mode": "hang"})
        return page(Inbox(), faults, "slack", "key")[0]

    html = asyncio.run(chosen())
    assert '<label class="bad">slack' in html
    assert "<option selected>hang</option>" in html
    assert "Nothing has arrived in Slack yet" in html

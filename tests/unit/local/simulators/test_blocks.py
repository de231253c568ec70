"""Slack's limits on blocks: at the limit taken, one beyond refused, with Slack's words and the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.simulators.blocks import check, text_size

Block = dict[str, Any]


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> Block:
    return {"type": "button", "text": plain("Log"), **more}


def actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements)}


# How to make a message of some size, the limit, and where Slack points to beyond it.
LIMITS: list[tuple[str, Callable[[int], list[Block]], int, str, str]] = [
    ("blocks", lambda n: [{"type": "divider"}] * n, 50, "no more than 50 items allowed", "/blocks"),
    (
        "section text",
        lambda n: [{"type": "section", "text": mrkdwn("x" * n)}],
        3000,
        "must be less than 3001 characters",
        "/blocks/0/text/text",
    ),
    (
        "section fields",
        lambda n: [{"type": "section", "fields": [mrkdwn("x")] * n}],
        10,
        "no more than 10 items allowed",
        "/blocks/0/fields",
    ),
    (
        "section field",
        lambda n: [{"type": "section", "fields": [mrkdwn("x" * n)]}],
        2000,
        "must be less than 2001 characters",
        "/blocks/0/fields/0/text",
    ),
    (
        "header",
        lambda n: [{"type": "header", "text": plain("x" * n)}],
        150,
        "must be less than 151 characters",
        "/blocks/0/text/text",
    ),
    (
        "context elements",
        lambda n: [{"type": "context", "elements": [mrkdwn("x")] * n}],
        10,
        "no more than 10 items allowed",
        "/blocks/0/elements",
    ),
    (
        "actions elements",
        lambda n: [actions(*[button()] * n)],
        25,
        "no more than 25 items allowed",
        "/blocks/0/elements",
    ),
    (
        "button text",
        lambda n: [actions(button(text=plain("x" * n)))],
        75,
        "must be less than 76 characters",
        "/blocks/0/elements/0/text/text",
    ),
    (
        "button url",
        lambda n: [actions(button(url="x" * n))],
        3000,
        "must be less than 3001 characters",
        "/blocks/0/elements/0/url",
    ),
    (
        "button value",
        lambda n: [actions(button(value="x" * n))],
        2000,
        "must be less than 2001 characters",
        "/blocks/0/elements/0/value",
    ),
    (
        "block_id",
        lambda n: [{"type": "divider", "block_id": "x" * n}],
        255,
        "must be less than 256 characters",
        "/blocks/0/block_id",
    ),
    (
        "image description",
        lambda n: [{"type": "image", "image_url": "https://x", "alt_text": "x" * n}],
        2000,
        "must be less than 2001 characters",
        "/blocks/0/alt_text",
    ),
    (
        "markdown",
        lambda n: [{"type": "markdown", "text": "x" * n}],
        12_000,
        "must be less than 12001 characters",
        "/blocks/0/text",
    ),
]


@pytest.mark.parametrize(("make", "most", "reason", "place"), [row[1:] for row in LIMITS], ids=[r[0] for r in LIMITS])
def test_limits(make: Callable[[int], list[Block]], most: int, reason: str, place: str) -> None:
    assert check(make(most)) == []
    assert f"{reason} [json-pointer:{place}]" in check(make(most + 1))


@pytest.mark.parametrize(
    ("blocks", "wanted"),
    [
        ([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]"),
        ([{"type": "section", "text": "raw"}], "must provide an object [json-pointer:/blocks/0/text]"),
        (
            [{"type": "section", "text": mrkdwn("")}],
            "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
        ),
        ([{"type": "header", "text": mrkdwn("x")}], "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"),
        ([{"type": "sektion"}], "unsupported type: sektion [json-pointer:/blocks/0/type]"),
        ([{}], "missing required field: type [json-pointer:/blocks/0]"),
        (["text"], "must provide an object [json-pointer:/blocks/0]"),
        ({"type": "divider"}, "must provide an array [json-pointer:/blocks]"),
        ([{"type": "context", "elements": []}], "no less than 1 items allowed [json-pointer:/blocks/0/elements]"),
        (
            [actions(button(style="loud"))],
            "valid enum value: primary, danger [json-pointer:/blocks/0/elements/0/style]",
        ),
        ([actions(button(action_id="a"), button(action_id="a"))], "`action_id` a already exists"),
        ([{"type": "divider", "block_id": "a"}] * 2, "`block_id` a already exists"),
        ([{"type": "divider", "text": "x"}], "invalid additional property: text [json-pointer:/blocks/0]"),
        ([{"type": "section", "text": {**mrkdwn("x"), "emoji": True}}], "invalid additional property: emoji"),
        ([{"type": "image", "image_url": "https://x"}], "missing required field: alt_text [json-pointer:/blocks/0]"),
    ],
)
def test_broken_blocks(blocks: Any, wanted: str) -> None:
    found = check(blocks)
    assert any(wanted in line for line in found), found


def test_a_whole_alert_is_taken() -> None:
    blocks = [
        {"type": "header", "text": {**plain("Volunteers sync failed"), "emoji": True}},
        {"type": "section", "text": mrkdwn("what"), "accessory": button(url="https://x")},
        {"type": "section", "fields": [mrkdwn("a"), plain("b")]},
        {"type": "context", "elements": [mrkdwn("env"), {"type": "image", "image_url": "https://x", "alt_text": "x"}]},
        {"type": "image", "slack_file": {"id": "F1"}, "alt_text": "week", "title": plain("Week")},
        {"type": "divider"},
        actions(button(style="danger", action_id="log"), button(action_id="run")),
    ]
    assert check(blocks) == []
    assert text_size(blocks) == len("Volunteers sync failed" + "what" + "Log" + "a" + "b" + "env" + "Week" + "Log" * 2)

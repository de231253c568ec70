"""What a message looks like in Slack and in a mail, whatever the data hold."""

import json
from dataclasses import replace

import pytest

from include.operations.alerts import mail_body, slack_blocks
from include.operations.alerts.message import Member, Message
from include.operations.alerts.problem import Problem

EVIL = "<!channel> <@U123> <https://evil.example|click> @here @everyone & `x` ```"


def message(**changes):
    given = {
        "kind": "alert",
        "severity": "P2",
        "title": "vms_sync_volunteers.extract failed: rate limit reached (HTTP_429)",
        "facts": {"Class": "RATE_LIMIT HTTP_429", "Since": "08:55 UTC, 3rd in 24 h"},
        "detail": ("try 4/4, will not be retried",),
        "impact": "Volunteer pages stay as they were at 09:05.",
        "what_to_do": "Wait for the reset.",
        "excerpt": "REQUEST_LIMIT_EXCEEDED",
        "runbook": "task-failed#rate-limit",
        "links": {"Log": "https://airflow.example/log", "Run": "https://airflow.example/run"},
        "meta": ("production", "incident 7", "owner vms"),
        "environment": "production",
    }
    return Message(**{**given, **changes})


def texts(node):
    """All texts of blocks."""
    if isinstance(node, dict):
        if isinstance(node.get("text"), str):
            yield node["text"]
        for each in node.values():
            yield from texts(each)
    elif isinstance(node, list):
        for each in node:
            yield from texts(each)


def all_evil():
    return message(
        title=EVIL,
        facts={EVIL: EVIL},
        detail=(EVIL,),
        impact=EVIL,
        what_to_do=EVIL,
        excerpt=EVIL,
        runbook=EVIL,
        links={EVIL: "https://ok.example/<!channel>", "Bad": "javascript:alert(1)"},
        meta=(EVIL,),
        notes=(EVIL,),
        members=(Member("P2", EVIL, "https://x.example/|<!here>"),),
        text=EVIL,
    )


def test_anatomy_in_slack():
    made = slack_blocks.blocks(message())
    assert [block["type"] for block in made] == ["header", *["section"] * 4, "actions", "context"]
    said = "\n".join(texts(made))
    for part in (
        "🟠 P2 failed: vms_sync_volunteers.extract failed",
        "*Class*\nRATE_LIMIT HTTP_429",
        "try 4/4, will not be retried",
        "*Impact:* Volunteer pages",
        "3rd in 24 h",
        "*What to do:* Wait for the reset.",
        "`docs/runbooks/task-failed.md#rate-limit`",
        "REQUEST_LIMIT_EXCEEDED",
        "production · incident 7 · owner vms",
    ):
        assert part in said
    (actions,) = (block for block in made if block["type"] == "actions")
    assert [button["text"]["text"] for button in actions["elements"]] == ["Log", "Run"]
    assert "<!here>" not in said


def test_p1_calls_whoever_is_there_and_its_recovery_does_not():
    p1 = message(severity="P1", ping=True)
    assert slack_blocks.fallback(p1).startswith("<!here> 🔴 P1 act now")
    assert "<!here>" in "\n".join(texts(slack_blocks.blocks(p1)))
    over = replace(p1, kind="recovery")
    assert "<!here>" not in slack_blocks.fallback(over) + "\n".join(texts(slack_blocks.blocks(over)))


def test_nothing_in_the_data_calls_links_or_breaks_out():
    evil = all_evil()
    for text in (slack_blocks.fallback(evil), *texts(slack_blocks.blocks(evil))):
        assert "<!" not in text
        assert "<@" not in text
        assert "<http" not in text
        assert "@here" not in text
        assert "@everyone" not in text
    inside = [text for text in texts(slack_blocks.blocks(evil)) if text.startswith("```")]
    assert all(text.count("```") == 2 for text in inside)
    assert "javascript:" not in json.dumps(slack_blocks.blocks(evil))
    html = mail_body.html(evil)
    assert "<!channel>" not in html
    assert "<https://evil" not in html
    assert "javascript:" not in html


@pytest.mark.parametrize("size", [200, 3_000, 300_000])
def test_slacks_limits_hold_for_any_size(size):
    long = "<&> word " * (size // 9)
    made = slack_blocks.blocks(
        message(
            title=long,
            facts={f"{number}": long for number in range(30)},
            detail=(long,) * 60,
            impact=long,
            what_to_do=long,
            excerpt=long,
            text=f"{long}\n" * 5,
            members=tuple(Member("P2", long, "https://x.example/" + "y" * size) for _ in range(20)),
            links={f"{number}{long}": f"https://x.example/{number}" for number in range(40)},
            meta=(long,) * 20,
            notes=(long,) * 20,
        )
    )
    assert len(made) <= 50
    assert made[-1]["type"] == "context"
    assert len(slack_blocks.fallback(message(title=long))) <= 4000
    for block in made:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        for text in texts(block):
            assert len(text) <= 3000
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
        if block["type"] == "actions":
            assert all(len(button["text"]["text"]) <= 75 for button in block["elements"])
            assert len(block["elements"]) <= 25
        if block["type"] == "context":
            assert len(block["elements"]) <= 10


def test_mail_has_everything_in_both_forms():
    for body in (mail_body.text(message()), mail_body.html(message())):
        for part in ("P2 failed", "HTTP_429", "Volunteer pages", "Wait for the reset.", "incident 7", "/log"):
            assert part in body


def test_texts_are_scrubbed_and_cut_when_a_problem_is_taken_in():
    secret = (
        "postgresql://loader:hunter2@db/x jane.doe@example.org https://hooks.slack.com/services/T000/B000/XYZXYZXYZ"
    )
    dirty = Problem(
        "task_failed", secret, detail=(secret,), impact=secret, what_to_do=secret, excerpt=secret * 5_000, value=secret
    )
    clean = str(dirty.clean().to_dict())
    for word in ("hunter2", "jane.doe", "XYZXYZXYZ"):
        assert word not in clean
    assert len(clean) < 5_000

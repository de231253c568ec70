"""What arrived survives a restart and a kill in the middle of a line, and does not grow without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.simulators import inbox
from local.simulators.inbox import Inbox


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "sink" / "inbox.jsonl"


@pytest.fixture
def open_inbox(journal: Path) -> Iterator[Callable[[], Inbox]]:
    """Open the journal anew; those before are not closed, as after a kill."""
    opened: list[Inbox] = []

    def open_one() -> Inbox:
        opened.append(Inbox(journal))
        return opened[-1]

    yield open_one
    for box in opened:
        box.close()


def test_everything_is_there_after_a_restart(open_inbox: Callable[[], Inbox], journal: Path) -> None:
    first = open_inbox()
    first.put("slack", "1", {"text": "down"})
    first.put("slack", "2", {"text": "other"})
    first.put("slack", "1", {"text": "up"})
    first.put("email", "a", {"subject": "hä\n"})
    again = open_inbox()
    assert again.all("slack") == [{"text": "up"}, {"text": "other"}]
    assert again.all("email") == [{"subject": "hä\n"}]
    assert journal.stat().st_mode & 0o077 == 0


def test_a_line_cut_off_by_a_kill_is_passed_over(open_inbox: Callable[[], Inbox], journal: Path) -> None:
    open_inbox().put("slack", "1", {"text": "whole"})
    with journal.open("a") as file:
        file.write('["slack", "2", {"te')
    again = open_inbox()
    assert again.all("slack") == [{"text": "whole"}]
    again.put("slack", "3", {"text": "next"})
    assert [e["text"] for e in open_inbox().all("slack")] == ["whole", "next"]


def test_only_the_newest_are_kept_and_the_journal_stays_small(
    open_inbox: Callable[[], Inbox], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LIMITS", {"slack": 3, "email": 1, "sentry": 1, "file": 1})
    monkeypatch.setattr(inbox, "REWRITE_BYTES", 100)
    box = open_inbox()
    for number in range(200):
        box.put("slack", str(number), {"n": number})
        assert journal.stat().st_size < 300
    assert [e["n"] for e in box.all("slack")] == [197, 198, 199]
    assert [e["n"] for e in open_inbox().all("slack")] == [197, 198, 199]


def test_big_ones_go_sooner(open_inbox: Callable[[], Inbox], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST_BYTES", 1000)
    box = open_inbox()
    for number in range(20):
        box.put("email", str(number), {"n": number, "content": "x" * 300})
    assert [e["n"] for e in box.all("email")] == [18, 19] == [e["n"] for e in open_inbox().all("email")]
    box.put("email", "huge", {"n": 99, "content": "x" * 5000})
    assert [e["n"] for e in box.all("email")] == [99], "the newest stays, whatever its size"


def test_clearing_is_kept_too(open_inbox: Callable[[], Inbox]) -> None:
    box = open_inbox()
    box.put("slack", "1", {})
    before = box.version
    box.clear()
    assert box.version != before, "an open page notices"
    assert open_inbox().all("slack") == []


def test_without_a_journal_nothing_touches_the_disk() -> None:
    box = Inbox()
    box.put("slack", "1", {"text": "x"})
    assert box.get("slack", "1") == {"text": "x"}
    assert box.get("slack", "2") is None
    box.clear()
    box.close()

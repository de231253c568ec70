"""`make status` tells a slow part from a broken one: only the second is a failure."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from local.commands import health
from local.errors import PartError
from local.part import NoAnswerError, NotReadyError
from local.servers import RedisServer


class Answering(RedisServer):
    """A part that is silent so many times, then says what it is told to."""

    def __init__(self, state_dir: Path, silent: float = 0, error: Exception | None = None) -> None:
        super().__init__(state_dir, usual_port=False)
        self._silent = silent
        self._error = error
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        if self._silent > 0:
            self._silent -= 1
            raise NoAnswerError("silent")
        if self._error is not None:
            raise self._error


def test_a_prompt_answer_is_healthy(tmp_path: Path) -> None:
    assert health(Answering(tmp_path)) == ("healthy", True)


def test_a_late_answer_is_slow_and_no_failure(tmp_path: Path) -> None:
    answer, well = health(Answering(tmp_path, silent=2), patience=60, slow=0.2)
    assert answer.startswith("healthy, slow to answer (")
    assert well


def test_no_answer_at_all_is_a_failure(tmp_path: Path) -> None:
    assert health(Answering(tmp_path, silent=math.inf), patience=0.3) == (
        "not well: no answer within 0 s (silent)",
        False,
    )


@pytest.mark.parametrize("error", [NotReadyError("no heartbeat yet"), PartError("redis", "no heartbeat yet")])
def test_a_broken_part_is_told_at_once(tmp_path: Path, error: Exception) -> None:
    part = Answering(tmp_path, error=error)
    answer, well = health(part, patience=60)
    assert "not well" in answer
    assert "no heartbeat yet" in answer
    assert not well
    assert part.asked == 1

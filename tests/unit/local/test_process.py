"""Processes: identity, groups, orphans, helpers; and how progress is shown."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import process
from local.errors import PartError, last_lines
from local.process import Record
from local.progress import Event, Screen


def test_record_finds_its_process_only(tmp_path: Path) -> None:
    record = Record.of("me", os.getpid())
    record.save(tmp_path / "me.json")
    assert Record.load(tmp_path / "me.json") == record
    assert record.find() is not None
    assert Record("me", os.getpid(), record.started - 5).find() is None, "same pid, other process"
    assert Record("me", 2**22 + 1, 0).find() is None
    assert Record.load(tmp_path / "missing") is None


def test_spawned_child_has_its_own_group_and_log(tmp_path: Path) -> None:
    child = process.spawn(["sh", "-c", "echo hello; exec sleep 60"], log=tmp_path / "x.log", cwd=tmp_path, env={})
    try:
        assert os.getpgid(child.pid) == child.pid
        while not (tmp_path / "x.log").read_text():
            pass
        assert last_lines(tmp_path / "x.log") == "hello"
    finally:
        process.stop_child(child, signal.SIGTERM, 60, 60)
    assert child.returncode == -signal.SIGTERM


def test_stubborn_child_is_killed_with_its_family(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 1; done"
    child = process.spawn(["sh", "-c", script], log=tmp_path / "x.log", cwd=tmp_path, env={})
    while not (text := (tmp_path / "x.log").read_text()):
        pass
    process.stop_child(child, signal.SIGTERM, 0.3, 0.3)
    assert child.returncode == -signal.SIGKILL
    assert not any(process.is_alive(p) for p in process.family(int(text)))


def test_a_log_is_trimmed_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 10)
    log = tmp_path / "x.log"
    writer = process.open_log(log)
    os.write(writer, b"a long first line\n")
    process.trim_log(log)
    os.write(writer, b"next\n")
    process.trim_log(log)
    os.close(writer)
    assert log.read_text() == "next\n"
    assert (tmp_path / "x.log.1").read_text() == "a long first line\n"


def test_helper_returns_output_code_and_log(tmp_path: Path) -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], log=tmp_path / "x.log")
    assert (done.code, done.text) == (3, "out\nerr\n")
    assert (tmp_path / "x.log").read_text() == "out\nerr\n"


def test_slow_helper_is_ended() -> None:
    done = process.run(["sleep", "60"], timeout=0.2)
    assert done.code == -signal.SIGKILL
    assert "longer than" in done.text


@pytest.mark.skipif(process.setpriv() is None, reason="needs Linux")
def test_child_gets_its_stop_signal_when_we_are_killed(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; from local import process\n"
        "argv = process.tied_to_parent(['sh', '-c', 'trap \"echo stopped; exit\" TERM; echo $$; "
        "while :; do sleep 0.1; done'], signal.SIGTERM)\n"
        f"process.spawn(argv, log=Path({str(tmp_path / 'x.log')!r}), cwd=Path('/'), env={{}})\n"
        "sys.stdout.write('up'); sys.stdout.flush(); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(2) == b"up"
        while not (tmp_path / "x.log").read_text():
            pass
        parent.kill()
    while "stopped" not in (tmp_path / "x.log").read_text():
        pass


def test_error_is_one_line() -> None:
    error = PartError("redis", "two\n  lines", log=Path("logs/redis.log"), hint="read it")
    assert str(error) == "redis: two lines | log: logs/redis.log | to do: read it"


def test_plain_progress_is_one_line_a_part() -> None:
    shown = io.StringIO()
    screen = Screen(shown)
    for event in (
        Event("neo4j", "start"),
        Event("neo4j", "note", "downloading"),
        Event("redis", "ready", "127.0.0.1:1", 0.12),
        Event("neo4j", "ready", "127.0.0.1:2", 3.0),
    ):
        screen(event)
    screen.tick()
    screen.close()
    assert [" ".join(line.split()) for line in shown.getvalue().splitlines()] == [
        "neo4j ... downloading",
        "redis ready 0.1 s 127.0.0.1:1",
        "neo4j ready 3.0 s 127.0.0.1:2",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_what_is_waited_for() -> None:
    shown = Terminal()
    screen = Screen(shown)
    screen(Event("neo4j", "start"))
    screen(Event("neo4j", "note", "downloaded 10 of 140 MB"))
    assert "waiting for neo4j 0 s (downloaded 10 of 140 MB)" in shown.getvalue()
    screen(Event("neo4j", "ready", "", 1.0))
    screen.close()
    assert shown.getvalue().endswith("neo4j            ready     1.0 s\n")

"""Runs the command line in this process: Airflow's import, once paid, serves all tests."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from include.cli import __main__ as program


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Call with the words of a command line, and `stdin` as text or bytes."""
    loggers = [logging.getLogger(name) for name in (None, "neo4j.notifications")]
    levels = [logger.level for logger in loggers]

    def run(*words: object, stdin: str | bytes = "") -> Done:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["cli", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(given)))
        capsys.readouterr()
        code = 0
        try:
            program.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Done(code, *capsys.readouterr())

    yield run
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


class Pipe(io.BytesIO):
    """Like the standard input of `... | program`: cannot be read twice."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation

    def fileno(self) -> int:
        raise io.UnsupportedOperation

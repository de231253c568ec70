"""What a person gives to `make` reaches the program as it was typed; nothing of it is run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from local.layout import ROOT

TYPED = """it's a $HOME `touch ran` $(shell touch ran) "file" ; touch ran #.csv"""
# Stands for Python: writes down what it was called with.
PROGRAM = """#!/bin/sh
exec env python3 -c 'import json, os, sys
json.dump([sys.argv[1:], dict(os.environ)], open("called.json", "w"))' "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "local").mkdir()
    program = tmp_path / ".venv" / "bin" / "python"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    for name in ("requirements-local.txt", "requirements-dev.txt", "local/bootstrap.sh", ".venv/.local", ".venv/.dev"):
        (tmp_path / name).touch()
    return tmp_path


def make(folder: Path, *words: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))}
    done = subprocess.run(
        ["make", *words], cwd=folder, env=outer | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists()
    argv, environ = json.loads((folder / "called.json").read_text())
    return argv, environ


def test_data_by_word_and_by_environment(folder: Path) -> None:
    for argv, environ in (
        make(folder, "demo", f"DATA={TYPED}", "ONCE=1"),
        make(folder, "demo", DATA=TYPED, ONCE="1"),
    ):
        assert argv == ["-m", "local", "demo"]
        assert environ["DATA"] == TYPED
        assert environ["ONCE"] == "1"


def test_arguments_are_split_into_words_and_not_run(folder: Path) -> None:
    typed = "-k 'one or two' $(shell touch ran) ; touch ran"
    _, environ = make(folder, "test-unit", f"ARGS={typed}")
    assert environ["PYTEST_ADDOPTS"].strip() == typed
    argv, _ = make(folder, "bench-ops", "ARGS=--rows 5 ; touch ran")
    assert argv == ["-m", "benchmarks.operations", "--rows", "5", ";", "touch", "ran"]

"""Private files, generated secrets and the variables file."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import envfile
from local.files import Secrets, read_json, write_private
from local.layout import ROOT


def test_private_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"], "no temporary file is left"


def test_damaged_json_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{")
    assert read_json(tmp_path / "x") == {}
    assert read_json(tmp_path / "missing") == {}


def test_secrets_are_made_once_also_by_concurrent_starters(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(Secrets(tmp_path).get("redis"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0].isalnum()
    assert len(found[0]) == 48
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_damaged_secrets_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Secrets(tmp_path).get("redis")
    assert (tmp_path / "secrets.json").read_text() == "{"


# A shell and the environment cannot hold NUL; a lone surrogate cannot be encoded.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True), texts))
def test_variables_survive_the_file(variables: dict[str, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "env"
        envfile.write(path, variables)
        assert envfile.read(path) == variables


def test_a_shell_reads_the_same_values(tmp_path: Path) -> None:
    values = {"A": "it's", "B": '$HOME `id` \\ "x"', "C": "two\nlines", "D": "", "E": "a path/with spaces"}
    envfile.write(tmp_path / "env", values)
    script = '. "$1"; for n in A B C D E; do eval "printf \'%s\\0\' \\"\\$$n\\""; done'
    shown = subprocess.run(["sh", "-c", script, "sh", tmp_path / "env"], capture_output=True, text=True, check=True)
    assert shown.stdout.split("\0")[:-1] == list(values.values())


def test_what_cannot_be_a_variable_is_refused(tmp_path: Path) -> None:
    for bad in ({"a b": "x"}, {"1A": "x"}, {"A": "x\0"}, {"A\n": "x"}):
        with pytest.raises(ValueError, match="cannot be an environment variable"):
            envfile.render(bad)


def test_run_gives_a_command_the_variables(tmp_path: Path) -> None:
    envfile.write(tmp_path / "env", {"GREETING": "it's $HOME"})
    command = [sys.executable, "-m", "local", "--state-dir", str(tmp_path), "run", "--", "sh", "-c", 'echo "$GREETING"']
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "it's $HOME\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [(["run"], 2, "a command is missing"), (["run", "--", "true"], 1, "make up"), (["status"], 1, "not running")],
)
def test_wrong_use_is_one_line(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    command = [sys.executable, "-m", "local", "--state-dir", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1

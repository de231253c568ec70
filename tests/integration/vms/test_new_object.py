"""docs/adding-an-object.md, done literally in a copy of the repository, with the simulator as the source."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from local.layout import ROOT

pytestmark = pytest.mark.servers

PAGE = (ROOT / "docs" / "adding-an-object.md").read_text()
BLOCKS = [(kind, text) for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
(MODULE,) = [text for kind, text in BLOCKS if kind == "python"]


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository with its environment."""
    for name in ("include", "local", "dags", "plugins", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / file, tmp_path / file)
    (tmp_path / ".venv").symlink_to((ROOT / ".venv").resolve())
    return tmp_path


@pytest.fixture
def database(postgres_server):
    return postgres_server.create_database("vms_new_object")


def rows(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_the_page_of_adding_an_object(copy, database, salesforce, redis_server):
    school = salesforce.store.insert("Account", {"Name": "Lee High", "Type": "School"})
    made = {"Name": "Healthcare", "School__c": school, "Begin__c": "2026-09-01"}
    pathway = salesforce.store.insert("Pathway__c", made)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "AIRFLOW_HOME": str(copy / "airflow"),
        "AIRFLOW_CONN_WAREHOUSE": database.replace("postgresql://", "postgres://"),
        "AIRFLOW_CONN_SALESFORCE": salesforce.connection_uri,
        "AIRFLOW_CONN_ORGANISM_REDIS": redis_server.url,
    }

    def attempt(line):
        # The environment is this one: nothing is to be installed.
        line = re.sub("^make ", "make -o .venv/.dev -o .venv/.local ", line)
        return subprocess.run(
            shlex.split(line), cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def run(line):
        done = attempt(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    syncs = []
    for line in COMMANDS:
        if line.startswith("make new-object"):
            run(line)
            module = copy / "include" / "vms" / "objects" / "pathways.py"
            assert 'sobject="Pathway__c"' in module.read_text()
            module.write_text(MODULE)
        elif line.startswith("make up"):
            # The system may be running already, and then applies no migration: it finds the module all the same.
            early = attempt(".venv/bin/python -m include.cli sync pathways")
            assert early.returncode == 1
            assert "has no table vms.pathway: a migration was not applied" in early.stderr
            assert "include.cli warehouse upgrade" in early.stderr
        elif "include.cli sync" in line:
            syncs.append((run(line), rows(database, "SELECT count(*) FROM vms.pathway")))
        elif line.startswith("make ") or line.endswith("warehouse upgrade"):
            run(line)

    assert [count for _, count in syncs] == [[(0,)], [(1,)]], "the dry run writes nothing, the other one does"
    stored = rows(database, "SELECT salesforce_id, name, begins_on::text, salesforce_school_id FROM vms.pathway")
    assert stored == [(pathway, "Healthcare", "2026-09-01", school)]
    assert rows(database, "SELECT record_id, target_id FROM vms.pending_link") == [(pathway, school)]
    assert "## pathways" in (copy / "docs" / "data-dictionary.md").read_text()
    changed = {path.relative_to(copy) for path in _files(copy) if _differs(path, copy)}
    assert {path.parts[0] for path in changed} == {"include", "docs"}
    assert sorted(path.name for path in changed if path.parts[0] == "include")[1:] == ["pathways.py"]


def _files(copy: Path):
    for name in ("include", "local", "dags", "plugins", "docs"):
        yield from (path for path in (copy / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _differs(path: Path, copy: Path):
    original = ROOT / path.relative_to(copy)
    return not original.exists() or original.read_bytes() != path.read_bytes()
